/**
 * The environment of the attempts: a stack with the users and rows of the fixture, on which
 * nothing runs by itself.
 */
import postgres from "postgres";
import { type Catalogue, readCatalogue, type Relation } from "./catalogue.ts";
import { type Declaration, type Standing } from "./declaration.ts";
import { EXPECTED } from "./expected.ts";
import {
  keptObject,
  makeFixture,
  type RelationFixture,
  type Row,
} from "./fixture.ts";
import { type Actor, gatherPeople, type Owner, type People } from "./people.ts";
import { type Change, World } from "./world.ts";

/** The running stack, as the support code of this ring provides it. */
export interface StackAddresses {
  apiUrl: string;
  adminDbUrl: string;
  publishableKey: string;
  secretKey: string;
}

/** What every attempt needs. */
export interface Stage extends AsyncDisposable {
  apiUrl: string;
  /** As the superuser; its statements do not notify the API of schema changes. */
  sql: postgres.Sql;
  catalogue: Catalogue;
  expected: Declaration;
  people: People;
  fixture: Record<string, RelationFixture>;
  world: World;
  /** A content type that each bucket accepts. */
  mimeTypes: Map<string, string>;
  /** Restores every changed row and every removed object. */
  restore(changes: Change[]): Promise<void>;
}

/** A bucket that no policy names: rights that depend on the bucket must not apply in it. */
const UNNAMED_BUCKET = "of-no-policy";

/** Bytes of every object of the fixture. */
export const OBJECT_BYTES = new TextEncoder().encode("kept");

/** The first type that each bucket accepts, or any type. */
async function readMimeTypes(sql: postgres.Sql): Promise<Map<string, string>> {
  const rows = await sql<{ id: string; type: string }[]>`
    select b.id, replace(coalesce(b.allowed_mime_types[1], 'application/octet-stream'), '/*', '/mpeg') as type
    from storage.buckets as b`;
  return new Map(rows.map(({ id, type }) => [id, type]));
}

/** Uploads an object with the secret key, and replaces an existing one. */
async function putObject(
  people: People,
  types: Map<string, string>,
  bucket: string,
  name: string,
): Promise<void> {
  const { error } = await people.actors.service.client.storage.from(bucket)
    .upload(name, OBJECT_BYTES, {
      contentType: types.get(bucket) ?? "",
      upsert: true,
    });
  if (error) throw error;
}

async function insertRows(
  sql: postgres.Sql,
  fixture: Record<string, RelationFixture>,
): Promise<void> {
  const rows = Object.values(fixture).flatMap(({ rows }) => rows);
  await sql.begin(async (tx) => {
    // Rows in later states, which triggers would refuse; the foreign keys are checked below.
    await tx`set local session_replication_role = replica`;
    for (const { relation, values } of rows) {
      const columns = Object.keys(values).map((name) => `"${name}"`).join(", ");
      await tx.unsafe(
        `insert into public.${relation} (${columns})
         select ${columns} from jsonb_populate_record(null::public.${relation}, $1::text::jsonb)`,
        [JSON.stringify(values)],
      );
    }
  });
}

/** Fills in each row as the database stored it. */
async function readStored(
  sql: postgres.Sql,
  fixture: Record<string, RelationFixture>,
  relations: Relation[],
): Promise<void> {
  for (const { name, columns, primaryKey } of relations) {
    for (const row of fixture[name]?.rows ?? []) {
      const pairs = columns.map((c) => `'${c.name}', x."${c.name}"::text`);
      const [found] = await sql.unsafe<{ stored: Row["stored"] }[]>(
        `select jsonb_build_object(${
          pairs.join(", ")
        }) as stored from public.${name} as x
         where (${primaryKey.map((c) => `x."${c}"`).join(", ")}) = (
           select ${primaryKey.map((c) => `y."${c}"`).join(", ")}
           from jsonb_populate_record(null::public.${name}, $1::text::jsonb) as y)`,
        [JSON.stringify(row.values)],
      );
      if (found === undefined) {
        throw new Error(`fixture.ts: a row of ${name} is missing`);
      }
      row.stored = found.stored;
    }
  }
}

/** Throws when a row references a missing one. */
async function checkForeignKeys(
  sql: postgres.Sql,
  relations: Relation[],
): Promise<void> {
  for (const relation of relations) {
    for (const key of relation.foreignKeys) {
      const isSet = key.columns.map((c) => `x."${c}" is not null`).join(
        " and ",
      );
      const matches = key.columns.map((c, at) =>
        `x."${c}" = y."${key.targetColumns[at]}"`
      ).join(" and ");
      const [lost] = await sql.unsafe(
        `select to_jsonb(x) from public.${relation.name} as x
         where ${isSet} and not exists (select 1 from ${key.target} as y where ${matches}) limit 1`,
      );
      if (lost) {
        throw new Error(
          `fixture.ts: a row of ${relation.name} breaks ${key.name}: ${
            JSON.stringify(lost)
          }`,
        );
      }
    }
  }
}

/** Rows that a migration created; the fixture only states their kind. */
async function adoptSettings(
  sql: postgres.Sql,
  fixture: Record<string, RelationFixture>,
): Promise<void> {
  const known = fixture["ai_job_types"]?.rows ?? [];
  const types = await sql<{ job_type: string; is_enabled: boolean }[]>`
    select t.job_type, t.is_enabled from public.ai_job_types as t`;
  for (const { job_type, is_enabled } of types) {
    if (known.some(({ values }) => values["job_type"] === job_type)) continue;
    known.push({
      relation: "ai_job_types",
      kind: is_enabled ? "enabled" : "disabled",
      owner: null,
      values: { job_type },
      stored: {},
    });
  }
  const providers = fixture["ai_providers"]?.rows ?? [];
  for (
    const { provider } of await sql<{ provider: string }[]>`
      select p.provider from public.ai_providers as p`
  ) {
    if (providers.some(({ values }) => values["provider"] === provider)) {
      continue;
    }
    providers.push({
      relation: "ai_providers",
      kind: "provider",
      owner: null,
      values: { provider },
      stored: {},
    });
  }
  const prices = fixture["ai_prices"]?.rows ?? [];
  for (
    const values of await sql<{ job_type: string; provider: string }[]>`
      select p.job_type, p.provider from public.ai_prices as p`
  ) {
    if (
      prices.some((row) =>
        row.values["job_type"] === values.job_type &&
        row.values["provider"] === values.provider
      )
    ) continue;
    prices.push({
      relation: "ai_prices",
      kind: "price",
      owner: null,
      values: { ...values },
      stored: {},
    });
  }
  for (
    const { id } of await sql<{ id: string }[]>`
      select l.id from public.ai_limits as l where l.user_id is null`
  ) {
    fixture["ai_limits"]?.rows.push({
      relation: "ai_limits",
      kind: "for everyone else",
      owner: null,
      values: { id },
      stored: {},
    });
  }
}

/** Sets up the stage on a new stack. Disposing closes its connection; the rows remain. */
export async function setStage(stack: StackAddresses): Promise<Stage> {
  await using parts = new AsyncDisposableStack();
  const sql = postgres(stack.adminDbUrl, {
    max: 1,
    // Without a search_path every name is qualified, in the catalogue as well.
    connection: { event_triggers: "off", search_path: '""' },
    onnotice: () => {},
  });
  parts.defer(() => sql.end({ timeout: 1 }));

  // No job is dispatched or swept, so that from here on only attempts change anything.
  await sql`update cron.job set active = false`;
  await sql`delete from vault.secrets`;
  await sql`
    insert into storage.buckets (id, name, public) values (${UNNAMED_BUCKET}, ${UNNAMED_BUCKET}, false)`;

  const [people, catalogue, types] = await Promise.all([
    gatherPeople(stack),
    readCatalogue(sql),
    readMimeTypes(sql),
  ]);
  const fixture = makeFixture(people.ids);
  const kept = catalogue.buckets.flatMap(({ id }) =>
    [people.ids.A, people.ids.B].map((owner) => ({
      bucket: id,
      name: keptObject(owner),
    }))
  );
  await Promise.all(
    kept.map(({ bucket, name }) => putObject(people, types, bucket, name)),
  );
  await insertRows(sql, fixture);
  await adoptSettings(sql, fixture);
  await checkForeignKeys(sql, catalogue.relations);
  await readStored(sql, fixture, catalogue.relations);
  const world = await World.remember(sql);

  const objects = await sql<{ key: string; bucket: string; name: string }[]>`
    select jsonb_build_array(o.id)::text as key, o.bucket_id as bucket, o.name from storage.objects as o`;
  const keptById = new Map(objects.map((object) => [object.key, object]));

  const running = parts.move();
  return {
    apiUrl: stack.apiUrl,
    sql,
    catalogue,
    expected: {
      ...EXPECTED,
      buckets: {
        ...EXPECTED.buckets,
        [UNNAMED_BUCKET]: { isPublic: false, owner: [] },
      },
    },
    people,
    fixture,
    world,
    mimeTypes: types,
    async restore(changes) {
      // An object's bytes are removed with its row; only the API can restore them.
      const lost = changes.flatMap(({ relation, change, key, row }) => {
        const object = relation === "storage.objects"
          ? keptById.get(key)
          : undefined;
        return object !== undefined && change !== "added" &&
            (change === "removed" || row["name"] !== object.name)
          ? [object]
          : [];
      });
      await Promise.all(
        lost.map(({ bucket, name }) => putObject(people, types, bucket, name)),
      );
      await world.undo(lost.length > 0 ? await world.changes() : changes);
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** The relation of a caller to a row; callers who are not signed in have none. */
export function standings(actor: Actor, row: Row): Standing[] {
  if (actor.role !== "authenticated") return [];
  const owner: Owner | null = row.owner;
  return [
    "signed in",
    ...(owner === actor.name ? ["owner" as const] : []),
    ...(actor.name === "vendor" ? ["vendor" as const] : []),
  ];
}
