/** A peer's database: the library's own schema, and a table of the app with what its users see of a job. */
import postgres from "postgres";
import { z } from "zod";
import { CREATORS, type Environment, IDLE_SECONDS } from "../environment.ts";
import type { JobTimes, Owner } from "./contender.ts";

const USERS = 10;

const timesSchema = z.array(z.object({
  id: z.string(),
  started_at: z.number().nullable(),
  completed_at: z.number().nullable(),
  attempt: z.number(),
}));
const countSchema = z.tuple([z.object({ count: z.number() })]);

/** The app's table for showing jobs to users, with the same indexes as `ai_jobs`. */
const TABLE = `
  create schema app;
  create table app.jobs (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null,
    status text not null default 'pending',
    progress integer not null default 0,
    stage text,
    attempt integer not null default 0,
    metadata jsonb not null default '{}',
    provider_job_id text,
    result jsonb,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    completed_at timestamptz,
    updated_at timestamptz not null default now()
  );
  create index jobs_user_id_created_at_idx on app.jobs (user_id, created_at desc, id desc);`;

/** The database of one peer. */
export class PeerDatabase {
  readonly name: string;
  /** As `postgres`, the owner: for the library and the app. */
  readonly url: string;
  /** The app's own connections. */
  readonly app: postgres.Sql;
  /** As a superuser whose statements are not counted. */
  readonly control: postgres.Sql;
  readonly userIds: readonly string[] = Array.from(
    { length: USERS },
    () => crypto.randomUUID(),
  );

  private constructor(environment: Environment, name: string) {
    this.name = name;
    this.url = environment.urlOf(name, "postgres");
    this.app = postgres(this.url, {
      max: CREATORS,
      idle_timeout: IDLE_SECONDS,
      onnotice: () => {},
    });
    this.control = postgres(environment.urlOf(name, "control"), {
      max: 2,
      idle_timeout: IDLE_SECONDS,
      onnotice: () => {},
    });
  }

  /** Creates the database with the app's table. */
  static async create(
    environment: Environment,
    name: string,
  ): Promise<PeerDatabase> {
    await environment.control.unsafe(
      `create database ${name} owner postgres template template0`,
    );
    const database = new PeerDatabase(environment, name);
    await database.app.unsafe(TABLE);
    return database;
  }

  /** The ids of users, one for each job. */
  ownersOf(count: number, owner: Owner): string[] {
    const users = owner === "anyone" ? this.userIds : this.userIds.slice(
      owner === "first" ? 0 : 1,
      owner === "first" ? 1 : 2,
    );
    return Array.from(
      { length: count },
      (_, n) => users[n % users.length] ?? "",
    );
  }

  /** See {@link Contender.times}. */
  async times(ids: readonly string[]): Promise<Map<string, JobTimes>> {
    const rows = timesSchema.parse([
      ...await this.control`
        select id, attempt, (extract(epoch from started_at) * 1000)::float8 as started_at,
          (extract(epoch from completed_at) * 1000)::float8 as completed_at
        from app.jobs where id = any (${[...ids]}::uuid[])`,
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
      ...await this.control`
        select count(*)::integer as count from app.jobs
        where user_id = ${this.userIds[0] ?? ""}
          and started_at > to_timestamp(${
        after / 1000
      }) and started_at < to_timestamp(${before / 1000})`,
    ]);
    return count;
  }

  /** Empties the app's table, or leaves only finished jobs. */
  async reset(keepHistory: boolean): Promise<void> {
    if (keepHistory) {
      await this.control`delete from app.jobs where completed_at is null`;
    } else {
      await this.control`truncate app.jobs`;
    }
  }

  /** See {@link Contender.fillHistory}: the app's rows. */
  async fillHistory(rows: number): Promise<void> {
    await this.control`
      insert into app.jobs (
        user_id, status, progress, attempt, metadata, provider_job_id, result, created_at, started_at, completed_at,
        updated_at
      )
      select u.id, 'completed', 100, 1, jsonb_build_object('name', 'Voice ' || n), md5(n::text),
        jsonb_build_object('voice_id', md5(n::text)), t.at, t.at + interval '1 second', t.at + interval '9 seconds',
        t.at + interval '9 seconds'
      from generate_series(1, ${rows}::integer) as n
      join unnest(${[
      ...this.userIds,
    ]}::uuid[]) with ordinality as u (id, position)
        on u.position = n % ${USERS}::integer + 1
      cross join lateral (select now() - n * interval '2.6 seconds' as at) as t`;
    await this.control.unsafe("vacuum (analyze) app.jobs");
  }

  /** Closes its connections. */
  async dispose(): Promise<void> {
    await this.app.end({ timeout: 1 });
    await this.control.end({ timeout: 1 });
  }
}
