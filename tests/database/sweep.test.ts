/** sweep_ai_jobs: the delivery guarantee. A due job that no worker has claimed is dispatched again after any loss. */
import { assert, assertEquals } from "@std/assert";
import { z } from "zod";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import {
  aVoice,
  claimJob,
  expireLease,
  insertClaimedJob,
  insertJob,
  insertJobs,
  makeDue,
  pictureOf,
  readJob,
  setAttempts,
  withQueue,
} from "./_support/factories.ts";

async function setVault(db: TestDatabase): Promise<void> {
  await db
    .sql`select vault.create_secret('https://project.example', 'project_url')`;
  await db.sql`select vault.create_secret(${`whsec_${
    btoa("x".repeat(32))
  }`}, 'dispatch_secret')`;
}

/** Empties the queue of requests and runs the sweep. Returns its counts, and the ids in each call that it queued. */
async function sweep(
  db: TestDatabase,
): Promise<{ rescued: number; dispatched: number; calls: string[][] }> {
  await db.sql`delete from net.http_request_queue`;
  const [row] = await db.sql<
    { counts: { rescued: number; dispatched: number } }[]
  >`select private.sweep_ai_jobs() as counts`;
  assert(row !== undefined);
  const requests = await db.sql<{ body: string }[]>`
    select convert_from(body, 'UTF8') as body from net.http_request_queue order by id`;
  return {
    ...row.counts,
    calls: requests.map(({ body }) =>
      z.object({ job_ids: z.array(z.string()) }).parse(JSON.parse(body)).job_ids
    ),
  };
}

Deno.test("sweep_ai_jobs: pg_cron runs it every 2 seconds, the janitor every 15 minutes, the clean-up hourly", async () => {
  await withDatabase(async (db) => {
    const jobs = await db.sql<
      { jobname: string; schedule: string; command: string }[]
    >`select jobname, schedule, command from cron.job where active order by jobname`;
    assertEquals([...jobs], [
      {
        jobname: "fold-ai-counters",
        schedule: "5 seconds",
        command: "select private.fold_ai_counters()",
      },
      {
        jobname: "prune-ai-counters",
        schedule: "29 * * * *",
        command: "select private.prune_ai_counters()",
      },
      {
        jobname: "prune-ai-job-leftovers",
        schedule: "17 * * * *",
        command: "select private.prune_ai_job_leftovers()",
      },
      {
        jobname: "prune-provider-webhook-receipts",
        schedule: "23 * * * *",
        command: "select private.prune_provider_webhook_receipts()",
      },
      {
        jobname: "run-janitor",
        schedule: "*/15 * * * *",
        command: "select private.run_janitor()",
      },
      {
        jobname: "sweep-ai-jobs",
        schedule: "2 seconds",
        command: "select private.sweep_ai_jobs()",
      },
    ]);
    for (const { command } of jobs) await db.sql.unsafe(command);
  });
});

Deno.test("sweep_ai_jobs: with nothing to do it sends no dispatch", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    await setVault(db);
    await insertClaimedJob(bench);
    await queue.complete(await insertClaimedJob(bench));
    const before = (await pictureOf(db)).filter((line) =>
      !line.startsWith("http_request_queue ")
    );
    assertEquals(await sweep(db), { rescued: 0, dispatched: 0, calls: [] });
    assertEquals(await pictureOf(db), before);
  });
});

Deno.test("sweep_ai_jobs: a job whose dispatch was lost is dispatched again until it is claimed", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    // Without secrets the insert sends nothing, as when delivery is down.
    const { id } = await insertJob(db);
    assertEquals(await sweep(db), { rescued: 0, dispatched: 1, calls: [] });

    await setVault(db);
    for (let turn = 0; turn < 2; turn++) {
      assertEquals(await sweep(db), {
        rescued: 0,
        dispatched: 1,
        calls: [[id]],
      });
    }
    await claimJob(bench, id);
    assertEquals((await sweep(db)).calls, []);
  });
});

Deno.test("sweep_ai_jobs: a dead worker's job is rescued and dispatched in the same sweep", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await setVault(db);
    const dead = await insertClaimedJob(bench);
    const alive = await insertClaimedJob(bench);
    await expireLease(db, dead.id);
    assertEquals(await sweep(db), {
      rescued: 1,
      dispatched: 1,
      calls: [[dead.id]],
    });
    assertEquals((await readJob(db, dead.id)).status, "pending");
    assertEquals((await readJob(db, alive.id)).status, "processing");
  });
});

Deno.test("sweep_ai_jobs: a dead worker's job no longer counts against its owner's cap in the same sweep", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await setVault(db);
    const dead = await insertClaimedJob(bench);
    await db.sql`
      update public.ai_limits set max_concurrent_jobs = 1 where user_id = ${dead.user_id}`;
    await expireLease(db, dead.id);
    assertEquals((await sweep(db)).calls, [[dead.id]]);
  });
});

Deno.test("sweep_ai_jobs: jobs that cannot be claimed (later, disabled, paused, no room) are not dispatched", async (t) => {
  const cases: Record<
    string,
    { keep: (db: TestDatabase, id: string) => Promise<unknown> } & {
      free: (db: TestDatabase, id: string) => Promise<unknown>;
    }
  > = {
    "for later": {
      keep: (db) =>
        db.sql`update public.ai_jobs set scheduled_at = now() + interval '1 minute'`,
      free: (db, id) => makeDue(db, id),
    },
    "switched off": {
      keep: (db) => db.sql`update public.ai_job_types set is_enabled = false`,
      free: (db) => db.sql`update public.ai_job_types set is_enabled = true`,
    },
    "of a paused user": {
      keep: (db, id) =>
        db.sql`
        select public.pause_ai_jobs(p_user_id => (select user_id from public.ai_jobs where id = ${id}))`,
      free: (db, id) =>
        db.sql`
        select public.pause_ai_jobs(
          p_user_id => (select user_id from public.ai_jobs where id = ${id}), p_is_paused => false)`,
    },
    "for a provider without room": {
      keep: async (db) => {
        const { id } = await insertJob(db);
        await db.sql`select public.claim_ai_jobs(1, ${[id]})`;
        await db.sql`update public.ai_providers set max_concurrent = 1`;
      },
      free: (db) => db.sql`update public.ai_providers set max_concurrent = 2`,
    },
    "no attempts left": {
      keep: (db, id) => setAttempts(db, id, { attempt: 5 }),
      free: (db, id) => setAttempts(db, id, { attempt: 4 }),
    },
  };
  for (const [name, { keep, free }] of Object.entries(cases)) {
    await t.step(name, () =>
      withDatabase(async (db) => {
        await setVault(db);
        const { id } = await insertJob(db);
        await keep(db, id);
        assertEquals((await sweep(db)).calls, []);
        await free(db, id);
        assertEquals((await sweep(db)).calls, [[id]]);
      }));
  }
});

Deno.test("sweep_ai_jobs: dispatches the 200 longest waiting jobs, in calls of 20", async () => {
  await withDatabase(async (db) => {
    await setVault(db);
    await insertJobs(db, 230);
    await db.sql`
      update public.ai_jobs as j
      set priority = n.row % 3, scheduled_at = now() - make_interval(secs => (n.row * 7) % 230)
      from (select id, row_number() over () as row from public.ai_jobs) as n where n.id = j.id`;
    const order = await db.sql<{ id: string }[]>`
      select id from public.ai_jobs order by scheduled_at limit 200`;

    const { dispatched, calls } = await sweep(db);

    assertEquals(dispatched, 200);
    assertEquals(calls.map((ids) => ids.length), Array(10).fill(20));
    assertEquals(calls.flat().sort(), order.map((job) => job.id).sort());
  });
});

Deno.test("sweep_ai_jobs: a kind with more than 200 due jobs does not keep the others from being dispatched", async () => {
  await withDatabase(async (db) => {
    await setVault(db);
    await db.sql`
      insert into public.ai_job_types (job_type, provider, input_buckets, input_mime_types, is_input_required)
      values ('a_first', 'elevenlabs', '{}', '{}', false), ('z_last', 'elevenlabs', '{}', '{}', false)`;
    const { id: userId } = await db.createUser();
    await insertJobs(db, 230);
    const others = await db.sql<{ id: string }[]>`
      insert into public.ai_jobs (user_id, job_type, metadata)
      select ${userId}, t, '{}' from unnest(array['a_first', 'z_last']) as t
      returning id`;
    const { dispatched, calls } = await sweep(db);
    assertEquals(dispatched, 200);
    const missing = others.filter(({ id }) => !calls.flat().includes(id));
    assertEquals(missing, []);
  });
});

Deno.test("sweep_ai_jobs: no more jobs are dispatched than their provider has room for", async () => {
  await withDatabase(async (db) => {
    await setVault(db);
    await insertJobs(db, 8);
    await db.sql`update public.ai_providers set max_concurrent = 5`;
    await db.sql`select public.claim_ai_jobs(2)`;
    const { dispatched, calls } = await sweep(db);
    assertEquals(dispatched, 3);
    assertEquals(calls.map((ids) => ids.length), [3]);
    await db.sql`select public.claim_ai_jobs(3)`;
    assertEquals((await sweep(db)).calls, []);
  });
});

Deno.test("sweep_ai_jobs: receipts are kept longer than their dispatch is valid, then deleted", async () => {
  await withDatabase(async (db) => {
    await db.sql`
      insert into private.dispatch_receipts (message_id, received_at)
      values ('old', clock_timestamp() - interval '15 minutes 1 second'),
        ('kept', clock_timestamp() - interval '14 minutes')`;
    await sweep(db);
    const left = await db.sql<
      { message_id: string }[]
    >`select message_id from private.dispatch_receipts`;
    assertEquals(left.map((row) => row.message_id), ["kept"]);
  });
});

Deno.test("prune_ai_job_leftovers: the names of files removed a month ago are deleted", async () => {
  await withDatabase(async (db) => {
    await db.sql`
      insert into private.storage_removals (object_path, user_id, reason, outcome, done_at)
      select 'uploads/' || name, gen_random_uuid(), 'media', outcome, now() - age
      from (values
        ('old', 'removed', interval '31 days'), ('recent', 'removed', interval '29 days'), ('open', null, null)
      ) as r (name, outcome, age)`;
    await db.sql`select private.prune_ai_job_leftovers()`;
    const left = await db.sql<{ object_path: string }[]>`
      select object_path from private.storage_removals order by 1`;
    assertEquals(left.map((row) => row.object_path), [
      "uploads/open",
      "uploads/recent",
    ]);
  });
});

Deno.test("sweep_ai_jobs: with broken delivery it still rescues expired jobs", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const { id } = await insertClaimedJob(bench);
    await db
      .sql`select vault.create_secret('https://project.example', 'project_url')`;
    await db
      .sql`select vault.create_secret('whsec_not base64!', 'dispatch_secret')`;
    await expireLease(db, id);
    assertEquals((await sweep(db)).rescued, 1);
    assertEquals((await readJob(db, id)).status, "pending");
  });
});

Deno.test("sweep_ai_jobs: with only sweeps 30 jobs end, although every worker but the last dies", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const ids = await insertJobs(db, 30);
    for (let attempt = 1; attempt < 5; attempt++) {
      assertEquals((await queue.claim(100)).length, ids.length);
      await db
        .sql`update public.ai_jobs set lease_expires_at = now() - interval '1 second'`;
      assertEquals((await sweep(db)).rescued, ids.length);
      await db.sql`update public.ai_jobs set scheduled_at = now()`;
    }
    const last = await queue.claim(100);
    assertEquals(last.length, ids.length);
    for (const [index, job] of last.entries()) {
      if (index % 2 === 0) await queue.completeWithProduct(job, aVoice());
    }
    await db
      .sql`update public.ai_jobs set lease_expires_at = now() - interval '1 second' where status = 'processing'`;
    await sweep(db);
    const rows = await db.sql<
      { status: string; code: string | null; jobs: number }[]
    >`
      select status, error_code as code, count(*)::int as jobs
      from public.ai_jobs group by status, error_code order by status`;
    assertEquals([...rows], [
      { status: "completed", code: null, jobs: 15 },
      { status: "failed", code: "lease_expired", jobs: 15 },
    ]);
  });
});
