/** Row Level Security and grants of the job's tables and functions: users see only their own rows. */
import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import type { TestDatabase } from "../_support/database.ts";
import { withDatabase } from "../_support/database.ts";
import {
  type Bench,
  insertClaimedJob,
  insertCompletedJob,
  pictureOf,
  refusalOf,
  withQueue,
} from "./_support/factories.ts";

/** Tables with an owner in `user_id`, and a column of each to update. */
const ownedTables: Record<string, { column: string }> = {
  ai_jobs: { column: "metadata" },
  ai_job_events: { column: "data" },
  ai_provider_calls: { column: "error_code" },
  voices: { column: "labels" },
  media: { column: "title" },
  ai_result_cache: { column: "value" },
};

/** A user with at least one row in each of them. */
async function makeOwner(bench: Bench): Promise<string> {
  const { db, queue } = bench;
  const { user_id } = await insertCompletedJob(bench);
  const claimed = await insertClaimedJob(bench, { user_id });
  assert(await queue.begin(claimed) !== undefined);
  await db.sql`
    insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
    values (${user_id}, 'audio', ${`uploads/${user_id}/a.mp3`}, 'a.mp3', 'audio/mpeg', 1)`;
  await db.sql`
    insert into public.ai_result_cache (cache_key, user_id, value, expires_at)
    values ('ai_job:' || encode(sha256(convert_to(${user_id}, 'UTF8')), 'hex'), ${user_id}, '{}', now() + interval '1 minute')`;
  return user_id;
}

async function ownersIn(
  sql: postgres.ISql,
  table: string,
): Promise<string[]> {
  const rows = await sql<{ user_id: string }[]>`
    select distinct user_id from public.${sql(table)} order by user_id`;
  return rows.map((row) => row.user_id);
}

Deno.test("tables of a job: each user reads their own rows, anon reads none, the service reads all", async (t) => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const [a, b] = [await makeOwner(bench), await makeOwner(bench)];
    for (const table of Object.keys(ownedTables)) {
      await t.step(table, async () => {
        const read = (sql: postgres.ISql) => ownersIn(sql, table);
        assertEquals(await db.asUser(a, read), [a]);
        assertEquals(await db.asUser(b, read), [b]);
        assertEquals(
          await db.asUser(crypto.randomUUID(), read),
          [],
          "a user without rows",
        );
        assertEquals(await db.asService(read), [a, b].sort());
        assertEquals((await refusalOf(() => db.asAnon(read))).code, "42501");
        const [count] = await db.asUser(
          b,
          (sql) =>
            sql<{ rows: number }[]>`
          select count(*)::int as rows from public.${
              sql(table)
            } where user_id = ${a}`,
        );
        assertEquals(count?.rows, 0, "requesting another user's rows");
      });
    }
  });
});

Deno.test("tables of a job: twin: with Row Level Security off, a user reads the rows of all users", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const [a, b] = [await makeOwner(bench), await makeOwner(bench)];
    for (const table of Object.keys(ownedTables)) {
      await db.sql`alter table public.${
        db.sql(table)
      } disable row level security`;
      assertEquals(
        await db.asUser(a, (sql) => ownersIn(sql, table)),
        [a, b].sort(),
        table,
      );
    }
  });
});

Deno.test("tables of a job: no command of one user, or without a session, changes another user's row", async (t) => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const [a, b] = [await makeOwner(bench), await makeOwner(bench)];
    const everything = async () => [
      ...await pictureOf(db),
      ...(await db.sql<
        { line: string }[]
      >`select to_jsonb(m)::text as line from public.media as m`).map(
        ({ line }) => line,
      ),
    ];
    const before = await everything();
    for (const [table, { column }] of Object.entries(ownedTables)) {
      const commands: Record<
        string,
        (sql: postgres.ISql) => PromiseLike<{ count: number }>
      > = {
        "update where": (sql) =>
          sql`update public.${sql(table)} set ${sql(column)} = ${
            sql(column)
          } where user_id = ${a}`,
        "take over": (sql) =>
          sql`update public.${
            sql(table)
          } set user_id = ${b} where user_id = ${a}`,
        "delete": (sql) =>
          sql`delete from public.${sql(table)} where user_id = ${a}`,
        "copy for them": (sql) =>
          sql`insert into public.${
            sql(table)
          } select (jsonb_populate_record(null::public.${sql(table)}, ${
            sql.json({ user_id: a })
          })).*`,
      };
      for (const [name, run] of Object.entries(commands)) {
        await t.step(`${table}: ${name}`, async () => {
          for (const who of ["user", "anon"]) {
            const outcome = await (who === "user"
              ? db.asUser(b, async (sql) =>
                (await run(sql)).count)
              : db.asAnon(async (sql) => (await run(sql)).count))
              .catch((error: { code?: string }) => error.code);
            assert(outcome === "42501" || outcome === 0, `${who}: ${outcome}`);
          }
          assertEquals(await everything(), before);
        });
      }
    }
  });
});

Deno.test("media: owners add, retitle and remove their own rows, and cannot change any other column", async (t) => {
  await withDatabase(async (db) => {
    const [{ id: a }, { id: b }] = [
      await db.createUser(),
      await db.createUser(),
    ];
    const add = (sql: postgres.ISql, userId: string, name: string) =>
      sql<{ id: string }[]>`
      insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
      values (${userId}, 'image', ${`uploads/${userId}/${name}`}, ${name}, 'image/png', 1)
      returning id`;
    const [mine] = await db.asUser(a, (sql) => add(sql, a, "a.png"));
    assert(mine !== undefined);

    await t.step("retitle", async () => {
      const { count } = await db.asUser(
        a,
        (sql) =>
          sql`update public.media set title = 'Lake' where id = ${mine.id}`,
      );
      assertEquals(count, 1);
    });
    for (
      const column of [
        "id",
        "user_id",
        "storage_path",
        "content_type",
        "size_bytes",
        "media_type",
        "file_name",
        "created_at",
      ]
    ) {
      await t.step(`${column} cannot be changed`, async () => {
        const { code } = await refusalOf(() =>
          db.asUser(
            a,
            (sql) =>
              sql`update public.media set ${sql(column)} = ${sql(column)}`,
          )
        );
        assertEquals(code, "42501");
      });
    }
    await t.step("not for another user", async () => {
      const { code } = await refusalOf(() =>
        db.asUser(b, (sql) => add(sql, a, "b.png"))
      );
      assertEquals(code, "42501");
    });
    await t.step(
      "without an owner in the row, the signed-in user is the owner",
      async () => {
        const [row] = await db.asUser(
          b,
          (sql) =>
            sql<{ user_id: string }[]>`
        insert into public.media (media_type, storage_path, file_name, content_type, size_bytes)
        values ('image', ${`uploads/${b}/c.png`}, 'c.png', 'image/png', 1) returning user_id`,
        );
        assertEquals(row?.user_id, b);
      },
    );
    await t.step("remove", async () => {
      const remove = (sql: postgres.ISql) =>
        sql`delete from public.media where id = ${mine.id}`;
      assertEquals((await db.asUser(b, remove)).count, 0);
      assertEquals((await db.asUser(a, remove)).count, 1);
    });
  });
});

Deno.test("ai_job_types: signed-in users read the enabled ones, anon none, and only the service writes", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    await db.sql`
      insert into public.ai_job_types (job_type, provider, is_enabled) values ('switched_off', 'internal', false)`;
    const read = async (sql: postgres.ISql) =>
      (await sql<
        { job_type: string }[]
      >`select job_type from public.ai_job_types`).map((row) => row.job_type);
    const seen = await db.asUser(id, read);
    assert(seen.includes("voice_clone"));
    assertEquals(seen.includes("switched_off"), false);
    assertEquals((await db.asService(read)).includes("switched_off"), true);
    assertEquals((await refusalOf(() => db.asAnon(read))).code, "42501");
    for (
      const statement of [
        "update public.ai_job_types set is_enabled = true",
        "insert into public.ai_job_types (job_type, provider) values ('mine', 'internal')",
        "delete from public.ai_job_types",
      ]
    ) {
      for (const as of [db.asAnon, (run: typeof read) => db.asUser(id, run)]) {
        const { code } = await refusalOf(() =>
          as((sql) => sql.unsafe(statement))
        );
        assertEquals(code, "42501", statement);
      }
    }
    const { count } = await db.asService((sql) =>
      sql`update public.ai_job_types set max_attempts = 3 where job_type = 'voice_clone'`
    );
    assertEquals(count, 1);
  });
});

/** Who may execute the functions of the queue. Every overload of these names must be listed. */
const functions: Record<string, string[]> = {
  ai_job_input_hash: ["authenticated", "service_role"],
  begin_provider_calls: ["service_role"],
  create_ai_job: ["authenticated"],
  claim_ai_jobs: ["service_role"],
  claim_dispatched_ai_jobs: ["service_role"],
  poll_ai_jobs: ["service_role"],
  complete_ai_jobs: ["service_role"],
  fail_ai_job: ["service_role"],
  get_ai_result_cache: ["authenticated", "service_role"],
  cancel_ai_job: ["service_role"],
  jobs_ahead: ["authenticated"],
  heartbeat_ai_jobs: ["service_role"],
  pause_ai_jobs: ["service_role"],
  receive_provider_webhook: ["service_role"],
  delete_ended_ai_jobs: ["service_role"],
  redrive_ai_jobs: ["service_role"],
  resolve_unknown_ai_job: ["service_role"],
  take_back_ai_job_answer: ["service_role"],
  doubt_provider_call: ["service_role"],
  wake_ai_job_worker: ["service_role"],
  save_ai_job_checkpoint: ["service_role"],
  get_keepsake_contents: ["service_role"],
  claim_abandoned_uploads: ["service_role"],
  settle_abandoned_uploads: ["service_role"],
  release_ai_job: ["service_role"],
  rescue_stalled_ai_jobs: ["service_role"],
  reuse_ai_job_result: ["service_role"],
  revise_provider_call: ["service_role"],
  settle_provider_calls: ["service_role"],
  snooze_ai_job: ["service_role"],
  begin_janitor_run: ["service_role"],
  begin_provider_scan: ["service_role"],
  claim_provider_removals: ["service_role"],
  claim_storage_removals: ["service_role"],
  end_provider_scan: ["service_role"],
  discard_found_object: ["service_role"],
  record_provider_rows: ["service_role"],
  record_provider_page: ["service_role"],
  report_ai_leftovers: ["service_role"],
  settle_provider_removal: ["service_role"],
  settle_storage_removals: ["service_role"],
  unseen_provider_rows: ["service_role"],
};
const roles = ["anon", "authenticated", "service_role"] as const;

interface CatalogueFunction {
  schema: string;
  name: string;
  signature: string;
  call: string;
  executors: string[];
}

async function catalogue(db: TestDatabase): Promise<CatalogueFunction[]> {
  return [
    ...await db.sql<CatalogueFunction[]>`
      select
        p.pronamespace::regnamespace::text as schema,
        p.proname as name,
        p.oid::regprocedure::text as signature,
        format('select %s(%s)', p.oid::regproc, (
          select string_agg('null::' || format_type(a.type, null), ', ' order by a.position)
          from unnest(p.proargtypes::oid[]) with ordinality as a (type, position)
        )) as call,
        array(
          select r.name from unnest(${roles}::text[]) as r (name)
          where has_function_privilege(r.name, p.oid, 'execute')
            and has_schema_privilege(r.name, p.pronamespace, 'usage')
          order by r.name
        ) as executors
      from pg_proc as p
      where p.pronamespace::regnamespace::text in ('public', 'private')
        and p.proname ~ '(ai_job|jobs_ahead|provider_|voice_clone|ai_result_cache|janitor|removal|found_object|leftovers|abandoned|keepsake)'
      order by signature`,
  ];
}

Deno.test("functions of the queue: only the listed roles can execute each, and no role those in private", async (t) => {
  await withDatabase(async (db) => {
    const found = await catalogue(db);
    assert(found.length > 20);
    for (const { schema, name, signature, executors } of found) {
      await t.step(signature, () => {
        assertEquals(
          executors,
          schema === "private" ? [] : functions[name],
          "a new function must be listed here",
        );
      });
    }
    await t.step("every listed function exists", () => {
      assertEquals(
        found.filter(({ schema }) => schema === "public").map(({ name }) =>
          name
        ).sort(),
        Object.keys(functions).sort(),
      );
    });
  });
});

Deno.test("functions of the queue: calls of other roles are refused before they have an effect", async (t) => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const userId = await makeOwner(bench);
    const before = await pictureOf(db);
    for (const { schema, name, signature, call } of await catalogue(db)) {
      const isTrigger = schema === "private" && call.endsWith("()");
      if (isTrigger) continue;
      await t.step(signature, async () => {
        const tryAs = (role: typeof roles[number]) => {
          const run = async (sql: postgres.TransactionSql) => {
            await sql.unsafe(call);
            // Undoes what a permitted call did.
            throw new Done();
          };
          const attempt = role === "anon"
            ? db.asAnon(run)
            : role === "authenticated"
            ? db.asUser(userId, run)
            : db.asService(run);
          return attempt.catch((error: { code?: string }) =>
            error.code === "42501" ? "refused" : "let in"
          );
        };
        for (const role of roles) {
          const isAllowed = schema === "public" &&
            functions[name]?.includes(role);
          assertEquals(
            await tryAs(role),
            isAllowed ? "let in" : "refused",
            role,
          );
        }
        assertEquals(await pictureOf(db), before);
      });
    }
  });
});

class Done extends Error {}

Deno.test("schemas private, vault and cron: no role of the Data API reads a table there", async (t) => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    await db.sql`select vault.create_secret('secret', 'dispatch_secret')`;
    for (
      const table of [
        "private.dispatch_receipts",
        "private.expected_claims",
        "private.provider_webhook_receipts",
        "vault.decrypted_secrets",
        "vault.secrets",
        "cron.job",
      ]
    ) {
      await t.step(table, async () => {
        const read = (sql: postgres.ISql) =>
          sql.unsafe(`select * from ${table}`);
        const refusals = [
          await refusalOf(() => db.asAnon(read)),
          await refusalOf(() => db.asUser(id, read)),
        ];
        // A hosted project lets its service read the Vault.
        if (!table.startsWith("vault.")) {
          refusals.push(await refusalOf(() => db.asService(read)));
        }
        for (const { code } of refusals) assertEquals(code, "42501");
      });
    }
  });
});

Deno.test("ai_jobs: guessing ids finds no job: another user's and a missing one get the same answer", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const [a, b] = [await makeOwner(bench), await makeOwner(bench)];
    const [foreign] = await db.sql<
      { id: string }[]
    >`select id from public.ai_jobs where user_id = ${a} limit 1`;
    assert(foreign !== undefined);
    const look = (id: string) =>
      db.asUser(b, async (sql) => [
        ...await sql`select * from public.ai_jobs where id = ${id}`,
      ]);
    assertEquals(await look(foreign.id), await look(crypto.randomUUID()));
    assertEquals((await look(foreign.id)).length, 0);
  });
});
