/**
 * Prometheus text, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).
 *
 * Labels are job types, providers, statuses, outcomes and error codes, all of which are fixed sets. With those of this
 * repository there are always fewer than 300 series.
 */
import type { Counter, Reading } from "./reading.ts";

type Labels = Readonly<Record<string, string>>;
type Sample = [labels: Labels, value: number, suffix?: string];

const MICROS = 1_000_000;
/** The last slot of private.duration_slot holds everything longer. */
const LAST_SLOT = 40;

function escape(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')
    .replaceAll("\n", "\\n");
}

function line(name: string, [labels, value, suffix = ""]: Sample): string {
  const text = Object.entries(labels)
    .map(([label, of]) => `${label}="${escape(of)}"`).join(",");
  return `${name}${suffix}${text === "" ? "" : `{${text}}`} ${value}`;
}

function family(
  name: string,
  type: "counter" | "gauge" | "histogram",
  help: string,
  samples: readonly Sample[],
): string[] {
  return samples.length === 0 ? [] : [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...samples.map((sample) => line(name, sample)),
  ];
}

function amount(counters: readonly Counter[]): number {
  return counters.reduce((sum, counter) => sum + counter.amount, 0);
}

/** Sums counters by the labels that `labelsOf` returns, sorted by label. */
function sums(
  counters: readonly Counter[],
  labelsOf: (counter: Counter) => Labels,
): Sample[] {
  const groups = Map.groupBy(
    counters,
    (counter) => JSON.stringify(labelsOf(counter)),
  );
  return [...groups].toSorted(([a], [b]) => a < b ? -1 : 1)
    .flatMap(([, group]): Sample[] => {
      const [first] = group;
      return first === undefined ? [] : [[labelsOf(first), amount(group)]];
    });
}

/** Upper bound of a slot in seconds: 10 ms × 2^(slot/2). */
function slotEnd(slot: number): number {
  return Number((0.01 * 2 ** (slot / 2)).toPrecision(6));
}

/** One histogram per label value; every `step`-th slot ends a bucket. */
function histogram(
  all: readonly Counter[],
  metric: string,
  step: number,
  labelsOf: (counter: Counter) => Labels,
): Sample[] {
  const slots = Map.groupBy(
    all.filter((counter) => counter.metric === metric),
    (counter) => JSON.stringify(labelsOf(counter)),
  );
  return [...slots].toSorted(([a], [b]) => a < b ? -1 : 1)
    .flatMap(([key, counters]): Sample[] => {
      const [first] = counters;
      if (first === undefined) return [];
      const labels = labelsOf(first);
      const buckets: Sample[] = [];
      for (let slot = step; slot < LAST_SLOT; slot += step) {
        buckets.push([
          { ...labels, le: String(slotEnd(slot)) },
          amount(counters.filter((counter) => counter.slot <= slot)),
          "_bucket",
        ]);
      }
      const millis = all.filter((counter) =>
        counter.metric === `${metric.replace("_time", "")}_millis` &&
        JSON.stringify(labelsOf(counter)) === key
      );
      return [
        ...buckets,
        [{ ...labels, le: "+Inf" }, amount(counters), "_bucket"],
        [labels, amount(millis) / 1000, "_sum"],
        [labels, amount(counters), "_count"],
      ];
    });
}

/** Formats a reading as Prometheus text. */
export function exposition(reading: Reading): string {
  const { counters, health, providers } = reading;
  const of = (...metrics: string[]) =>
    counters.filter((counter) => metrics.includes(counter.metric));
  const byType = ({ job_type }: Counter) => ({ job_type });
  const observed = (name: string) =>
    health.checks.find((check) => check.name === name)?.observed ?? 0;
  const perProvider = (
    value: (provider: Reading["providers"][number]) => number,
  ) => providers.map((one): Sample => [{ provider: one.provider }, value(one)]);
  const single = (value: number): Sample[] => [[{}, value]];

  return [
    ...family(
      "ai_health",
      "gauge",
      "0 ok, 1 degraded, 2 failing.",
      single(["ok", "degraded", "failing"].indexOf(health.status)),
    ),
    ...family(
      "ai_jobs",
      "gauge",
      "Waiting (pending) and running (processing) jobs.",
      sums(of("jobs"), ({ job_type, provider, code }) => ({
        job_type,
        provider,
        status: code,
      })),
    ),
    ...family(
      "ai_jobs_stuck",
      "gauge",
      "Jobs that should make progress and do not.",
      single(observed("stuck_jobs")),
    ),
    ...family(
      "ai_jobs_parked",
      "gauge",
      "Jobs with a paid call of unknown outcome, for an operator to decide.",
      single(observed("parked_jobs")),
    ),
    ...family(
      "ai_job_queue_oldest_seconds",
      "gauge",
      "How long the job that has waited longest has been due.",
      single(health.oldest_waiting_seconds ?? 0),
    ),
    ...family(
      "ai_sweep_age_seconds",
      "gauge",
      "Time since the last sweep.",
      single(reading.sweep_age_seconds),
    ),
    ...family(
      "ai_janitor_age_seconds",
      "gauge",
      "Time since the last run of the janitor.",
      single(reading.janitor_age_seconds),
    ),
    ...family(
      "ai_dispatch_failures",
      "gauge",
      "Failed calls of the last ten minutes, among the last 200 that the database made to our functions.",
      single(observed("dispatch_failures")),
    ),
    ...family(
      "ai_jobs_failed_ratio",
      "gauge",
      "Share of failed jobs among those that ended in the last 15 minutes; 0 with fewer than 10.",
      single(observed("failed_share")),
    ),
    ...family(
      "ai_jobs_created_total",
      "counter",
      "Jobs created.",
      sums(of("created"), byType),
    ),
    ...family(
      "ai_jobs_cached_total",
      "counter",
      "Jobs created with the result of an earlier one.",
      sums(of("cached"), byType),
    ),
    ...family(
      "ai_jobs_finished_total",
      "counter",
      "Jobs that ended, by status.",
      sums(of("completed", "failed", "cancelled"), ({ job_type, metric }) => ({
        job_type,
        status: metric,
      })),
    ),
    ...family(
      "ai_jobs_failed_total",
      "counter",
      "Jobs that failed, by error code.",
      sums(of("failed"), ({ code }) => ({ error_code: code })),
    ),
    ...family(
      "ai_job_retries_total",
      "counter",
      "Failed attempts that are retried.",
      sums(of("retried"), byType),
    ),
    ...family(
      "ai_jobs_rescued_total",
      "counter",
      "Jobs requeued because their worker stopped.",
      sums(of("rescued"), byType),
    ),
    ...family(
      "ai_job_pickup_seconds",
      "histogram",
      "From when a job was due until it was claimed.",
      histogram(counters, "pickup", 2, () => ({})),
    ),
    ...family(
      "ai_job_run_seconds",
      "histogram",
      "From the first start of a job until it was completed.",
      histogram(counters, "run", 4, byType),
    ),
    ...family(
      "ai_provider_calls_total",
      "counter",
      "Paid calls by their response, each once; unavailable: the provider was at fault.",
      sums(of("calls"), ({ provider, code }) => ({ provider, outcome: code })),
    ),
    ...family(
      "ai_provider_calls_reconciled_total",
      "counter",
      "Paid calls with an unknown outcome, by what was found out later.",
      sums(
        of("reconciled"),
        ({ provider, code }) => ({ provider, outcome: code }),
      ),
    ),
    ...family(
      "ai_provider_call_seconds",
      "histogram",
      "Time from sending a paid call to the response of the provider.",
      histogram(counters, "call_time", 4, ({ provider }) => ({ provider })),
    ),
    ...family(
      "ai_provider_spend_dollars",
      "gauge",
      // Can decrease: a failed render is refunded.
      "Cost of paid calls since installation.",
      sums(of("spend"), ({ provider }) => ({ provider }))
        .map(([labels, micros]) => [labels, micros / MICROS]),
    ),
    ...family(
      "ai_provider_spend_dollars_last_hour",
      "gauge",
      "Cost of paid calls in the last hour.",
      perProvider((one) => one.spent_micros_last_hour / MICROS),
    ),
    ...family(
      "ai_provider_breaker_open",
      "gauge",
      "1 while the provider's breaker is open.",
      perProvider((one) => one.open_since === null ? 0 : 1),
    ),
    ...family(
      "ai_provider_paused",
      "gauge",
      "1 while the provider is paused.",
      perProvider((one) => one.paused_at === null ? 0 : 1),
    ),
    ...family(
      "ai_provider_in_flight",
      "gauge",
      "Running jobs of the provider.",
      perProvider((one) => one.running),
    ),
    ...family(
      "ai_provider_in_flight_limit",
      "gauge",
      "Cap of running jobs of the provider.",
      perProvider((one) => one.max_concurrent),
    ),
    "",
  ].join("\n");
}
