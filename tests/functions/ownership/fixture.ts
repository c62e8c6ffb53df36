/**
 * Rows in every table: the same ones for A and for B, and those of the vendors. They refer to each other wherever the
 * tables allow it, so that every reference could name a foreign row.
 */
import { createHash } from "node:crypto";
import { jobRows } from "./fixture-jobs.ts";
import { libraryRows } from "./fixture-library.ts";
import { shopRows } from "./fixture-shop.ts";
import type { Owner } from "./people.ts";

/** A value of a column, as JSON. */
export type Json = string | number | boolean | null | Json[] | {
  [key: string]: Json;
};
export type Values = Record<string, Json>;

/** A row of the fixture. `owner` is null if it has no owner. */
export interface Row {
  relation: string;
  kind: string;
  owner: Owner | null;
  values: Values;
  /** Every column as text, as stored in the database; filled in once the row exists. */
  stored: Record<string, string | null>;
}

/** The fixture of a relation. */
export interface RelationFixture {
  rows: Row[];
  /** One more row for this owner, complete and valid, different at each call. */
  fresh(owner: Owner): Values;
  /** The owners for whom `fresh` can be inserted; by default A and B. */
  freshFor?: Owner[];
  /** A new value for each column that users may update, for rows of this owner. The first can be set on all together. */
  change?(owner: Owner): Values;
}

/** Functions and ids that the parts of the fixture use. */
export interface FixtureTools {
  /** Ids of the users. */
  ids: Record<Owner, string>;
  /** A number as text, different at each call. */
  next(): string;
  /** The rows of a relation that A and B each have, by kind. */
  forEach(
    relation: string,
    make: (owner: Owner, id: string) => Record<string, Values | Values[]>,
  ): Row[];
  /** Single rows without an owner, or with the named one. */
  shared(
    relation: string,
    rows: [kind: string, values: Values, owner?: Owner][],
  ): Row[];
  /** Ids by relation and a name that the fixture chooses, different for each owner. */
  namesOf(owner: Owner): (relation: string, name: string) => string;
}

const CUSTOMERS = ["A", "B"] as const satisfies Owner[];

export const LAST_YEAR = "2025-06-01T12:00:00Z";
export const LATER = "2025-06-01T12:05:00Z";
export const FAR_AHEAD = "2099-01-01T00:00:00Z";
/** New jobs may wait one month at most. */
export const TOMORROW = new Date(Date.now() + 86_400_000).toISOString();

/** SHA-256 in hex. */
export function hex64(name: string): string {
  return createHash("sha256").update(name).digest("hex");
}

/** An id that is the same in every run, so that a failure can be reproduced. */
export function idOf(name: string): string {
  const hex = hex64(name);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${
    hex.slice(17, 20)
  }-${hex.slice(20, 32)}`;
}

/** Name of the object that each owner has in each bucket. */
export function keptObject(ownerId: string): string {
  return `${ownerId}/kept.bin`;
}

/** Builds the fixture. `ids` are the users'. */
export function makeFixture(
  ids: Record<Owner, string>,
): Record<string, RelationFixture> {
  let count = 0;
  const row = (
    relation: string,
    kind: string,
    owner: Owner | null,
    values: Values,
  ): Row => ({ relation, kind, owner, values, stored: {} });
  const tools: FixtureTools = {
    ids,
    next: () => String(++count).padStart(4, "0"),
    forEach: (relation, make) =>
      CUSTOMERS.flatMap((owner) =>
        Object.entries(make(owner, ids[owner])).flatMap(([kind, values]) =>
          [values].flat().map((one) => row(relation, kind, owner, one))
        )
      ),
    shared: (relation, rows) =>
      rows.map(([kind, values, owner]) =>
        row(relation, kind, owner ?? null, values)
      ),
    namesOf: (owner) => (relation, name) =>
      idOf(`${relation}/${owner}/${name}`),
  };
  return { ...jobRows(tools), ...libraryRows(tools), ...shopRows(tools) };
}
