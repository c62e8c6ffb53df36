/** The lock order (accounts, jobs, limits, calls, each by id): functions that lock several rows never deadlock. */
import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import {
  aVoice,
  type Bench,
  uploadSample,
  withQueue,
} from "./_support/factories.ts";

const OWNERS = 4;
const JOBS_OF_EACH = 6;
const ROUNDS = 3;
const DEADLOCK = "40P01";

interface Leased {
  id: string;
  lease_token: string;
  call_id: string | null;
}

/** The owners of a race, with the inputs of their jobs. */
type Owners = { userId: string; inputUrl: string }[];

function shuffled<T>(items: readonly T[]): T[] {
  return items.map((item) => ({ item, order: Math.random() }))
    .sort((a, b) => a.order - b.order).map(({ item }) => item);
}

async function running(sql: postgres.ISql): Promise<Leased[]> {
  return shuffled(
    await sql<Leased[]>`
      select j.id, j.lease_token,
        (select c.id from public.ai_provider_calls as c where c.job_id = j.id and c.outcome = 'sent' limit 1) as call_id
      from public.ai_jobs as j where j.status = 'processing'`,
  );
}

const leased = ({ id, lease_token }: Leased) => ({ job_id: id, lease_token });

/** Each changes several rows, in a random order. */
const OPERATIONS: Record<
  string,
  (sql: postgres.Sql, owners: Owners) => Promise<unknown>
> = {
  claim_ai_jobs: (sql) => sql`select public.claim_ai_jobs(20)`,
  heartbeat_ai_jobs: async (sql) =>
    await sql`select public.heartbeat_ai_jobs(${
      sql.json(
        (await running(sql)).map((job) => ({ ...leased(job), progress: 40 })),
      )
    })`,
  begin_provider_calls: async (sql) =>
    await sql`select public.begin_provider_calls(${
      sql.json(
        (await running(sql)).map((job) => ({
          ...leased(job),
          call_id: crypto.randomUUID(),
          operation: "create_voice",
          progress: 30,
          stage: "calling_provider",
        })),
      )
    })`,
  settle_provider_calls: async (sql) =>
    await sql`select public.settle_provider_calls(${
      sql.json(
        (await running(sql)).map((job, index) => ({
          ...leased(job),
          call_id: job.call_id,
          outcome: index % 3 === 0 ? "rejected" : "succeeded",
          provider_object_id: `voice-of-${job.id}`,
          error_code: index % 3 === 0 ? "provider_unavailable" : null,
        })),
      )
    })`,
  complete_ai_jobs: async (sql) =>
    await sql`select public.complete_ai_jobs(${
      sql.json(
        (await running(sql)).map((job, index) => ({
          ...leased(job),
          result_data: {},
          // One item cannot be written, so that all are written one by one.
          product: index === 1 ? { kind: "song" } : aVoice(),
          cache_seconds: 60,
          report_progress: 90,
          report_stage: "storing_output",
          // Some completions also settle a call.
          ...(index % 2 === 0 || job.call_id === null ? {} : {
            call_id: job.call_id,
            outcome: "succeeded",
            provider_object_id: `voice-of-${job.id}`,
          }),
        })),
      )
    })`,
  fail_ai_job: async (sql) => {
    for (const { id, lease_token } of (await running(sql)).slice(0, 8)) {
      await sql`
        select public.fail_ai_job(${id}, ${lease_token}, 'provider_unavailable', 'down', ${
        Math.random() < 0.5
      })`;
    }
  },
  rescue_stalled_ai_jobs: async (sql) => {
    for (const { id } of (await running(sql)).slice(0, 8)) {
      await sql`
        update public.ai_jobs set lease_expires_at = clock_timestamp() - interval '1 second'
        where id = ${id} and status = 'processing'`;
    }
    await sql`select public.rescue_stalled_ai_jobs()`;
  },
  redrive_ai_jobs: (sql) => sql`select public.redrive_ai_jobs()`,
  delete_ended_ai_jobs: (sql) =>
    sql`select public.delete_ended_ai_jobs(p_ended_before => now(), p_limit => 2)`,
  "an owner cancels": async (sql) => {
    for (const { id } of (await running(sql)).slice(0, 4)) {
      await sql`
        update public.ai_jobs set cancel_requested_at = now() where id = ${id} and status = 'processing'`;
    }
  },
  "an insert for several owners": (sql, owners) => {
    const order = shuffled(owners);
    return sql`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata)
      select o.user_id, 'voice_clone', o.input_url, jsonb_build_object('voice_name', 'Voice ' || gen_random_uuid())
      from unnest(
        ${order.map(({ userId }) => userId)}::uuid[], ${
      order.map(({ inputUrl }) => inputUrl)
    }::text[]
      ) as o (user_id, input_url)`;
  },
  "private.sweep_ai_jobs": (sql) => sql`select private.sweep_ai_jobs()`,
};

async function prepare(bench: Bench): Promise<Owners> {
  const { db } = bench;
  // Each paid call then locks its owner's limits.
  await db.sql`
    insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
    values ('voice_clone', 'elevenlabs', 'creation', 1, 1)
    on conflict (job_type, provider) do update set price_micros = 1`;
  await db
    .sql`update public.ai_providers set budget_micros = 1000000000, breaker_threshold = 1000`;
  await db.sql`
    update public.ai_limits set max_active_jobs = 1000000, max_jobs_per_day = 1000000, max_voices = 1000000
    where user_id is null`;
  await db.sql`
    update public.ai_job_types set max_attempts = 10, backoff_base_seconds = 1, backoff_max_seconds = 1`;
  const owners: Owners = [];
  for (let n = 0; n < OWNERS; n++) {
    const { id: userId } = await db.createUser();
    owners.push({ userId, inputUrl: await uploadSample(db, userId) });
  }
  return owners;
}

/** New jobs of all owners: some running, some of them in a paid call, some failed, some waiting. */
async function refill({ db, queue }: Bench, owners: Owners): Promise<void> {
  await db.sql`delete from public.ai_jobs`;
  for (const { userId, inputUrl } of owners) {
    await db.sql`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata)
      select ${userId}, 'voice_clone', ${inputUrl}, jsonb_build_object('voice_name', 'Voice ' || gen_random_uuid())
      from generate_series(1, ${JOBS_OF_EACH})`;
  }
  const jobs = await queue.claim(OWNERS * (JOBS_OF_EACH - 1));
  for (const [index, job] of jobs.entries()) {
    if (index % 3 === 0) await queue.fail(job, { isRetryable: false });
    if (index % 3 === 1) await queue.begin(job);
  }
}

Deno.test("lock order: two functions on the same rows never deadlock", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const owners = await prepare(bench);
    const [one, other] = await db.connections(2);
    assert(one !== undefined && other !== undefined);
    const names = Object.keys(OPERATIONS);
    const deadlocks: string[] = [];
    for (const [index, first] of names.entries()) {
      for (const second of names.slice(index)) {
        await refill(bench, owners);
        const run = async (sql: postgres.Sql, name: string) => {
          for (let round = 0; round < ROUNDS; round++) {
            try {
              await OPERATIONS[name]?.(sql, owners);
            } catch (error) {
              if (!(error instanceof postgres.PostgresError)) throw error;
              if (error.code === DEADLOCK) {
                deadlocks.push(`${first} and ${second}`);
              } else throw error;
            }
          }
        };
        await Promise.all([run(one, first), run(other, second)]);
      }
    }
    assertEquals(deadlocks, []);
  });
});
