/** Names for rows, and which of them a caller should see. */
import type { Relation } from "./catalogue.ts";
import { relationNamed } from "./catalogue.ts";
import { columnsFor, grants, type RowRight } from "./declaration.ts";
import type { Row, Values } from "./fixture.ts";
import type { Actor } from "./people.ts";
import { type Stage, standings } from "./stage.ts";

/** A row by name, such as `A's photo`. */
export function nameOf({ owner, kind, relation }: Row): string {
  return owner === null ? `${relation} (${kind})` : `${owner}'s ${kind}`;
}

/** Columns that identify the rows of a relation. */
export function keyOf(relation: Relation): string[] {
  return relation.primaryKey;
}

function keyText(key: string[], values: Record<string, unknown>): string {
  return JSON.stringify(key.map((column) => values[column]));
}

/** The fixture's row with these key values, if there is one. */
export function rowWith(
  stage: Stage,
  relation: string,
  values: Record<string, unknown>,
): Row | undefined {
  const key = keyOf(relationNamed(stage.catalogue, relation));
  const wanted = keyText(key, values);
  return stage.fixture[relation]?.rows.find((row) =>
    keyText(key, row.values) === wanted
  );
}

/** The names of a response's rows, sorted; one that is not in the fixture is `a new row`. */
export function namesIn(
  stage: Stage,
  relation: string,
  rows: Record<string, unknown>[],
): string[] {
  return rows.map((values) => {
    const row = rowWith(stage, relation, values);
    return row === undefined ? "a new row" : nameOf(row);
  }).sort();
}

/** A list of names as an outcome. */
export function listed(names: string[]): string {
  return names.length === 0 ? "nothing" : [...names].sort().join(", ");
}

/** Whether this caller has the declared right on this row. The secret key's grants are for whole tables. */
export function hasRight(
  stage: Stage,
  actor: Actor,
  row: Row,
  right: RowRight,
): boolean {
  const declared = stage.expected.relations[row.relation];
  if (declared === undefined) return false;
  if (actor.role === "service_role") return grants(declared.service, right);
  const rights = declared.rows[row.kind] ?? {};
  return standings(actor, row).some((standing) =>
    grants(rights[standing], right)
  );
}

/** The fixture's rows on which the caller has the right. */
export function rowsWithRight(
  stage: Stage,
  actor: Actor,
  relation: string,
  right: RowRight,
): Row[] {
  return (stage.fixture[relation]?.rows ?? []).filter((row) =>
    hasRight(stage, actor, row, right)
  );
}

/** Columns on which the role of this caller is granted the right. */
export function grantedColumns(
  stage: Stage,
  actor: Actor,
  relation: Relation,
  right: "select" | "insert" | "update",
): string[] {
  const declared = stage.expected.relations[relation.name];
  if (declared === undefined) return [];
  switch (actor.role) {
    case "none":
      return [];
    case "anon":
      return right === "select" ? declared.anon ?? [] : [];
    case "authenticated":
      return columnsFor(declared, right);
    case "service_role":
      return grants(declared.service, right)
        ? relation.columns.map(({ name }) => name)
        : [];
  }
}

/** Whether this caller may name a row by its key; if not, the request is refused before any row is read. */
export function mayNameKey(
  stage: Stage,
  actor: Actor,
  relation: Relation,
): boolean {
  const granted = grantedColumns(stage, actor, relation, "select");
  return keyOf(relation).every((column) => granted.includes(column));
}

/** Whether the role of this caller may delete from the relation at all. */
export function mayDelete(
  stage: Stage,
  actor: Actor,
  relation: Relation,
): boolean {
  const declared = stage.expected.relations[relation.name];
  if (declared === undefined) return false;
  if (actor.role === "service_role") return grants(declared.service, "delete");
  return actor.role === "authenticated" &&
    Object.values(declared.rows).some((rights) =>
      Object.values(rights).some((words) => grants(words, "delete"))
    );
}

/** The values of a row for these columns. */
export function pick(values: Values, columns: string[]): Values {
  return Object.fromEntries(
    Object.entries(values).filter(([column]) => columns.includes(column)),
  );
}

/** `eq.<value>` as the Data API reads it, or `is.null`. */
export function equalTo(value: unknown): string {
  if (value === null || value === undefined) return "is.null";
  return `eq.${
    encodeURIComponent(
      typeof value === "string" ? value : JSON.stringify(value),
    )
  }`;
}

/** A filter that matches only this row. */
export function filterFor(relation: Relation, row: Row): string {
  return keyOf(relation).map((column) =>
    `${column}=${equalTo(row.values[column])}`
  ).join("&");
}
