/**
 * The cost of Row Level Security and of size: the owner's first page, one row by id and the sweep, with 1,000,000 jobs
 * and 1,000,000 media of 10,000 users, compared with the same query without Row Level Security and with tables of 1,000
 * rows, all in one run on the embedded Postgres.
 *
 * usage: deno task bench:rls [--jobs N] [--runs N]
 *
 * Prints one line of JSON per measurement, then a table. Times are the server's own, planning and execution of one
 * statement in milliseconds; without the transfer to the client.
 */
import { parseArgs } from "@std/cli/parse-args";
import postgres from "postgres";
import { z } from "zod";
import { exitWithLaunchers } from "../../dev/stack/process/launchers.ts";
import {
  createDatabaseFromTemplate,
  type EmbeddedPostgres,
} from "../../dev/stack/postgres/postgres.ts";
import {
  MIGRATED_TEMPLATE,
  startTestCluster,
} from "../../dev/tools/test-cluster.ts";
import { populate, type Population } from "./population.ts";

const USAGE = "usage: deno task bench:rls [--jobs N] [--runs N]";

const optionsSchema = z.strictObject({
  _: z.tuple([]),
  help: z.boolean(),
  jobs: z.coerce.number().int().min(1000).default(1_000_000),
  runs: z.coerce.number().int().min(10).default(1000),
});

const SMALL_ROWS = 1000;
const ROWS_PER_USER = 100;
const WARM_UP = 100;

const explainedSchema = z.tuple([z.object({
  "QUERY PLAN": z.tuple([z.object({
    "Planning Time": z.number(),
    "Execution Time": z.number(),
  })]),
})]);

/** A user, and one row of each table that is theirs. */
interface Sample {
  userId: string;
  jobId: string;
  mediaId: string;
}

type Access = "rls" | "no rls";

interface Query {
  name: string;
  /** Without it the query is one of the service, without an owner. */
  hasOwner: boolean;
  /** The statement; without Row Level Security it names the owner. */
  statement(sample: Sample, access: Access): string;
}

const firstPage = (table: string): Query => ({
  name: `${table}: first page`,
  hasOwner: true,
  statement: ({ userId }, access) => `
    select * from public.${table} ${
    access === "no rls" ? `where user_id = '${userId}'` : ""
  } order by created_at desc, id desc limit 20`,
});

const QUERIES: Query[] = [
  firstPage("ai_jobs"),
  firstPage("media"),
  {
    name: "ai_jobs: one by id",
    hasOwner: true,
    statement: ({ jobId }) =>
      `select * from public.ai_jobs where id = '${jobId}'`,
  },
  {
    name: "media: one by id",
    hasOwner: true,
    statement: ({ mediaId }) =>
      `select * from public.media where id = '${mediaId}'`,
  },
  {
    name: "sweep, 50 jobs due",
    hasOwner: false,
    statement: () => "select private.sweep_ai_jobs()",
  },
];

interface Measurement {
  query: string;
  rows: number;
  access: Access;
  runs: number;
  p50_ms: number;
  p95_ms: number;
}

const encoder = new TextEncoder();

function print(line: string): void {
  Deno.stdout.writeSync(encoder.encode(`${line}\n`));
}

function percentile(sorted: number[], share: number): number {
  const value = sorted[
    Math.min(
      sorted.length - 1,
      Math.floor(sorted.length * share),
    )
  ];
  if (value === undefined) throw new Error("nothing was measured");
  return Number(value.toFixed(4));
}

/** One database with its samples, and a session of a superuser that switches to the roles. */
interface Subject {
  rows: number;
  sql: postgres.Sql;
  samples: Sample[];
}

async function makeSubject(
  cluster: EmbeddedPostgres,
  rows: number,
): Promise<Subject> {
  const { adminUrl } = await createDatabaseFromTemplate(
    cluster,
    `rls_${rows}`,
    MIGRATED_TEMPLATE,
  );
  const sql = postgres(adminUrl, { max: 1, onnotice: () => {} });
  const population: Population = {
    users: rows / ROWS_PER_USER,
    jobs: rows,
    media: rows,
    dueJobs: 50,
    stalledJobs: 0,
  };
  const started = performance.now();
  await populate(sql, population);
  const samples = await sql<Sample[]>`
    select j.user_id as "userId", j.id as "jobId", m.id as "mediaId"
    from (select id from auth.users order by random() limit 1000) as u
    cross join lateral (select id, user_id from public.ai_jobs where user_id = u.id order by random() limit 1) as j
    cross join lateral (select id from public.media where user_id = u.id order by random() limit 1) as m`;
  print(JSON.stringify({
    populated: population,
    seconds: Math.round((performance.now() - started) / 1000),
  }));
  return { rows, sql, samples: [...samples] };
}

/** Server time of one statement; its changes are rolled back. */
async function time(
  sql: postgres.Sql,
  query: Query,
  sample: Sample,
  access: Access,
): Promise<number> {
  const role = access === "rls" ? "authenticated" : "postgres";
  const claims = access === "rls"
    ? JSON.stringify({ role, sub: sample.userId })
    : "";
  const undo = new Error("undo");
  let milliseconds = NaN;
  await sql.begin(async (transaction) => {
    await transaction`
      select set_config('request.jwt.claims', ${claims}, true), set_config('role', ${role}, true)`;
    const [{ "QUERY PLAN": [plan] }] = explainedSchema.parse([
      ...await transaction.unsafe(
        `explain (analyze, timing off, format json) ${
          query.statement(sample, access)
        }`,
      ),
    ]);
    milliseconds = plan["Planning Time"] + plan["Execution Time"];
    throw undo;
  }).catch((error) => {
    if (error !== undo) throw error;
  });
  return milliseconds;
}

/** Measures all variants in turns, so that other work of the machine affects them alike. */
async function measure(
  subjects: Subject[],
  runs: number,
): Promise<Measurement[]> {
  const variants = QUERIES.flatMap((query) =>
    subjects.flatMap((subject) =>
      (query.hasOwner ? ["rls", "no rls"] as const : ["no rls"] as const)
        .map((access) => ({
          query,
          subject,
          access,
          times: new Array<number>(),
        }))
    )
  );
  for (let run = -WARM_UP; run < runs; run++) {
    for (const { query, subject, access, times } of variants) {
      const sample = subject.samples[(run + WARM_UP) % subject.samples.length];
      if (sample === undefined) throw new Error("there is no user to query");
      const milliseconds = await time(subject.sql, query, sample, access);
      if (run >= 0) times.push(milliseconds);
    }
  }
  return variants.map(({ query, subject, access, times }) => {
    const sorted = times.toSorted((a, b) => a - b);
    return {
      query: query.name,
      rows: subject.rows,
      access,
      runs,
      p50_ms: percentile(sorted, 0.5),
      p95_ms: percentile(sorted, 0.95),
    };
  });
}

function table(measurements: Measurement[], rows: number): string[] {
  const find = (query: string, of: number, access: Access) =>
    measurements.find((one) =>
      one.query === query && one.rows === of && one.access === access
    );
  const p50 = (one: Measurement | undefined) =>
    one === undefined ? "–" : one.p50_ms.toFixed(3);
  const ratio = (a: Measurement, b: Measurement | undefined) =>
    b === undefined ? "–" : (a.p50_ms / b.p50_ms).toFixed(2);
  return [
    "| Query | p50 ms | p95 ms | p50 without RLS | p50 ÷ without RLS | p50 at 1,000 rows | p50 ÷ at 1,000 rows |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...QUERIES.flatMap((query) => {
      const access = query.hasOwner ? "rls" : "no rls";
      const own = find(query.name, rows, access);
      if (own === undefined) return [];
      const bare = query.hasOwner
        ? find(query.name, rows, "no rls")
        : undefined;
      const small = find(query.name, SMALL_ROWS, access);
      const cells = [
        query.name,
        p50(own),
        own.p95_ms.toFixed(3),
        p50(bare),
        ratio(own, bare),
        p50(small),
        ratio(own, small),
      ];
      return [`| ${cells.join(" | ")} |`];
    }),
  ];
}

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
const subjects = [
  await makeSubject(cluster, SMALL_ROWS),
  await makeSubject(cluster, jobs),
];
try {
  const measurements = await measure(subjects, runs);
  for (const one of measurements) print(JSON.stringify(one));
  print("");
  for (const line of table(measurements, jobs)) print(line);
} finally {
  await Promise.all(subjects.map(({ sql }) => sql.end()));
}
