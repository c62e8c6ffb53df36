/** claim_ai_jobs: which worker gets which job, and that no other gets it. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { withDatabase } from "../_support/database.ts";
import {
  backendOf,
  claimJob,
  eventsOf,
  insertClaimedJob,
  insertJob,
  insertJobs,
  makeDue,
  readJob,
  refusalOf,
  setAttempts,
  untilBlocked,
  withQueue,
} from "./_support/factories.ts";
import { queueOver } from "./_support/queue.ts";

Deno.test("claim_ai_jobs: 20 connections claim 200 jobs: none twice, none lost", async () => {
  await withDatabase(async (db) => {
    const ids = await insertJobs(db, 200);
    const sessions = await db.connections(20, "service_role");

    const taken = await Promise.all(sessions.map(async (sql, index) => {
      const queue = queueOver(sql);
      const mine: string[] = [];
      for (;;) {
        const jobs = await queue.claim(1 + index % 5);
        if (jobs.length === 0) return mine;
        mine.push(...jobs.map((job) => job.id));
      }
    }));

    const all = taken.flat();
    assertEquals(new Set(all).size, all.length, "a job was claimed twice");
    assertEquals([...all].sort(), [...ids].sort(), "a job was lost");
    assert(
      taken.filter((mine) => mine.length > 0).length > 1,
      "the connections did not compete",
    );
    const [row] = await db.sql<{ tokens: number; attempts: number }[]>`
      select count(distinct lease_token)::int as tokens, sum(attempt)::int as attempts
      from public.ai_jobs where status = 'processing'`;
    assertEquals(row, { tokens: 200, attempts: 200 });
  });
});

Deno.test("claim_ai_jobs: 20 connections claim the same jobs by id: none twice, none lost", async () => {
  await withDatabase(async (db) => {
    const ids = await insertJobs(db, 50);
    const sessions = await db.connections(20, "service_role");
    const taken = await Promise.all(
      sessions.map((sql) => queueOver(sql).claim(50, ids)),
    );
    assertEquals(
      taken.flat().map((job) => job.id).sort(),
      [...ids].sort(),
    );
  });
});

Deno.test("claim_ai_jobs: twin: a claim that reads first and updates later claims jobs twice", async () => {
  await withDatabase(async (db) => {
    const ids = await insertJobs(db, 10);
    const sessions = await db.connections(5);
    const looked = await Promise.all(
      sessions.map((sql) =>
        sql<
          { id: string }[]
        >`select id from public.ai_jobs where status = 'pending'`
      ),
    );
    const taken = await Promise.all(
      sessions.map((sql, index) =>
        sql<{ id: string }[]>`
        update public.ai_jobs
        set status = 'processing', attempt = attempt + 1, lease_token = gen_random_uuid(),
          lease_expires_at = clock_timestamp(), started_at = clock_timestamp()
        where id = any (${looked[index]?.map((job) => job.id) ?? []})
        returning id`
      ),
    );
    const all = taken.flat().map((job) => job.id);
    assertEquals(new Set(all).size, ids.length);
    assertEquals(all.length, 5 * ids.length);
  });
});

Deno.test("claim_ai_jobs: a claim waits until another one has committed, and gets the remaining jobs", async () => {
  await withDatabase(async (db) => {
    const ids = await insertJobs(db, 2);
    const [slow, quick] = await db.connections(2, "service_role");
    assert(slow !== undefined && quick !== undefined);

    const waiting = await slow.begin(async (transaction) => {
      const [held] = await queueOver(transaction).claim(1);
      const pid = await backendOf(quick);
      const rest = queueOver(quick).claim(2);
      await untilBlocked(db, pid);
      return { held, rest };
    });
    const rest = await waiting.rest;
    assertEquals(
      [waiting.held?.id, ...rest.map(({ id }) => id)].sort(),
      [...ids].sort(),
    );
  });
});

Deno.test("claim_ai_jobs: a claim that is rolled back leaves its job to others", async () => {
  await withDatabase(async (db) => {
    await insertJobs(db, 1);
    const [slow, quick] = await db.connections(2, "service_role");
    assert(slow !== undefined && quick !== undefined);
    await slow.begin(async (transaction) => {
      assertEquals((await queueOver(transaction).claim(1)).length, 1);
      throw new Rollback();
    }).catch(swallowRollback);
    assertEquals((await queueOver(quick).claim(1)).length, 1);
  });
});

class Rollback extends Error {}
function swallowRollback(error: unknown) {
  if (!(error instanceof Rollback)) throw error;
}

Deno.test("claim_ai_jobs: the job is processing, with one more attempt and a new lease of its type's length", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    await db.sql`update public.ai_job_types set lease_seconds = 42`;
    const { id } = await insertJob(db);

    const first = await claimJob(bench, id);
    assertEquals([first.status, first.attempt, first.stage], [
      "processing",
      1,
      "claimed",
    ]);
    const [lease] = await db.sql<{ isTrue: boolean }[]>`
      select lease_expires_at - clock_timestamp() between interval '32 seconds' and interval '42 seconds' as "isTrue"
      from public.ai_jobs`;
    assertEquals(lease?.isTrue, true);
    assert(first.started_at !== null && first.started_at >= first.created_at);
    assertEquals((await eventsOf(db, id)).map(({ event }) => event), [
      "created",
      "claimed",
    ]);

    await queue.release(first);
    const second = await claimJob(bench, id);
    assertNotEquals(second.lease_token, first.lease_token);
    assertEquals(
      second.started_at,
      first.started_at,
      "the first start is kept",
    );
  });
});

Deno.test("claim_ai_jobs: by ids it claims only those, and silently skips those that are not due", async () => {
  await withQueue(async ({ db, queue }) => {
    const [wanted, , ...rest] = await insertJobs(db, 5);
    assert(wanted !== undefined);
    const later = await insertJob(db, { scheduled_at: inAnHour() });

    assertEquals(await queue.claim(10, []), []);
    assertEquals(
      await queue.claim(10, [crypto.randomUUID(), later.id]),
      [],
    );
    const jobs = await queue.claim(10, [wanted, later.id, wanted]);
    assertEquals(jobs.map((job) => job.id), [wanted]);
    assertEquals(await queue.claim(10, [wanted]), [], "it is already claimed");
    assertEquals((await queue.claim(10, rest)).length, 3);
    assertEquals((await queue.claim(10)).length, 1, "no ids means any");
  });
});

function inAnHour(): Date {
  return new Date(Date.now() + 3_600_000);
}

Deno.test("claim_ai_jobs: never claims more than the limit", async () => {
  await withQueue(async ({ db, queue }) => {
    await insertJobs(db, 5);
    assertEquals((await queue.claim(0)).length, 0);
    assertEquals((await queue.claim(3)).length, 3);
    assertEquals((await queue.claim(3)).length, 2);
    assertEquals((await refusalOf(() => queue.claim(-1))).code, "22023");
  });
});

Deno.test("claim_ai_jobs: jobs of a disabled type wait, and are claimed once it is enabled", async () => {
  await withQueue(async ({ db, queue }) => {
    const { id } = await insertJob(db);
    await db.sql`update public.ai_job_types set is_enabled = false`;
    assertEquals(await queue.claim(1), []);
    assertEquals(await queue.claim(1, [id]), []);
    assertEquals((await readJob(db, id)).status, "pending");

    await db.sql`update public.ai_job_types set is_enabled = true`;
    assertEquals((await queue.claim(1)).map((job) => job.id), [id]);
  });
});

Deno.test("claim_ai_jobs: a job is claimed although its type no longer names its provider", async () => {
  await withQueue(async ({ db, queue }) => {
    const { id } = await insertJob(db);
    await db
      .sql`update public.ai_job_types set provider = 'heygen', other_providers = '{}' where job_type = 'voice_clone'`;
    assertEquals(
      (await queue.claim(1)).map((job) => [job.id, job.provider]),
      [[id, "elevenlabs"]],
    );
  });
});

Deno.test("claim_ai_jobs, heartbeat_ai_jobs, sweep_ai_jobs: none reads all waiting jobs", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertClaimedJob(bench);
    await insertJobs(db, 5000);
    await db.sql`analyze public.ai_jobs`;
    const beats = JSON.stringify([
      { job_id: job.id, lease_token: job.lease_token, progress: 10 },
    ]);
    for (
      const statement of [
        "select public.claim_ai_jobs(5)",
        `select public.heartbeat_ai_jobs('${beats}')`,
        "select private.sweep_ai_jobs()",
      ]
    ) {
      const [read] = await db.sql.begin(async (sql) => {
        await sql.unsafe(statement);
        return await sql<{ rows: number }[]>`
          select seq_tup_read::int as rows from pg_stat_xact_user_tables
          where relid = 'public.ai_jobs'::regclass`;
      });
      assertEquals(read?.rows, 0, statement);
    }
  });
});

Deno.test("claim_ai_jobs: a scheduled job is claimed from its time on", async () => {
  await withQueue(async ({ db, queue }) => {
    const { id } = await insertJob(db, { scheduled_at: inAnHour() });
    assertEquals(await queue.claim(1), []);
    await makeDue(db, id);
    assertEquals((await queue.claim(1)).map((job) => job.id), [id]);
  });
});

Deno.test("claim_ai_jobs: a job without attempts left is not claimed; with one left it is", async () => {
  await withQueue(async ({ db, queue }) => {
    const { id } = await insertJob(db);
    await setAttempts(db, id, { attempt: 5 });
    assertEquals(await queue.claim(1), []);
    await setAttempts(db, id, { attempt: 4 });
    assertEquals((await queue.claim(1))[0]?.attempt, 5);
  });
});

Deno.test("claim_ai_jobs: only waiting jobs are claimed", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const ids = await insertJobs(db, 4);
    const [held, completed, failed, cancelled] = ids;
    assert(held && completed && failed && cancelled);
    await claimJob(bench, held);
    await queue.complete(await claimJob(bench, completed));
    await queue.fail(await claimJob(bench, failed), { isRetryable: false });
    await db.sql`
      update public.ai_jobs set status = 'cancelled', completed_at = now() where id = ${cancelled}`;
    assertEquals(await queue.claim(10), []);
    assertEquals(await queue.claim(10, ids), []);
  });
});

Deno.test("claim_ai_jobs: lower priority numbers first, then the longest due, in any order of arrival", async () => {
  await withQueue(async ({ db, queue }) => {
    const minutesAgo = [5, 30, 10];
    const expected: string[] = [];
    for (const priority of [1, -1, 0]) {
      for (const minutes of minutesAgo) {
        const { id } = await insertJob(db);
        await db.sql`
          update public.ai_jobs
          set priority = ${priority}, scheduled_at = now() - make_interval(mins => ${minutes})
          where id = ${id}`;
      }
    }
    const ordered = await db.sql<{ id: string }[]>`
      select id from public.ai_jobs order by priority, scheduled_at`;
    expected.push(...ordered.map((job) => job.id));

    const taken: string[] = [];
    for (let turn = 0; turn < 9; turn++) {
      taken.push(...(await queue.claim(1)).map((job) => job.id));
    }
    assertEquals(taken, expected);
  });
});

Deno.test("claim_ai_jobs: a clock that was set back does not stop the queue", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const ahead = await insertJob(db);
    const other = await insertJob(db);
    // As after a failover from the machine that accepted the job to one whose clock is behind.
    await db
      .sql`update public.ai_jobs set created_at = now() + interval '5 minutes' where id = ${ahead.id}`;

    const jobs = await queue.claim(2);

    assertEquals(jobs.map((job) => job.id).sort(), [ahead.id, other.id].sort());
    for (const job of jobs) assert(await queue.complete(job));
  });
});

Deno.test("claim_ai_jobs: returns the row as it was written", async () => {
  await withQueue(async (bench) => {
    const { id } = await insertJob(bench.db);
    assertEquals({ ...await claimJob(bench, id) }, {
      ...await readJob(bench.db, id),
    });
  });
});

Deno.test("claim_ai_jobs: a claim whose transaction is rolled back costs no attempt and leaves no event", async () => {
  await withDatabase(async (db) => {
    const { id } = await insertJob(db);
    await db.asService(async (sql) => {
      assertEquals((await queueOver(sql).claim(1)).length, 1);
      throw new Rollback();
    }).catch(swallowRollback);
    const job = await readJob(db, id);
    assertEquals([job.status, job.attempt, job.event_seq], ["pending", 0, 1]);
    assertEquals((await eventsOf(db, id)).length, 1);
  });
});
