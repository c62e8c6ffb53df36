/** delete_ended_ai_jobs: which jobs go, which stay, and what goes with them. */
import { assertEquals, assertObjectMatch } from "@std/assert";
import type { TestDatabase } from "../_support/database.ts";
import {
  insertClaimedJob,
  insertCompletedJob,
  insertJob,
  refusalOf,
  uploadSample,
  withQueue,
} from "./_support/factories.ts";
import { beginCall } from "./_support/protocol.ts";

async function idsOf(db: TestDatabase): Promise<Set<string>> {
  const rows = await db.sql<{ id: string }[]>`select id from public.ai_jobs`;
  return new Set(rows.map(({ id }) => id));
}

/** Ends a waiting job as its owner does. */
async function cancel(db: TestDatabase, id: string): Promise<void> {
  await db
    .sql`update public.ai_jobs set cancel_requested_at = now() where id = ${id}`;
}

/** Moves a job's end, creation and id into the past, and returns its new id. */
async function age(
  db: TestDatabase,
  id: string,
  days: number,
): Promise<string> {
  const [row] = await db.sql.begin(async (sql) => {
    await sql`set local session_replication_role = replica`;
    return await sql<{ id: string }[]>`
      update public.ai_jobs as j
      set id = overlay(j.id::text placing left(private.first_uuid_v7_at(n.at)::text, 13) from 1 for 13)::uuid,
        created_at = n.at, scheduled_at = n.at, completed_at = n.at, started_at = n.at
      from (select now() - make_interval(days => ${days}::int) as at) as n
      where j.id = ${id} returning j.id`;
  });
  return row?.id ?? "";
}

const remove = (
  db: TestDatabase,
  values: { user?: string; before?: string; limit?: number },
) =>
  db.asService(async (sql) => {
    const [row] = await sql<{ n: number }[]>`
      select public.delete_ended_ai_jobs(${values.user ?? null}, ${
      values.before ?? null
    }::text::timestamptz, ${values.limit ?? 1000}) as n`;
    return row?.n;
  });

Deno.test("delete_ended_ai_jobs: a user's ended jobs go, the oldest first; others and those of others stay", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const { id: userId } = await db.createUser();
    const ended: string[] = [];
    for (let n = 0; n < 3; n++) {
      ended.push((await insertCompletedJob(bench, { user_id: userId })).id);
    }
    const cancelled = await insertJob(db, { user_id: userId });
    await cancel(db, cancelled.id);
    const waiting = await insertJob(db, { user_id: userId });
    const running = await insertClaimedJob(bench, { user_id: userId });
    const other = await insertCompletedJob(bench);

    assertEquals(await remove(db, { user: userId, limit: 2 }), 2);
    assertEquals(
      await idsOf(db),
      new Set(
        ended.slice(2).concat(cancelled.id, waiting.id, running.id, other.id),
      ),
    );
    assertEquals(await remove(db, { user: userId }), 2);
    assertEquals(await remove(db, { user: userId }), 0);
    assertEquals(
      await idsOf(db),
      new Set([waiting.id, running.id, other.id]),
    );
    const [left] = await db.sql`
      select (select count(*)::int from public.voices where user_id = ${userId}) as voices,
        (select count(*)::int from public.ai_job_events where job_id = any (${ended})) as events`;
    assertEquals(left, { voices: 3, events: 0 });
    // Deleting the account still removes the voices at the provider.
    await db.sql`delete from auth.users where id = ${userId}`;
    const removals = await db.sql`
      select 1 from private.provider_removals where object_type = 'voice' and done_at is null`;
    assertEquals(removals.length, 3);
  });
});

Deno.test("delete_ended_ai_jobs: a parked job stays, and one that another job needs", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const { id: userId } = await db.createUser();
    const parked = await insertClaimedJob(bench, { user_id: userId });
    await beginCall(db.sql, parked);
    await queue.fail(parked, {
      code: "provider_unauthorized",
      isRetryable: false,
    });
    const needed = await insertCompletedJob(bench, { user_id: userId });
    const dependent = await insertJob(db, {
      user_id: userId,
      depends_on_job_id: needed.id,
    });
    assertEquals(await remove(db, { user: userId }), 0);
    await cancel(db, dependent.id);
    assertEquals(await remove(db, { user: userId }), 2);
    assertEquals(await idsOf(db), new Set([parked.id]));
  });
});

Deno.test("delete_ended_ai_jobs: what a failed job depends on stays as long as the failed job does", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const needed = await insertCompletedJob(bench);
    const dependent = await insertClaimedJob(bench, {
      user_id: needed.user_id,
      depends_on_job_id: needed.id,
    });
    await queue.fail(dependent, { isRetryable: false });
    const old = await age(db, needed.id, 40);
    await db.sql.begin(async (sql) => {
      await sql`set local session_replication_role = replica`;
      await sql`update public.ai_jobs set depends_on_job_id = ${old} where id = ${dependent.id}`;
    });
    const aMonthAgo = new Date(Date.now() - 30 * 86_400_000).toISOString();
    assertEquals(await remove(db, { before: aMonthAgo }), 0);
    assertEquals(await idsOf(db), new Set([old, dependent.id]));
    assertEquals(await remove(db, { user: needed.user_id }), 1);
    assertEquals(await remove(db, { user: needed.user_id }), 1);
  });
});

Deno.test("delete_ended_ai_jobs: by time, only jobs that ended before it", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const jobs: string[] = [];
    for (const days of [40, 31, 29]) {
      const job = await insertJob(db);
      await cancel(db, job.id);
      jobs.push(await age(db, job.id, days));
    }
    const aMonthAgo = new Date(Date.now() - 30 * 86_400_000).toISOString();
    assertEquals(await remove(db, { before: aMonthAgo, limit: 1 }), 1);
    assertEquals(await idsOf(db), new Set(jobs.slice(1)));
    assertEquals(await remove(db, { before: aMonthAgo }), 1);
    assertEquals(await idsOf(db), new Set(jobs.slice(2)));
  });
});

Deno.test("begin_janitor_run: deletes jobs older than ended_job_days, and by default none", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertJob(db);
    await cancel(db, job.id);
    await age(db, job.id, 400);
    const run = () =>
      db.asService((sql) =>
        sql`select * from public.begin_janitor_run(${`msg_${crypto.randomUUID()}`}, ${
          Date.now() / 1000
        })`
      );
    assertEquals([...await run()], [{ jobs_deleted: 0, jobs_checked: 1 }]);
    assertEquals((await idsOf(db)).size, 1);
    await db.sql`update private.janitor_settings set ended_job_days = 399`;
    assertEquals([...await run()], [{ jobs_deleted: 1, jobs_checked: 0 }]);
    assertEquals((await idsOf(db)).size, 0);
  });
});

Deno.test("delete_ended_ai_jobs: an output that a row names stays, every other one is removed", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const { id: userId } = await db.createUser();
    const paths: string[] = [];
    for (const name of ["named", "unnamed"]) {
      const job = await insertCompletedJob(bench, { user_id: userId });
      const path = await uploadSample(db, userId, {
        bucket: "outputs",
        name: `${name}.mp3`,
      });
      await db
        .sql`update public.ai_jobs set output_url = ${path} where id = ${job.id}`;
      paths.push(path);
    }
    await db.sql`
      insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
      values (${userId}, 'audio', ${
      paths[0] ?? ""
    }, 'named.mp3', 'audio/mpeg', 10)`;
    assertEquals(await remove(db, { user: userId }), 2);
    const due = await db.sql<{ object_path: string }[]>`
      select r.object_path from private.storage_removals as r where not private.is_object_referenced(r)`;
    assertEquals(due.map(({ object_path }) => object_path), [paths[1] ?? ""]);
  });
});

Deno.test("delete_ended_ai_jobs: without a filter, or with a wrong one, it fails and deletes nothing", async (t) => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await insertCompletedJob(bench);
    const cases = {
      "no filter": [{}, "22023"],
      "an infinite time": [{ before: "-infinity" }, "22023"],
      "a time in the future": [{ before: "2999-01-01" }, "22023"],
      "no jobs": [{ before: "2020-01-01", limit: 0 }, "22023"],
      "too many jobs": [{ before: "2020-01-01", limit: 10_001 }, "22023"],
      "an unknown user": [{ user: crypto.randomUUID() }, "AJ075"],
    } as const;
    for (const [name, [values, code]] of Object.entries(cases)) {
      await t.step(name, async () => {
        assertObjectMatch(await refusalOf(() => remove(db, values)), { code });
      });
    }
    assertEquals((await idsOf(db)).size, 1);
  });
});
