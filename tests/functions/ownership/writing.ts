/** A write of rows as any caller, and the rows that are written. */
import { z } from "zod";
import { refusalOf, rest } from "./attempt.ts";
import type { Relation } from "./catalogue.ts";
import type { Json, Values } from "./fixture.ts";
import { type Actor, type Owner, signedIn } from "./people.ts";
import { keyOf, listed, mayNameKey, namesIn } from "./rows.ts";
import type { Stage } from "./stage.ts";

const rowsSchema = z.array(z.record(z.string(), z.unknown()));

/** Somebody else for whom there can be a fresh row. */
export function anotherOwner(
  stage: Stage,
  relation: Relation,
  actor: Actor,
): Owner {
  const owners = stage.fixture[relation.name]?.freshFor ?? ["B", "A"];
  return owners.find((owner) => owner !== actor.name) ?? "B";
}

/** A complete new row, as far as there is a fixture for the relation. */
export function freshRow(
  stage: Stage,
  relation: Relation,
  owner: Owner,
): Values {
  const fixture = stage.fixture[relation.name];
  if (fixture === undefined) {
    throw new Error(`fixture.ts says nothing of ${relation.name}`);
  }
  return fixture.fresh(owner);
}

/**
 * What a write of rows came to: the refusal, or the names of the rows it answers with. Asked to answer without rows
 * (`blind`), the database reads none, and only the policy for the write decides.
 */
export async function write(
  stage: Stage,
  actor: Actor,
  relation: Relation,
  method: "POST" | "PATCH" | "DELETE",
  query: string,
  body?: Json,
  options: { prefer?: string; blind?: boolean } = {},
): Promise<string> {
  const shown = !options.blind && mayNameKey(stage, actor, relation)
    ? keyOf(relation)
    : [];
  const answer = await rest(
    stage.apiUrl,
    actor,
    method,
    shown.length === 0
      ? `${relation.name}?${query}`
      : `${relation.name}?select=${shown.join(",")}&${query}`,
    {
      ...(body === undefined ? {} : { body }),
      prefer: [
        shown.length === 0 ? "return=minimal" : "return=representation",
        ...(options.prefer === undefined ? [] : [options.prefer]),
      ].join(","),
    },
  );
  const refusal = refusalOf(answer);
  // Of another table it would be the refusal of something that the write causes.
  if (refusal === `not granted on ${relation.name}`) return "not granted";
  if (refusal !== undefined) return refusal;
  const rows = rowsSchema.safeParse(answer.body);
  return rows.success
    ? listed(namesIn(stage, relation.name, rows.data))
    : "written";
}

/** Users who insert rows of their own: A, or for whom the fixture has new ones. */
export function inserters(stage: Stage, relation: Relation): Actor[] {
  const owners = stage.fixture[relation.name]?.freshFor ?? ["A"];
  return signedIn(stage.people).filter(({ name }) =>
    owners.some((owner) => owner === name)
  );
}
