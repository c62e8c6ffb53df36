/** A write of rows as any caller, and the rows that are written. */
import postgres from "postgres";
import { z } from "zod";
import { refusalOf, rest } from "./attempt.ts";
import type { Relation } from "./catalogue.ts";
import type { Json, Values } from "./fixture.ts";
import { type Actor, type Owner, signedIn } from "./people.ts";
import { keyOf, listed, mayNameKey, namesIn } from "./rows.ts";
import type { Stage } from "./stage.ts";

const rowsSchema = z.array(z.record(z.string(), z.unknown()));

/** Another user for whom a fresh row can be made. */
export function anotherOwner(
  stage: Stage,
  relation: Relation,
  actor: Actor,
): Owner {
  const owners = stage.fixture[relation.name]?.freshFor ?? ["B", "A"];
  return owners.find((owner) => owner !== actor.name) ?? "B";
}

/** A complete new row, if the relation has a fixture. */
export function freshRow(
  stage: Stage,
  relation: Relation,
  owner: Owner,
): Values {
  const fixture = stage.fixture[relation.name];
  if (fixture === undefined) {
    throw new Error(`fixture.ts does not have ${relation.name}`);
  }
  return fixture.fresh(owner);
}

/**
 * Changes or deletes every row, in the database with the caller's role and claims, because the API refuses a write without
 * a condition before it checks any right. Returns the refusal, or "accepted".
 */
export async function writeEveryRow(
  stage: Stage,
  actor: Actor,
  relation: Relation,
  method: "PATCH" | "DELETE",
  values: Values = {},
): Promise<string> {
  const table = `public.${relation.name}`;
  const columns = Object.keys(values).map((name) =>
    `"${name}" = (jsonb_populate_record(null::${table}, $1::text::jsonb))."${name}"`
  );
  const claims = JSON.stringify({ role: actor.role, sub: actor.userId });
  try {
    await stage.sql.begin(async (sql) => {
      await sql`
        select set_config('role', ${actor.role}, true), set_config('request.jwt.claims', ${claims}, true)`;
      await (method === "PATCH"
        ? sql.unsafe(`update ${table} set ${columns.join(", ")}`, [
          JSON.stringify(values),
        ])
        : sql.unsafe(`delete from ${table}`));
    });
    return "accepted";
  } catch (error) {
    if (!(error instanceof postgres.PostgresError)) throw error;
    const { code, message } = error;
    return refusalOf({
      status: 400,
      body: { code, message },
      headers: new Headers(),
    }) ?? "accepted";
  }
}

/**
 * The outcome of a write of rows: the refusal, or the names of the returned rows. If no rows are requested
 * (`blind`), the database reads none, and only the policy for the write decides. An update or delete without a query
 * affects every row, see {@link writeEveryRow}.
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
  if (method !== "POST" && query === "") {
    const values = z.record(z.string(), z.json()).parse(body ?? {});
    const outcome = await writeEveryRow(stage, actor, relation, method, values);
    return outcome === `not granted on ${relation.name}`
      ? "not granted"
      : outcome;
  }
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
  // A refusal by another table would concern a write that this one causes.
  if (refusal === `not granted on ${relation.name}`) return "not granted";
  if (refusal !== undefined) return refusal;
  const rows = rowsSchema.safeParse(answer.body);
  return rows.success
    ? listed(namesIn(stage, relation.name, rows.data))
    : "written";
}

/** Users who insert their own rows: A, or those for whom the fixture has new rows. */
export function inserters(stage: Stage, relation: Relation): Actor[] {
  const owners = stage.fixture[relation.name]?.freshFor ?? ["A"];
  return signedIn(stage.people).filter(({ name }) =>
    owners.some((owner) => owner === name)
  );
}
