/** Factories for database tests: jobs in a chosen state, and snapshots of the tables to compare. */
import { assert } from "@std/assert";
import postgres from "postgres";
import { type TestDatabase, withDatabase } from "../../_support/database.ts";
import { type ClaimedJob, type Job, type Queue, queueOver } from "./queue.ts";
import { ItemError } from "./protocol.ts";

/** A row of `ai_job_events`. */
export interface JobEvent {
  seq: number;
  event: string;
  attempt: number;
  data: Record<string, unknown>;
}

/** The columns of a new job that a test may set; others are generated. */
export interface NewJob {
  id?: string;
  user_id?: string;
  job_type?: string;
  input_url?: string | null;
  metadata?: postgres.JSONValue;
  idempotency_key?: string;
  scheduled_at?: Date | string;
  priority?: number;
  cached_from_job_id?: string;
  depends_on_job_id?: string;
}

/** An error of Postgres. `detail` is empty when there was none. */
export interface Refusal {
  code: string;
  detail: string;
  message: string;
  constraint: string;
}

/** A database, and its queue as the worker sees it: a session with the role `service_role`. */
export interface Bench {
  db: TestDatabase;
  queue: Queue;
}

/** The caps have separate tests; elsewhere they would only interfere. */
export async function liftCaps(db: TestDatabase): Promise<void> {
  await db.sql`update public.ai_providers set max_concurrent = 10000`;
  await db
    .sql`update public.ai_limits set max_concurrent_jobs = 10000 where user_id is null`;
}

/** Runs a test with its own migrated database and the queue's functions. */
export function withQueue<T>(run: (bench: Bench) => Promise<T>): Promise<T> {
  return withDatabase(async (db) => {
    const [service] = await db.connections(1, "service_role");
    assert(service !== undefined);
    await liftCaps(db);
    // The breaker is disabled too, because an open one keeps attempts from being spent.
    await db.sql`update public.ai_providers set breaker_threshold = null`;
    return await run({ db, queue: queueOver(service) });
  });
}

/** A recording in the owner's folder that `voice_clone` accepts. Returns its `<bucket>/<path>`. */
export function uploadSample(
  db: TestDatabase,
  userId: string,
  values: {
    bucket?: string;
    name?: string;
    mimetype?: string;
    size?: number;
  } = {},
): Promise<string> {
  return db.putObject({
    bucket: values.bucket ?? "voice-samples",
    path: `${userId}/${values.name ?? `${crypto.randomUUID()}.mp3`}`,
    mimetype: values.mimetype ?? "audio/mpeg",
    size: values.size ?? 240_000,
  });
}

/** A pending job, inserted by the owner of the tables. Creates its user and recording unless they are given. */
export async function insertJob(
  db: TestDatabase,
  values: NewJob = {},
): Promise<Job> {
  const userId = values.user_id ?? (await db.createUser()).id;
  const [job] = await db.sql<Job[]>`
    insert into public.ai_jobs ${
    db.sql({
      job_type: "voice_clone",
      input_url: values.input_url ?? await uploadSample(db, userId),
      ...values,
      user_id: userId,
      metadata: db.sql.json(values.metadata ?? { voice_name: "Grandpa" }),
    })
  } returning *`;
  assert(job !== undefined);
  return job;
}

/** Many pending jobs of one new owner, with one recording, in one statement. Returns their ids, unordered. */
export async function insertJobs(
  db: TestDatabase,
  count: number,
): Promise<string[]> {
  await liftCaps(db);
  const { id: userId } = await db.createUser();
  const inputUrl = await uploadSample(db, userId);
  const rows = await db.sql<{ id: string }[]>`
    insert into public.ai_jobs (user_id, job_type, input_url, metadata)
    select ${userId}, 'voice_clone', ${inputUrl}, jsonb_build_object('voice_name', 'Voice ' || n)
    from generate_series(1, ${count}::int) as n
    returning id`;
  return rows.map((row) => row.id);
}

/** Claims this job, which must be due. */
export async function claimJob(
  { queue }: Bench,
  jobId: string,
): Promise<ClaimedJob> {
  const [job] = await queue.claim(1, [jobId]);
  assert(job !== undefined, "the job could not be claimed");
  return job;
}

/** A new job that is already claimed. */
export async function insertClaimedJob(
  bench: Bench,
  values: NewJob = {},
): Promise<ClaimedJob> {
  return await claimJob(bench, (await insertJob(bench.db, values)).id);
}

/** A completed voice clone with its voice, as the worker leaves it. */
export async function insertCompletedJob(
  bench: Bench,
  values: NewJob = {},
): Promise<Job> {
  const job = await insertClaimedJob(bench, values);
  const voice = aVoice();
  const isCompleted = await bench.queue.completeWithProduct(job, voice, {
    voice_id: voice.id,
    provider_voice_id: voice.provider_voice_id,
    voice_name: voice.name,
  });
  assert(isCompleted);
  return await readJob(bench.db, job.id);
}

/** A voice as the worker passes it on completion, with a unique id. */
export function aVoice() {
  return {
    kind: "voice",
    id: crypto.randomUUID(),
    provider_voice_id: `voice-${crypto.randomUUID()}`,
    name: "Grandpa",
    description: "a warm voice",
    labels: { accent: "Bavarian" },
    stability: 0.5,
    similarity_boost: 0.75,
  };
}

/** The current row. */
export async function readJob(db: TestDatabase, id: string): Promise<Job> {
  const [job] = await db.sql<
    Job[]
  >`select * from public.ai_jobs where id = ${id}`;
  assert(job !== undefined, "the job is gone");
  return job;
}

/** The timeline of a job, oldest first. */
export async function eventsOf(
  db: TestDatabase,
  jobId: string,
): Promise<JobEvent[]> {
  return [
    ...await db.sql<JobEvent[]>`
      select seq, event, attempt, data from public.ai_job_events where job_id = ${jobId} order by seq`,
  ];
}

/** Backdates the lease of a job so that it expired a second ago. */
export async function expireLease(
  db: TestDatabase,
  jobId: string,
): Promise<void> {
  const { count } = await db.sql`
    update public.ai_jobs set lease_expires_at = clock_timestamp() - interval '1 second'
    where id = ${jobId} and lease_token is not null`;
  assert(count === 1, "the job has no lease");
}

/** Makes a waiting job due, for every reason to wait. */
export async function makeDue(db: TestDatabase, jobId: string): Promise<void> {
  const { count } = await db.sql`
    update public.ai_jobs set scheduled_at = now() where id = ${jobId} and status = 'pending'`;
  assert(count === 1, "the job does not wait");
}

/** Sets the attempts that a waiting job has used up. */
export async function setAttempts(
  db: TestDatabase,
  jobId: string,
  values: { attempt?: number; max_attempts?: number },
): Promise<void> {
  await db.sql`update public.ai_jobs set ${db.sql(values)} where id = ${jobId}`;
}

/** Every row and column that the queue writes, as text, to compare before and after. */
export async function pictureOf(db: TestDatabase): Promise<string[]> {
  const rows = await db.sql<{ line: string }[]>`
    select line
    from (
      select 'ai_jobs ' || to_jsonb(j)::text as line from public.ai_jobs as j
      union all select 'ai_job_events ' || to_jsonb(e)::text from public.ai_job_events as e
      union all select 'ai_provider_calls ' || to_jsonb(c)::text from public.ai_provider_calls as c
      union all select 'voices ' || to_jsonb(v)::text from public.voices as v
      union all select 'ai_result_cache ' || to_jsonb(r)::text from public.ai_result_cache as r
      union all select 'dispatch_receipts ' || to_jsonb(d)::text from private.dispatch_receipts as d
      union all select 'http_request_queue ' || to_jsonb(q)::text from net.http_request_queue as q
    ) as pictures
    order by line`;
  return rows.map((row) => row.line);
}

/** The error with which Postgres refuses `run`; fails when it does not. */
export async function refusalOf(
  run: () => PromiseLike<unknown>,
): Promise<Refusal> {
  try {
    await run();
  } catch (error) {
    if (error instanceof ItemError) {
      const { code, detail, message, constraint } = error;
      return { code, detail, message, constraint };
    }
    if (!(error instanceof postgres.PostgresError)) throw error;
    return {
      code: error.code,
      detail: error.detail ?? "",
      message: error.message,
      constraint: error.constraint_name ?? "",
    };
  }
  throw new Error("Postgres did not refuse");
}

/**
 * Resolves once that session waits for a lock. Polls instead of sleeping; fails after a minute.
 *
 * @param pid the backend of the session, from `pg_backend_pid()`.
 */
export async function untilBlocked(
  db: TestDatabase,
  pid: number,
): Promise<void> {
  const [row] = await db.sql<{ until: number }[]>`
    select extract(epoch from clock_timestamp())::float8 + 60 as until`;
  for (;;) {
    const [now] = await db.sql<{ blocked: boolean; at: number }[]>`
      select cardinality(pg_blocking_pids(${pid})) > 0 as blocked,
        extract(epoch from clock_timestamp())::float8 as at`;
    if (now?.blocked) return;
    assert(
      (now?.at ?? 0) < (row?.until ?? 0),
      "the session was expected to wait for a lock",
    );
  }
}

/** The backend of a session, for {@link untilBlocked}. */
export async function backendOf(sql: postgres.Sql): Promise<number> {
  const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  assert(row !== undefined);
  return row.pid;
}

/** A user with the role of an operator; returns the id. */
export async function createOperator(db: TestDatabase): Promise<string> {
  const { id } = await db.createUser();
  await db.sql`
    update auth.users set raw_app_meta_data = raw_app_meta_data || '{"role": "ai_operator"}' where id = ${id}`;
  return id;
}
