/** This project's engine in the database, shared by the two contenders that use it. */
import { createClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { z } from "zod";
import {
  CREATORS,
  type Environment,
  IDLE_SECONDS,
  RECORDING,
} from "../environment.ts";
import type { JobTimes, Owner, RunOptions } from "./contender.ts";

const USERS = 10;
const BUCKET = "voice-samples";
const FILE = "speech.webm";

const idsSchema = z.array(z.object({ id: z.string() }));
const timesSchema = z.array(z.object({
  id: z.string(),
  started_at: z.number().nullable(),
  completed_at: z.number().nullable(),
  attempt: z.number(),
}));
const countSchema = z.tuple([z.object({ count: z.number() })]);

/** A user with a recording in Storage. */
export interface EngineUser {
  id: string;
  accessToken: string;
  inputUrl: string;
}

/** The engine's tables, with ten users, and the limits of the benchmark instead of those of a new project. */
export class EngineDatabase {
  readonly users: readonly EngineUser[];
  readonly #control: postgres.Sql;
  /** Inserts like an app's own backend. */
  readonly #app: postgres.Sql;
  #turn = 0;

  private constructor(
    users: EngineUser[],
    control: postgres.Sql,
    app: postgres.Sql,
  ) {
    this.users = users;
    this.#control = control;
    this.#app = app;
  }

  /** Signs up the users, uploads their recordings and raises the limits. */
  static async prepare(environment: Environment): Promise<EngineDatabase> {
    const { control, facts, stack } = environment;
    const storage = createClient(facts.apiUrl, facts.secretKey).storage;
    const recording = await Deno.readFile(RECORDING);
    const users: EngineUser[] = [];
    for (let n = 0; n < USERS; n++) {
      const id = crypto.randomUUID();
      await control`
        insert into auth.users (id, email, email_confirmed_at, raw_app_meta_data)
        values (${id}, ${`${id}@example.com`}, now(), '{"provider": "email", "providers": ["email"]}')`;
      const path = `${id}/${FILE}`;
      const { error } = await storage.from(BUCKET).upload(path, recording, {
        contentType: "audio/webm",
      });
      if (error) throw error;
      const accessToken = await stack.call("sign", {
        sub: id,
        role: "authenticated",
        aud: "authenticated",
        iat: Math.floor(Date.now() / 1000),
        exp: Math.floor(Date.now() / 1000) + 24 * 3600,
      }, z.string());
      users.push({ id, accessToken, inputUrl: `${BUCKET}/${path}` });
    }
    await control`
      update public.ai_limits
      set max_active_jobs = 10000000, max_jobs_per_day = 10000000, max_concurrent_jobs = 10000
      where user_id is null`;
    const app = postgres(facts.dbUrl, {
      max: CREATORS,
      idle_timeout: IDLE_SECONDS,
      onnotice: () => {},
    });
    return new EngineDatabase(users, control, app);
  }

  /** Prepares a run: empty tables or only finished jobs, the number of slots, and dispatches to `functionsUrl`. */
  async reset(
    { slots, keepHistory }: RunOptions,
    functionsUrl: string,
  ): Promise<void> {
    const sql = this.#control;
    if (keepHistory) {
      await sql`delete from public.ai_jobs where status in ('pending', 'processing')`;
    } else {
      await sql`
        truncate public.ai_jobs, public.ai_job_events, public.ai_provider_calls, public.voices,
          public.ai_result_cache, private.dispatch_receipts, private.expected_claims cascade`;
      await sql`update public.ai_limits set active_jobs_at_most = 0, jobs_that_day = 0`;
    }
    await sql`truncate net.http_request_queue, net._http_response`;
    await sql`update public.ai_providers set max_concurrent = ${slots} where provider = 'elevenlabs'`;
    await this.sendDispatchesTo(functionsUrl);
  }

  /** Sets the URL under which the database finds `/functions/v1/process-ai-job`. */
  async sendDispatchesTo(functionsUrl: string): Promise<void> {
    await this.#control`
      select vault.update_secret(s.id, ${functionsUrl}) from vault.secrets as s where s.name = 'project_url'`;
  }

  /** See {@link Contender.insert}. */
  async insert(count: number, owner: Owner): Promise<string[]> {
    const users = this.#usersOf(owner);
    // Single jobs are created for one user after the other, as by the other contender.
    const first = this.#turn;
    this.#turn += count;
    const owners = Array.from(
      { length: count },
      (_, n) => users[(first + n) % users.length] ?? "",
    );
    const rows = await this.#app`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata)
      select u, 'voice_clone', ${BUCKET} || '/' || u || ${`/${FILE}`}, jsonb_build_object('voice_name', 'Voice ' || gen_random_uuid())
      from unnest(${owners}::uuid[]) as u
      returning id`;
    return idsSchema.parse([...rows]).map(({ id }) => id);
  }

  #usersOf(owner: Owner): string[] {
    const ids = this.users.map(({ id }) => id);
    switch (owner) {
      case "anyone":
        return ids;
      case "first":
        return ids.slice(0, 1);
      case "second":
        return ids.slice(1, 2);
    }
  }

  /** See {@link Contender.times}. */
  async times(ids: readonly string[]): Promise<Map<string, JobTimes>> {
    const rows = timesSchema.parse([
      ...await this.#control`
        select id, attempt, (extract(epoch from started_at) * 1000)::float8 as started_at,
          (extract(epoch from case when status = 'completed' then completed_at end) * 1000)::float8 as completed_at
        from public.ai_jobs where id = any (${[...ids]}::uuid[])`,
    ]);
    return new Map(rows.map((row) => [row.id, {
      startedAt: row.started_at,
      completedAt: row.completed_at,
      attempts: row.attempt,
    }]));
  }

  /** See {@link Contender.startedOfFirst}. */
  async startedOfFirst(after: number, before: number): Promise<number> {
    const [{ count }] = countSchema.parse([
      ...await this.#control`
        select count(*)::integer as count from public.ai_jobs
        where user_id = any (${this.#usersOf("first")}::uuid[])
          and started_at > to_timestamp(${
        after / 1000
      }) and started_at < to_timestamp(${before / 1000})`,
    ]);
    return count;
  }

  /** See {@link Contender.fillHistory}: jobs of the past month, without the rows around them. */
  async fillHistory(rows: number): Promise<void> {
    const [{ count }] = countSchema.parse([
      ...await this
        .#control`select count(*)::integer as count from public.ai_jobs where status = 'completed'`,
    ]);
    if (count >= rows) return;
    await this.#control.begin(async (sql) => {
      await sql`set local session_replication_role = replica`;
      await sql`
        insert into public.ai_jobs (
          user_id, job_type, status, progress_percentage, input_url, metadata, result_data, provider, provider_job_id,
          attempt, max_attempts, input_hash, spend, billable_calls, event_seq, last_event,
          created_at, scheduled_at, started_at, completed_at, updated_at
        )
        select u.id, 'voice_clone', 'completed', 100, ${BUCKET} || '/' || u.id || ${`/${FILE}`},
          jsonb_build_object('voice_name', 'Voice ' || n), jsonb_build_object('voice_id', md5(n::text), 'voice_name', 'Voice ' || n),
          'elevenlabs', md5(n::text), 1, 5, md5(n::text) || md5((-n)::text), 'incurred', 1, 6, 'completed',
          t.at, t.at, t.at + interval '1 second', t.at + interval '9 seconds', t.at + interval '9 seconds'
        from generate_series(1, ${rows - count}::integer) as n
        join unnest(${
        this.#usersOf("anyone")
      }::uuid[]) with ordinality as u (id, position)
          on u.position = n % ${USERS}::integer + 1
        cross join lateral (select now() - n * interval '2.6 seconds' as at) as t`;
    });
    await this.#control.unsafe("vacuum (analyze) public.ai_jobs");
  }

  /** Closes its connections. */
  async dispose(): Promise<void> {
    await this.#app.end({ timeout: 1 });
  }
}
