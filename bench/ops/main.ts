/**
 * The cost of the console, the metrics and their counters in a database with 1,000,000 jobs: the server's time for each
 * statement, and the share of a job's time that the counting triggers use.
 *
 * usage: deno task bench:ops [--jobs N] [--runs N]
 *
 * Prints one line of JSON per measurement, then two tables. Times are planning and execution in milliseconds; without
 * the transfer to the client.
 */
import { parseArgs } from "@std/cli/parse-args";
import postgres from "postgres";
import { z } from "zod";
import { exitWithLaunchers } from "../../dev/stack/process/launchers.ts";
import { createDatabaseFromTemplate } from "../../dev/stack/postgres/postgres.ts";
import {
  MIGRATED_TEMPLATE,
  startTestCluster,
} from "../../dev/tools/test-cluster.ts";
import { populate, userIdSql } from "../rls/population.ts";

const USAGE = "usage: deno task bench:ops [--jobs N] [--runs N]";

const optionsSchema = z.strictObject({
  _: z.tuple([]),
  help: z.boolean(),
  jobs: z.coerce.number().int().min(10_000).default(1_000_000),
  runs: z.coerce.number().int().min(5).default(50),
});

const planSchema = z.tuple([z.object({
  "QUERY PLAN": z.tuple([z.object({
    "Planning Time": z.number(),
    "Execution Time": z.number(),
  })]),
})]);

const encoder = new TextEncoder();

function print(line: string): void {
  Deno.stdout.writeSync(encoder.encode(`${line}\n`));
}

function percentile(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  const value = sorted[Math.floor((sorted.length - 1) * share)];
  if (value === undefined) throw new Error("nothing was measured");
  return value;
}

/** The queries, and how often an open console, a prober and Prometheus together run them. */
interface Query {
  name: string;
  statement: string;
  /** Seconds between two runs; undefined for a query that a person starts. */
  everySeconds?: number;
}

function queries(operator: string, user: string): Query[] {
  const ops = (name: string, args = "") =>
    `select public.${name}('${operator}'${args})`;
  return [
    { name: "overview", statement: ops("ops_overview"), everySeconds: 5 },
    { name: "providers", statement: ops("ops_providers"), everySeconds: 5 },
    { name: "parked", statement: ops("ops_parked"), everySeconds: 5 },
    {
      name: "failures, 1 h",
      statement: ops("ops_failures", ", '1h'"),
      everySeconds: 5,
    },
    {
      name: "charts, 1 h",
      statement: ops("ops_charts", ", '1h'"),
      everySeconds: 30,
    },
    { name: "charts, 24 h", statement: ops("ops_charts", ", '24h'") },
    { name: "charts, 7 d", statement: ops("ops_charts", ", '7d'") },
    {
      name: "health",
      statement: "select public.read_ai_health()",
      everySeconds: 5,
    },
    {
      name: "metrics",
      statement: "select public.read_ai_metrics()",
      everySeconds: 15,
    },
    {
      name: "fold, idle",
      statement: "select private.fold_ai_counters()",
      everySeconds: 5,
    },
    { name: "search, newest", statement: ops("ops_search_jobs") },
    {
      name: "search, failed",
      statement: ops("ops_search_jobs", ", p_status => 'failed'"),
    },
    {
      name: "search, user and code",
      statement: ops(
        "ops_search_jobs",
        `, p_user_id => '${user}', p_error_code => 'provider_rejected_input'`,
      ),
    },
    {
      name: "search, an unused code",
      statement: ops("ops_search_jobs", ", p_error_code => 'no_such_code'"),
    },
    { name: "budgets", statement: ops("ops_budgets") },
    { name: "redrive preview, all", statement: ops("ops_preview_redrive") },
  ];
}

/** Fills every bucket: each type and provider with all its series. */
const FULL_COUNTERS = `
  insert into private.ai_counters (resolution, bucket_at, metric, job_type, provider, code, slot, amount)
  select b.resolution, b.bucket_at, m.metric, t.job_type, p.provider, m.code, m.slot, 7
  from (
    select 60 as resolution, date_bin('60 s', now() - n * interval '60 s', '2000-01-01') as bucket_at
    from generate_series(0, 179) as n
    union all select 900, date_bin('900 s', now() - n * interval '900 s', '2000-01-01') from generate_series(0, 191) as n
    union all select 7200, date_bin('7200 s', now() - n * interval '7200 s', '2000-01-01') from generate_series(0, 179) as n
    union all select 0, '-infinity'
  ) as b
  cross join public.ai_job_types as t
  join public.ai_providers as p on p.provider = t.provider or p.provider = any (t.other_providers)
  cross join (
    select metric, '' as code, 0 as slot
    from unnest(array['created', 'claimed', 'completed', 'pickup_millis', 'run_millis', 'call_millis', 'spend']) as metric
    union all select 'failed', 'code_' || n, 0 from generate_series(1, 5) as n
    union all select 'calls', code, 0 from unnest(array['succeeded', 'rejected', 'unavailable']) as code
    union all select metric, '', slot from unnest(array['pickup', 'run', 'call_time']) as metric,
      generate_series(5, 20) as slot
  ) as m (metric, code, slot)
  on conflict do nothing`;

async function timeOf(sql: postgres.Sql, statement: string): Promise<number> {
  const [{ "QUERY PLAN": [plan] }] = planSchema.parse([
    ...await sql.unsafe(
      `explain (analyze, timing off, format json) ${statement}`,
    ),
  ]);
  return plan["Planning Time"] + plan["Execution Time"];
}

/** Runs `count` jobs one after the other and returns the seconds; optionally with the times of functions. */
async function runJobs(
  sql: postgres.Sql,
  user: string,
  count: number,
  isTracked = false,
): Promise<number> {
  await sql.unsafe(`set track_functions = ${isTracked ? "pl" : "none"}`);
  const [row] = await sql<{ seconds: number }[]>`
    select bench.live_through(${user}, ${count}::int) as seconds`;
  await sql.unsafe("set track_functions = none");
  if (row === undefined) throw new Error("nothing was measured");
  return row.seconds;
}

const LIFE = `
  create schema bench;
  create function bench.live_through(p_user uuid, p_count integer) returns double precision language plpgsql as $$
  declare
    v_started timestamptz := clock_timestamp();
    v_job public.ai_jobs;
    v_id uuid;
    v_call uuid;
  begin
    for i in 1..p_count loop
      insert into public.ai_jobs (user_id, job_type, metadata)
      values (p_user, 'text_to_speech', jsonb_build_object(
        'text', 'Good morning', 'voice_id',
        (select t.stock_voice_ids[1] from public.ai_job_types as t where t.job_type = 'text_to_speech')
      ))
      returning id into v_id;
      select * into v_job from public.claim_ai_jobs(1, array[v_id]);
      perform public.heartbeat_ai_jobs(jsonb_build_array(jsonb_build_object(
        'job_id', v_job.id, 'lease_token', v_job.lease_token, 'progress', 30, 'stage', 'calling_provider')));
      select c.call_id into v_call from public.begin_provider_calls(jsonb_build_array(jsonb_build_object(
        'job_id', v_job.id, 'lease_token', v_job.lease_token, 'call_id', gen_random_uuid(), 'operation', 'speak',
        'progress', 40, 'stage', 'calling_provider'))) as c;
      perform public.settle_provider_calls(jsonb_build_array(jsonb_build_object(
        'job_id', v_job.id, 'lease_token', v_job.lease_token, 'call_id', v_call, 'outcome', 'succeeded',
        'provider_object_id', 'made-' || v_id)));
      perform public.complete_ai_jobs(jsonb_build_array(jsonb_build_object(
        'job_id', v_job.id, 'lease_token', v_job.lease_token, 'result_data', '{"done": true}'::jsonb)));
    end loop;
    return extract(epoch from clock_timestamp() - v_started);
  end;
  $$;`;

const read = optionsSchema.safeParse(
  parseArgs(Deno.args, { string: ["jobs", "runs"], boolean: ["help"] }),
);
if (!read.success || read.data.help) {
  print(read.success ? USAGE : `${z.prettifyError(read.error)}\n${USAGE}`);
  Deno.exit(read.success ? 0 : 2);
}
const { jobs, runs } = read.data;
exitWithLaunchers();
await using cluster = await startTestCluster();
const { adminUrl } = await createDatabaseFromTemplate(
  cluster,
  "ops",
  MIGRATED_TEMPLATE,
);
const admin = postgres(adminUrl, { max: 1, onnotice: () => {} });
// A superuser, who may enable track_functions.
const sql = postgres(adminUrl, { max: 1, onnotice: () => {} });
try {
  const users = jobs / 100;
  await populate(admin, {
    users,
    jobs,
    media: 1000,
    dueJobs: jobs / 20,
    stalledJobs: 0,
  }, [FULL_COUNTERS]);
  await admin.unsafe(
    `update auth.users set raw_app_meta_data = '{"role": "ai_operator"}' where id = ${
      userIdSql("1")
    };
    update public.ai_limits set max_concurrent_jobs = 10000, max_active_jobs = 1000000, max_jobs_per_day = 1000000
    where user_id is null;
    update public.ai_providers set max_concurrent = 1000;
    ${LIFE}`,
  );
  await sql`select private.recount_ai_jobs()`;
  const [ids] = await admin.unsafe(
    `select ${userIdSql("1")} as operator, ${userIdSql("2")} as user`,
  );
  const operator = String(ids?.["operator"]), user = String(ids?.["user"]);

  const results = [];
  for (const query of queries(operator, user)) {
    const times: number[] = [];
    for (let run = -3; run < runs; run++) {
      const milliseconds = await timeOf(sql, query.statement);
      if (run >= 0) times.push(milliseconds);
    }
    const result = {
      query: query.name,
      jobs,
      p50_ms: percentile(times, 0.5),
      p95_ms: percentile(times, 0.95),
      every_seconds: query.everySeconds ?? null,
    };
    results.push(result);
    print(JSON.stringify(result));
  }

  // The time inside the counting functions themselves, because the difference of two whole runs would be lost in noise.
  const lives = 20 * runs;
  await sql`select private.fold_ai_counters()`;
  const calls = () =>
    admin<{ milliseconds: number }[]>`
      select coalesce(sum(f.total_time), 0)::float8 as milliseconds
      from pg_stat_user_functions as f
      where f.schemaname = 'private' and f.funcname like 'count\\_%'`;
  await runJobs(sql, user, 100);
  const seconds = await runJobs(sql, user, lives, true);
  await sql`select pg_stat_force_next_flush()`;
  const [counted] = await calls();
  const [queued] = await sql`
    select count(*)::integer as rows from private.ai_counter_queue`;
  const foldMs = await timeOf(sql, "select private.fold_ai_counters()");
  const counting = {
    lives,
    ms_per_job: seconds * 1000 / lives,
    counting_ms_per_job: (counted?.milliseconds ?? Number.NaN) / lives,
    fold_ms_per_job: foldMs / (lives + 100),
    queued_rows_per_job: Number(queued?.["rows"]) / (lives + 100),
  };
  print(JSON.stringify(counting));

  const share = results.reduce(
    (sum, { every_seconds, p50_ms }) =>
      sum + (every_seconds === null ? 0 : p50_ms / 1000 / every_seconds),
    0,
  );
  print(`\n| Query | p50 ms | p95 ms | every | share of one core |`);
  print("| --- | ---: | ---: | ---: | ---: |");
  for (const { query, p50_ms, p95_ms, every_seconds } of results) {
    print(
      `| ${query} | ${p50_ms.toFixed(2)} | ${p95_ms.toFixed(2)} | ${
        every_seconds === null
          ? "– | –"
          : `${every_seconds} s | ${(p50_ms / 10 / every_seconds).toFixed(3)} %`
      } |`,
    );
  }
  print(`| all that repeats | | | | ${(share * 100).toFixed(2)} % |`);
  const ofJob = (milliseconds: number) =>
    `${milliseconds.toFixed(3)} ms (${
      (100 * milliseconds / counting.ms_per_job).toFixed(1)
    } %)`;
  print(
    `\nA job is ${
      counting.ms_per_job.toFixed(2)
    } ms of the database: counting is ${
      ofJob(counting.counting_ms_per_job)
    } of it, and the fold adds ${ofJob(counting.fold_ms_per_job)} for its ${
      counting.queued_rows_per_job.toFixed(0)
    } rows.`,
  );
} finally {
  await Promise.all([admin.end(), sql.end()]);
}
