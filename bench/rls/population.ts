/**
 * A database as after some years: many users with jobs and media of all ages, and a few due or running jobs. Rows are
 * written without triggers, which would dispatch each job, and for speed without checks, which stay unvalidated, and
 * without indexes, which are built afterwards. A test loads a small one and validates the checks.
 */
import type postgres from "postgres";

/** The numbers of rows. */
export interface Population {
  users: number;
  jobs: number;
  media: number;
  /** Number of jobs that are due, with their place in the queue. The same number waits for a later time. */
  dueJobs: number;
  /** Number of running jobs whose lease expired a minute ago. */
  stalledJobs: number;
}

/**
 * The id of the nth user, from 1. Spread like random ids, so that neighbours in time are not neighbours in an index.
 */
export function userIdSql(n: string): string {
  return `md5('user ' || ${n})::uuid`;
}

/** Random users, each with about the same number of rows. */
const randomUser = (users: number) =>
  userIdSql(`(1 + floor(random() * ${users}))::bigint`);

function jobs({ users, jobs, dueJobs, stalledJobs }: Population): string {
  // The newest jobs are waiting or running; the others have ended, one in fifty failed.
  return `
    insert into public.ai_jobs (
      user_id, job_type, provider, status, progress_percentage, input_url, input_hash, metadata, result_data, error_code,
      error_message, attempt, max_attempts, created_at, scheduled_at, queue_key, started_at, completed_at,
      lease_token, lease_expires_at, event_seq, last_event
    )
    select
      j.user_id, 'voice_clone', 'elevenlabs', j.status,
      case j.status when 'completed' then 100 when 'pending' then 0 else 30 end,
      'voice-samples/' || j.user_id || '/' || j.n || '.mp3',
      encode(sha256(j.n::text::bytea), 'hex'),
      jsonb_build_object('voice_name', 'Voice ' || j.n, 'description', 'a warm voice'),
      case j.status when 'completed' then jsonb_build_object('voice_id', 'v' || j.n, 'voice_name', 'Voice ' || j.n) end,
      case j.status when 'failed' then 'provider_rejected_input' end,
      case j.status when 'failed' then 'The AI provider could not use this input.' end,
      case j.status when 'pending' then 0 else 1 end, 5,
      j.created_at,
      case when j.is_later then now() + interval '1 day' else j.created_at end,
      case when j.status = 'pending' and not j.is_later then j.n end,
      case j.status when 'pending' then null else j.created_at + interval '1 second' end,
      case when j.status in ('completed', 'failed') then j.created_at + interval '20 seconds' end,
      case j.status when 'processing' then gen_random_uuid() end,
      case j.status when 'processing' then now() + case when j.is_stalled then interval '-1 minute' else interval '1 hour' end end,
      case j.status when 'pending' then 1 else 5 end, j.status
    from (
      select
        n,
        ${randomUser(users)} as user_id,
        now() - interval '10 minutes' - (${jobs} - n) * interval '1 minute' as created_at,
        ${jobs} - n between ${dueJobs} and ${2 * dueJobs - 1} as is_later,
        ${jobs} - n between ${2 * dueJobs} and ${
    2 * dueJobs + stalledJobs - 1
  } as is_stalled,
        case
          when ${jobs} - n < ${2 * dueJobs} then 'pending'
          when ${jobs} - n < ${
    2 * dueJobs + stalledJobs + 100
  } then 'processing'
          when n % 50 = 0 then 'failed'
          else 'completed'
        end as status
      from generate_series(1, ${jobs}) as n
    ) as j`;
}

function media({ users, media }: Population): string {
  return `
    insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes, created_at)
    select
      m.user_id, 'image', 'uploads/' || m.user_id || '/' || m.n || '.jpg', 'IMG_' || m.n || '.jpg', 'image/jpeg',
      1000000 + m.n, now() - (${media} - m.n) * interval '1 minute'
    from (select n, ${
    randomUser(users)
  } as user_id from generate_series(1, ${media}) as n) as m`;
}

/** Statements that drop everything that makes loading slow, and those that restore it. */
async function shortcuts(
  sql: postgres.TransactionSql,
): Promise<{ before: string[]; after: string[] }> {
  const rows = await sql<{ before: string; after: string }[]>`
    select
      format('alter table %s drop constraint %I', k.conrelid::regclass, k.conname) as before,
      format(
        'alter table %s add constraint %I %s not valid', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)
      ) as after
    from pg_constraint as k
    where k.contype = 'c' and k.connamespace = 'public'::regnamespace
    union all
    select format('drop index %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid)
    from pg_index as i
    where i.indrelid in (select c.oid from pg_class as c where c.relnamespace = 'public'::regnamespace)
      and not exists (select 1 from pg_constraint as k where k.conindid = i.indexrelid)`;
  return {
    before: rows.map((row) => row.before),
    after: rows.map((row) => row.after),
  };
}

/**
 * Fills an empty, migrated database and brings its statistics and visibility map up to date. `admin` is one connection
 * of a superuser. Further statements also run without triggers.
 */
export async function populate(
  admin: postgres.Sql,
  population: Population,
  further: string[] = [],
): Promise<void> {
  await admin.begin(async (sql) => {
    await sql`set local session_replication_role = replica`;
    await sql`set local statement_timeout = 0`;
    await sql`set local maintenance_work_mem = '256MB'`;
    await sql`select setseed(0.5)`;
    const { before, after } = await shortcuts(sql);
    for (
      const statement of [
        ...before,
        `insert into auth.users (id, email)
         select ${
          userIdSql("n")
        }, n || '@example.com' from generate_series(1, ${population.users}) as n`,
        jobs(population),
        media(population),
        // The counts that the triggers would have made.
        `insert into public.ai_limits (user_id, active_jobs_at_most)
         select user_id, count(*) filter (where status in ('pending', 'processing')) from public.ai_jobs group by user_id`,
        ...further,
        ...after,
      ]
    ) {
      await sql.unsafe(statement);
    }
  });
  await admin`vacuum (analyze)`;
}
