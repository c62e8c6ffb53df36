/** Health and metrics: each check fails exactly when its fault is injected, and none costs more with more jobs. */
import { assert, assertEquals } from "@std/assert";
import type { TestDatabase } from "../_support/database.ts";
import {
  type Bench,
  expireLease,
  insertClaimedJob,
  insertJob,
  insertJobs,
  withQueue,
} from "./_support/factories.ts";

interface Health {
  status: string;
  oldest_waiting_seconds: number | null;
  queue: {
    provider: string;
    waiting: number;
    scheduled: number;
    running: number;
  }[];
  checks: { name: string; status: string; observed: number }[];
}

async function readHealth(db: TestDatabase): Promise<Health> {
  await db.sql`select private.fold_ai_counters()`;
  const { health } = await db.asService(async (sql) => {
    const [row] = await sql<
      { health: Health }[]
    >`select public.read_ai_health() as health`;
    assert(row !== undefined);
    return row;
  });
  return health;
}

/** The checks that are not ok, by name. */
async function failingChecks(
  db: TestDatabase,
): Promise<Record<string, string>> {
  const { checks } = await readHealth(db);
  return Object.fromEntries(
    checks.filter(({ status }) => status !== "ok").map((
      { name, status },
    ) => [name, status]),
  );
}

/** A project that can dispatch, and whose schedules have just run. */
async function withHealthy(run: (bench: Bench) => Promise<void>) {
  await withQueue(async (bench) => {
    const { sql } = bench.db;
    await sql`delete from vault.secrets`;
    await sql`select vault.create_secret('http://127.0.0.1:1', 'project_url')`;
    await sql`select vault.create_secret(${
      "whsec_" + btoa("x".repeat(32))
    }, 'dispatch_secret')`;
    await sql`select private.sweep_ai_jobs()`;
    await sql`update private.ai_schedule_runs set last_run_at = now()`;
    assertEquals(await failingChecks(bench.db), {});
    await run(bench);
  });
}

Deno.test("health: a healthy project is ok, also with jobs that wait and run", async () => {
  await withHealthy(async (bench) => {
    await insertJobs(bench.db, 3);
    await insertClaimedJob(bench);
    const { status, queue } = await readHealth(bench.db);
    assertEquals(status, "ok");
    assertEquals(
      queue.find(({ provider }) => provider === "elevenlabs"),
      { provider: "elevenlabs", waiting: 3, scheduled: 0, running: 1 },
    );
  });
});

Deno.test("health: jobs that are scheduled for later are counted separately, and none of them is due", async () => {
  await withHealthy(async ({ db }) => {
    const user = await db.createUser();
    await db.sql`
      insert into public.ai_jobs (user_id, job_type, metadata, scheduled_at)
      select ${user.id}, 'text_to_speech', '{"text": "Later.", "voice_id": "21m00Tcm4TlvDq8ikWAM"}',
        now() + interval '1 day'
      from generate_series(1, 3)`;
    const read = async () => {
      const { queue, oldest_waiting_seconds } = await readHealth(db);
      const { waiting, scheduled } = queue.find((one) =>
        one.provider === "elevenlabs"
      ) ?? {};
      return { waiting, scheduled, isDue: oldest_waiting_seconds !== null };
    };
    assertEquals(await read(), { waiting: 0, scheduled: 3, isDue: false });
    await db.sql`
      update public.ai_jobs set scheduled_at = now()
      where id = (select id from public.ai_jobs limit 1)`;
    assertEquals(await read(), { waiting: 1, scheduled: 2, isDue: true });
    const [health] = await db.sql`
      select oldest_due_seconds is null as is_null from private.ai_health`;
    assertEquals(health?.["is_null"], false);
    await db.sql`delete from public.ai_jobs`;
    const [idle] = await db.sql`
      select oldest_due_seconds is null as is_null from private.ai_health`;
    assertEquals(idle?.["is_null"], true);
  });
});

Deno.test("health: a sweep that has stopped is failing after a minute, and its next run makes it ok", async () => {
  await withHealthy(async ({ db }) => {
    await db.sql`
      update private.ai_schedule_runs set last_run_at = now() - interval '61 seconds' where name = 'sweep'`;
    assertEquals(await failingChecks(db), { sweep_age: "failing" });
    assertEquals((await readHealth(db)).status, "failing");
    await db.sql`select private.sweep_ai_jobs()`;
    assertEquals(await failingChecks(db), {});
  });
});

Deno.test("health: a janitor that has not run for an hour is degraded, unless it is disabled", async () => {
  await withHealthy(async ({ db }) => {
    await db.sql`
      update private.ai_schedule_runs set last_run_at = now() - interval '61 minutes' where name = 'janitor'`;
    assertEquals(await failingChecks(db), { janitor_age: "degraded" });
    await db.sql`select cron.unschedule('run-janitor')`;
    assertEquals(await failingChecks(db), {});
  });
});

Deno.test("health: a run of the janitor is recorded when the function receives it, not when it is called", async () => {
  await withHealthy(async ({ db }) => {
    await db
      .sql`update private.ai_schedule_runs set last_run_at = '2000-01-01'`;
    await db.sql`select private.run_janitor()`;
    const age = async () =>
      (await db.sql`
        select last_run_at > now() - interval '1 minute' as is_new
        from private.ai_schedule_runs where name = 'janitor'`)[0]?.["is_new"];
    assertEquals(await age(), false);
    await db.asService((sql) =>
      sql`select public.begin_janitor_run('msg_1', extract(epoch from now())::float8)`
    );
    assertEquals(await age(), true);
  });
});

Deno.test("health: without the secrets nothing is dispatched, which is failing", async () => {
  await withHealthy(async ({ db }) => {
    await db.sql`delete from vault.secrets where name = 'dispatch_secret'`;
    assertEquals(await failingChecks(db), { dispatch_unconfigured: "failing" });
  });
});

Deno.test("health: calls that our functions refuse are degraded, a repeated delivery is not", async () => {
  await withHealthy(async ({ db }) => {
    const answer = (status: number, count: number) =>
      db.sql`
        insert into net._http_response (id, status_code, timed_out)
        select 1000 + ${status} * 100 + n, ${status}, false from generate_series(1, ${count}::int) as n`;
    await answer(202, 50);
    await answer(409, 50);
    assertEquals(await failingChecks(db), {});
    await answer(401, 11);
    assertEquals(await failingChecks(db), { dispatch_failures: "degraded" });
    await db
      .sql`update net._http_response set created = now() - interval '11 minutes'`;
    assertEquals(await failingChecks(db), {});
  });
});

Deno.test("health: an open breaker is degraded, and a paused provider is not", async () => {
  await withHealthy(async ({ db }) => {
    await db.asService((sql) =>
      sql`select public.pause_ai_jobs(p_provider => 'heygen')`
    );
    assertEquals(await failingChecks(db), {});
    await db.sql`
      update public.ai_providers set breaker_opened_at = now(), breaker_probe_at = now() where provider = 'd-id'`;
    assertEquals(await failingChecks(db), { open_breakers: "degraded" });
  });
});

Deno.test("health: a parked job is degraded until it is resolved", async () => {
  await withHealthy(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await queue.begin(job);
    await queue.fail(job, { isRetryable: false });
    assertEquals(await failingChecks(db), { parked_jobs: "degraded" });
    await db.asService((sql) =>
      sql`select public.resolve_unknown_ai_job(${job.id}, false)`
    );
    assertEquals(await failingChecks(db), {});
  });
});

Deno.test("health: more than a quarter of at least ten jobs failing within 15 minutes is degraded", async () => {
  await withHealthy(async (bench) => {
    const { db, queue } = bench;
    const end = async (count: number, isFailed: boolean) => {
      await insertJobs(db, count);
      for (const job of await queue.claim(count)) {
        if (isFailed) {
          await queue.fail(job, {
            code: "input_not_found",
            isRetryable: false,
          });
        } else await queue.complete(job);
      }
    };
    await end(9, true);
    assertEquals(await failingChecks(db), {});
    await end(1, true);
    assertEquals(await failingChecks(db), { failed_share: "degraded" });
    await end(30, false);
    assertEquals(await failingChecks(db), {}, "a quarter is tolerated");
    await end(1, true);
    assertEquals(await failingChecks(db), { failed_share: "degraded" });
  });
});

/** Runs a test that counts in whole minutes, and runs it again if the minute changed meanwhile. */
async function withinOneMinute(run: () => Promise<void>): Promise<void> {
  const minute = () => Math.floor(Date.now() / 60_000);
  for (;;) {
    const before = minute();
    try {
      return await run();
    } catch (error) {
      if (minute() === before) throw error;
    }
  }
}

Deno.test("health: it reports since which minute too many jobs fail, at most an hour back", async () => {
  await withinOneMinute(() =>
    withHealthy(async ({ db }) => {
      const minutesFailing = async () => {
        const [row] = await db.sql<{ minutes: number | null }[]>`
        select (extract(epoch from date_trunc('minute', now()) - (private.check_ai_health() ->> 'failing_since')::timestamptz)
          / 60)::integer as minutes`;
        return row?.minutes;
      };
      const count = (metric: string, minutesAgo: number, amount: number) =>
        db.sql`
        insert into private.ai_counters (resolution, bucket_at, metric, job_type, provider, code, slot, amount)
        values (60, date_trunc('minute', now()) - make_interval(mins => ${minutesAgo}), ${metric}, 'voice_clone',
          'elevenlabs', '', 0, ${amount})`;
      assertEquals(await minutesFailing(), null);
      // From 20 minutes ago on, every period of 15 minutes has enough failures.
      await count("failed", 20, 10);
      await count("failed", 8, 10);
      assertEquals(await minutesFailing(), 20);
      // Healthy for at most a minute: what was before does not count.
      await count("completed", 12, 1000);
      assertEquals(await minutesFailing(), null);
      await db.sql`delete from private.ai_counters where metric = 'completed'`;
      await count("completed", 19, 1000);
      assertEquals(await minutesFailing(), 4);
      await db.sql`delete from private.ai_counters`;
      for (let at = 0; at < 100; at += 5) await count("failed", at, 10);
      assertEquals(await minutesFailing(), 59);
    })
  );
});

Deno.test("health: a job whose lease expired a minute ago is stuck, until the sweep rescues it", async () => {
  await withHealthy(async (bench) => {
    const { db } = bench;
    const { id } = await insertClaimedJob(bench);
    await expireLease(db, id);
    assertEquals(await failingChecks(db), {});
    await db.sql`
      update public.ai_jobs set lease_expires_at = now() - interval '61 seconds' where id = ${id}`;
    assertEquals(await failingChecks(db), { stuck_jobs: "failing" });
    await db.sql`select private.sweep_ai_jobs()`;
    assertEquals(await failingChecks(db), {});
  });
});

/** A job that has a turn and has been due for three minutes without being claimed. */
async function insertUnclaimed(
  db: TestDatabase,
): Promise<{ id: string; user_id: string }> {
  const job = await insertJob(db);
  await db.sql`
    update public.ai_jobs set created_at = now() - interval '4 minutes', scheduled_at = now() - interval '3 minutes'
    where id = ${job.id}`;
  await db.sql`select private.ready_due_ai_jobs(10)`;
  return job;
}

Deno.test("health: a due job that is not claimed is stuck, unless it has a reason to wait", async () => {
  await withHealthy(async ({ db, queue }) => {
    const { user_id } = await insertUnclaimed(db);
    assertEquals(await failingChecks(db), { stuck_jobs: "failing" });

    const reasons: [string, string][] = [
      [
        `update public.ai_job_types set paused_at = now() where job_type = 'voice_clone'`,
        `update public.ai_job_types set paused_at = null`,
      ],
      [
        `update public.ai_job_types set is_enabled = false where job_type = 'voice_clone'`,
        `update public.ai_job_types set is_enabled = true`,
      ],
      [
        `update public.ai_providers set paused_at = now() where provider = 'elevenlabs'`,
        `update public.ai_providers set paused_at = null`,
      ],
      [
        `update public.ai_limits set paused_at = now() where user_id = '${user_id}'`,
        `update public.ai_limits set paused_at = null`,
      ],
    ];
    for (const [reason, undo] of reasons) {
      await db.sql.unsafe(reason);
      assertEquals(await failingChecks(db), {}, reason);
      await db.sql.unsafe(undo);
      assertEquals(await failingChecks(db), { stuck_jobs: "failing" }, undo);
    }

    // While others of its type are claimed, it only waits for its turn.
    const other = await insertJob(db);
    await queue.claim(1, [other.id]);
    assertEquals(await failingChecks(db), {});
  });
});

Deno.test("health: a stuck job is counted also behind 200 older ones of a paused user", async () => {
  await withHealthy(async ({ db }) => {
    const jobs = await insertJobs(db, 210);
    await db.sql`
      update public.ai_jobs set created_at = now() - interval '10 minutes', scheduled_at = now() - interval '9 minutes'
      where id = any (${jobs})`;
    await db.sql`select private.ready_due_ai_jobs(1000)`;
    const { user_id } = await insertUnclaimed(db);
    await db.sql`
      update public.ai_limits set paused_at = now() where user_id is not null and user_id <> ${user_id}`;
    assertEquals(await failingChecks(db), { stuck_jobs: "failing" });
  });
});

Deno.test("health: a due job of a provider without room is not stuck", async () => {
  await withHealthy(async (bench) => {
    const { db } = bench;
    await insertClaimedJob(bench);
    await insertUnclaimed(db);
    await db.sql`select private.fold_ai_counters()`;
    await db
      .sql`update private.ai_counters set bucket_at = bucket_at - interval '10 minutes' where resolution = 60`;
    assertEquals(await failingChecks(db), { stuck_jobs: "failing" });
    await db
      .sql`update public.ai_providers set max_concurrent = 1 where provider = 'elevenlabs'`;
    assertEquals(await failingChecks(db), {});
  });
});

Deno.test("health: without the sweep, due jobs without a turn count as stuck as well", async () => {
  await withHealthy(async ({ db }) => {
    const job = await insertJob(db);
    await db.sql`
      update public.ai_jobs
      set queue_key = null, created_at = now() - interval '4 minutes', scheduled_at = now() - interval '3 minutes'
      where id = ${job.id}`;
    assertEquals(await failingChecks(db), {});
    await db
      .sql`update private.ai_schedule_runs set last_run_at = now() - interval '5 minutes' where name = 'sweep'`;
    assertEquals(await failingChecks(db), {
      stuck_jobs: "failing",
      sweep_age: "failing",
    });
  });
});

Deno.test("health, metrics: only the service may read them", async () => {
  await withQueue(async ({ db }) => {
    const user = await db.createUser();
    for (const name of ["read_ai_health", "read_ai_metrics"]) {
      for (
        const act of [
          db.asAnon,
          (run: Parameters<typeof db.asAnon>[0]) => db.asUser(user.id, run),
        ]
      ) {
        const code = await act((sql) => sql.unsafe(`select public.${name}()`))
          .then(() => "allowed", (error) => error.code);
        assertEquals(code, "42501", name);
      }
    }
  });
});
