/** The metrics, and the alerts over them: each alert fires when its fault is injected, and is silent before. */
import { assert, assertEquals } from "@std/assert";
import { parse } from "@std/yaml";
import { z } from "zod";
import { ERROR_CATALOGUE } from "../../supabase/functions/_shared/failures/catalogue.ts";
import { exposition } from "../../supabase/functions/metrics/exposition.ts";
import { readingSchema } from "../../supabase/functions/metrics/reading.ts";
import type { TestDatabase } from "../_support/database.ts";
import {
  type Bench,
  expireLease,
  insertClaimedJob,
  insertJobs,
  withQueue,
} from "./_support/factories.ts";

const docs = (name: string) =>
  Deno.readTextFile(new URL(`../../docs/${name}`, import.meta.url));

const rulesSchema = z.object({
  groups: z.tuple([
    z.object({
      rules: z.array(z.object({
        alert: z.string(),
        // All conditions compare a metric with a number, so that the test needs no Prometheus.
        expr: z.string().regex(/^[a-z_]+ > [0-9.]+$/),
        annotations: z.object({ summary: z.string(), runbook: z.string() }),
      })),
    }),
  ]),
});
const { groups: [{ rules }] } = rulesSchema.parse(
  parse(await docs("alerts.yml")),
);

interface Sample {
  name: string;
  labels: string;
  value: number;
}

const SAMPLE =
  /^([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+\})? ([0-9.e+-]+)$/;

/** The samples of the text; throws on a line that Prometheus would not read. */
function samplesOf(text: string): Sample[] {
  assert(text.endsWith("\n"));
  return text.trimEnd().split("\n").filter((line) => !line.startsWith("# "))
    .map((line) => {
      const [, name = "", labels = "", value = ""] = SAMPLE.exec(line) ?? [];
      assert(name !== "", `no sample: ${line}`);
      return { name, labels, value: Number(value) };
    });
}

async function readMetrics(db: TestDatabase): Promise<string> {
  await db.sql`select private.fold_ai_counters()`;
  const { reading } = await db.asService(async (sql) => {
    const [row] = await sql<
      { reading: unknown }[]
    >`select public.read_ai_metrics() as reading`;
    assert(row !== undefined);
    return row;
  });
  return exposition(readingSchema.parse(reading));
}

/** The alerts whose condition holds now, without their `for`. */
async function firing(db: TestDatabase): Promise<string[]> {
  const samples = samplesOf(await readMetrics(db));
  return rules.filter(({ alert, expr }) => {
    const [metric = "", , limit = ""] = expr.split(" ");
    const ofMetric = samples.filter(({ name }) => name === metric);
    assert(ofMetric.length > 0, `${alert}: there is no metric ${metric}`);
    return ofMetric.some(({ value }) => value > Number(limit));
  }).map(({ alert }) => alert);
}

async function finish(
  { db, queue }: Bench,
  count: number,
  code?: string,
): Promise<void> {
  await insertJobs(db, count);
  for (const job of await queue.claim(count)) {
    if (code === undefined) await queue.complete(job);
    else await queue.fail(job, { code, isRetryable: false });
  }
}

/** The fault for each alert. */
const BREAKS: Readonly<Record<string, (bench: Bench) => Promise<unknown>>> = {
  AiJobsStuck: async (bench) => {
    const { id } = await insertClaimedJob(bench);
    await expireLease(bench.db, id);
    await bench.db.sql`
      update public.ai_jobs set lease_expires_at = now() - interval '2 minutes' where id = ${id}`;
  },
  AiSweepStopped: ({ db }) =>
    db.sql`update private.ai_schedule_runs set last_run_at = now() - interval '2 minutes' where name = 'sweep'`,
  AiDispatchFailing: ({ db }) =>
    db.sql`
      insert into net._http_response (id, status_code, timed_out)
      select n, 503, false from generate_series(1, 11) as n`,
  AiProviderBreakerOpen: async (bench) => {
    await bench.db.sql`update public.ai_providers set breaker_threshold = 10`;
    await insertJobs(bench.db, 10);
    for (const job of await bench.queue.claim(10)) await bench.queue.fail(job);
  },
  AiSpendRateHigh: async (bench) => {
    await bench.db.sql`
      update public.ai_prices set price_micros = 21000000 where job_type = 'voice_clone' and provider = 'elevenlabs'`;
    const job = await insertClaimedJob(bench);
    const call = await bench.queue.begin(job);
    await bench.queue.settle(job, call?.call_id ?? "", "succeeded", "voice-1");
    await bench.queue.complete(job);
  },
  AiJobsFailing: async (bench) => {
    await finish(bench, 20, "input_not_found");
  },
  AiJobsParked: async (bench) => {
    const job = await insertClaimedJob(bench);
    await bench.queue.begin(job);
    await bench.queue.fail(job, { isRetryable: false });
  },
  AiJanitorStopped: ({ db }) =>
    db.sql`update private.ai_schedule_runs set last_run_at = now() - interval '2 hours' where name = 'janitor'`,
};

Deno.test("alerts: each has a fault here, and a section in the runbook", async () => {
  assertEquals(
    rules.map(({ alert }) => alert).sort(),
    Object.keys(BREAKS).sort(),
  );
  const runbook = await docs("runbook.md");
  for (const { alert, annotations } of rules) {
    assertEquals(annotations.runbook, `docs/runbook.md#${alert.toLowerCase()}`);
    assert(runbook.includes(`## ${alert}\n`), alert);
  }
});

for (const { alert } of rules) {
  Deno.test(`alerts: ${alert} fires after its fault, and no other does`, async () => {
    await withQueue(async (bench) => {
      await bench.db
        .sql`update private.ai_schedule_runs set last_run_at = now()`;
      await finish(bench, 3);
      assertEquals(await firing(bench.db), []);
      await BREAKS[alert]?.(bench);
      assertEquals(await firing(bench.db), [alert]);
    });
  });
}

Deno.test("alerts: AiJobsFailing fires exactly when the health check of the same rule is not ok", async () => {
  const { expr = "" } = rules.find((one) => one.alert === "AiJobsFailing") ??
    {};
  await withQueue(async (bench) => {
    await bench.db
      .sql`update private.ai_schedule_runs set last_run_at = now()`;
    const check = async () => {
      const fires = (await firing(bench.db)).includes("AiJobsFailing");
      const [row] = await bench.db.sql<{ status: string; limit: number }[]>`
        select c.value ->> 'status' as status, (c.value ->> 'limit')::float8 as limit
        from jsonb_array_elements(private.check_ai_health() -> 'checks') as c
        where c.value ->> 'name' = 'failed_share'`;
      assertEquals(expr, `ai_jobs_failed_ratio > ${row?.limit}`);
      assertEquals(fires, row?.status !== "ok");
      return fires;
    };
    const seen: boolean[] = [];
    for (const [failed, completed] of [[3, 4], [0, 3], [1, 6], [3, 0]]) {
      await finish(bench, failed ?? 0, "input_not_found");
      await finish(bench, completed ?? 0);
      seen.push(await check());
    }
    // 3 of 7 are too few; then 3 of 10, 4 of 17 and 7 of 20.
    assertEquals(seen, [false, true, false, true]);
  });
});

Deno.test("metrics: under 300 series when every job type has had every status, outcome and code", async () => {
  await withQueue(async ({ db }) => {
    const codes = Object.entries(ERROR_CATALOGUE)
      .filter(([, { status }]) => status === null).map(([code]) => code);
    await db.sql`
      insert into private.ai_counters (resolution, bucket_at, metric, job_type, provider, code, slot, amount)
      select 0, '-infinity', m.metric, t.job_type, p.provider, m.code, m.slot, 1
      from public.ai_job_types as t
      join public.ai_providers as p on p.provider = t.provider or p.provider = any (t.other_providers)
      cross join (
        select metric, '' as code, 0 as slot
        from unnest(array[
          'created', 'cached', 'claimed', 'completed', 'cancelled', 'snoozed', 'released', 'retry_requested',
          'pickup_millis', 'run_millis', 'call_millis', 'spend'
        ]) as metric
        union all select metric, code, 0 from unnest(array['failed', 'retried', 'rescued']) as metric,
          unnest(${codes}::text[]) as code
        union all select 'jobs', code, 0 from unnest(array['pending', 'processing']) as code
        union all select 'calls', code, 0
          from unnest(array['succeeded', 'rejected', 'unknown', 'unavailable']) as code
        union all select 'reconciled', code, 0 from unnest(array['adopted', 'absent']) as code
        union all select metric, '', slot from unnest(array['pickup', 'run', 'call_time']) as metric,
          generate_series(0, 40) as slot
      ) as m (metric, code, slot)`;
    const samples = samplesOf(await readMetrics(db));
    assert(samples.length < 300, `${samples.length} series`);
    assert(samples.length > 200, "not everything was counted");
    const keys = samples.map(({ name, labels }) => name + labels);
    assertEquals(new Set(keys).size, keys.length, "a series exists twice");
  });
});

Deno.test("metrics: histograms add up, and no user or job is named", async () => {
  await withQueue(async (bench) => {
    const job = await insertClaimedJob(bench);
    await bench.queue.complete(job);
    await finish(bench, 4);
    const text = await readMetrics(bench.db);
    assert(!text.includes(job.id) && !text.includes(job.user_id));
    assert(!/[0-9a-f]{8}-[0-9a-f]{4}-/.test(text));
    const samples = samplesOf(text);
    const value = (name: string, labels: string) =>
      samples.find((one) => one.name === name && one.labels === labels)?.value;
    assertEquals(value("ai_job_pickup_seconds_count", ""), 5);
    assertEquals(value("ai_job_pickup_seconds_bucket", '{le="+Inf"}'), 5);
    assertEquals(
      value("ai_job_run_seconds_count", '{job_type="voice_clone"}'),
      5,
    );
    const buckets = samples.filter(({ name }) =>
      name === "ai_job_pickup_seconds_bucket"
    ).map((one) => one.value);
    assertEquals(buckets, buckets.toSorted((a, b) => a - b));
    assertEquals(
      value(
        "ai_jobs_finished_total",
        '{job_type="voice_clone",status="completed"}',
      ),
      5,
    );
  });
});

Deno.test("dashboard: every panel uses metrics that exist", async () => {
  const { panels } = z.object({
    panels: z.array(z.object({
      title: z.string(),
      targets: z.array(z.object({ expr: z.string() })),
    })),
  }).parse(JSON.parse(await docs("grafana-dashboard.json")));
  await withQueue(async (bench) => {
    await finish(bench, 1);
    const text = await readMetrics(bench.db);
    const source = await Deno.readTextFile(
      new URL(
        "../../supabase/functions/metrics/exposition.ts",
        import.meta.url,
      ),
    );
    for (const { title, targets } of panels) {
      for (const { expr } of targets) {
        const names = expr.match(/\bai_[a-z_]+/g) ?? [];
        assert(names.length > 0, title);
        for (const name of names) {
          const family = name.replace(/_bucket$/, "");
          assert(
            text.includes(`# TYPE ${family} `) ||
              source.includes(`"${family}"`),
            `${title}: ${name}`,
          );
        }
      }
    }
  });
});
