/** Charts over a range, and below them the failures of the range by code. */
import { useSignal } from "@preact/signals";
import { Badge } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { Card } from "../parts/card.tsx";
import { EmptyState } from "../parts/empty-state.tsx";
import { Table } from "../parts/table.tsx";
import { Link, query, setQuery } from "../shell/router.tsx";
import { providerName } from "../words/providers.ts";
import { whenOf } from "../words/times.ts";
import type { Bucket, Durations, FailureGroup, Range } from "./responses.ts";
import { Chart } from "./chart.tsx";
import { useResponse } from "./ops.ts";
import { JobLink, Loaded, typeName } from "./parts.tsx";
import { Redrive } from "./redrive.tsx";

const RANGES: Record<Range, string> = {
  "1h": "1 hour",
  "24h": "24 hours",
  "7d": "7 days",
};

/** What follows “in the last”. */
const LAST: Record<Range, string> = { ...RANGES, "1h": "hour" };

/** The range in the address. */
function rangeOf(): Range {
  const wanted = query.value.get("range");
  return wanted === "24h" || wanted === "7d" ? wanted : "1h";
}

/** `340 ms`, `2.5 s`, `3 min`. */
function msOf(ms: number): string {
  if (ms < 950) return `${Math.round(ms)} ms`;
  if (ms < 90_000) return `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`;
  return `${Math.round(ms / 60_000)} min`;
}

function RangeChoice({ range }: { range: Range }) {
  return (
    <div class="segments" role="group" aria-label="Range">
      {Object.entries(RANGES).map(([id, name]) => (
        <button
          key={id}
          type="button"
          aria-pressed={id === range}
          onClick={() => setQuery({ range: id === "1h" ? null : id })}
        >
          {name}
        </button>
      ))}
    </div>
  );
}

function quantiles(points: readonly (Durations | null)[]) {
  const known = points.filter((point) => point !== null);
  const counted = known.reduce((sum, { count }) => sum + count, 0);
  const mean = (of: (point: Durations) => number) =>
    counted === 0 ? "–" : msOf(
      known.reduce((sum, point) => sum + of(point) * point.count, 0) / counted,
    );
  const series = (
    name: string,
    tone: "busy" | "accent",
    of: (point: Durations) => number,
  ) => ({
    name,
    tone,
    values: points.map((point) => point === null ? null : of(point)),
    total: counted === 0 ? "–" : `about ${mean(of)}`,
  });
  return [
    series("p95", "accent", (point) => point.p95_ms),
    series("p50", "busy", (point) => point.p50_ms),
  ];
}

function Charts({ buckets }: { buckets: readonly Bucket[] }) {
  const times = buckets.map(({ at }) => at);
  const types = [
    ...new Set(buckets.flatMap(({ run }) => run.map((one) => one.job_type))),
  ].sort();
  const wanted = query.value.get("run");
  const type = types.find((one) => one === wanted) ?? types[0];
  const sum = (of: (bucket: Bucket) => number) =>
    String(buckets.reduce((total, bucket) => total + of(bucket), 0));
  return (
    <div class="charts">
      <Chart
        title="Finished and failed"
        isStacked
        times={times}
        show={String}
        series={[
          {
            name: "Finished",
            tone: "good",
            values: buckets.map(({ completed }) => completed),
            total: sum(({ completed }) => completed),
          },
          {
            name: "Failed",
            tone: "bad",
            values: buckets.map(({ failed }) => failed),
            total: sum(({ failed }) => failed),
          },
        ]}
      />
      <Chart
        title="Time until pickup"
        times={times}
        show={msOf}
        series={quantiles(buckets.map(({ pickup }) => pickup))}
      />
      <Chart
        title="Run time"
        times={times}
        show={msOf}
        series={quantiles(
          buckets.map(({ run }) =>
            run.find(({ job_type }) => job_type === type) ?? null
          ),
        )}
        end={types.length > 0 && (
          <select
            aria-label="Run time of"
            class="compact"
            value={type}
            onChange={(event) => setQuery({ run: event.currentTarget.value })}
          >
            {types.map((one) => (
              <option key={one} value={one}>{typeName(one)}</option>
            ))}
          </select>
        )}
      />
    </div>
  );
}

function Failures({ range }: { range: Range }) {
  const response = useResponse("failures", { range });
  const chosen = useSignal<FailureGroup | null>(null);
  /** Groups of which no job matches any more; a new failure changes the key. */
  const finished = useSignal<ReadonlySet<string>>(new Set());
  const keyOf = (group: FailureGroup) =>
    [group.error_code, group.job_type, group.provider, group.count].join();
  const group = chosen.value;
  return (
    <Card title="Failures by code" class="flush">
      <Loaded response={response}>
        {({ failures }) => (
          <Table
            caption="Failures by code, type and provider"
            rows={failures}
            keyOf={({ error_code, job_type, provider }) =>
              [error_code, job_type, provider].join()}
            empty={
              <EmptyState
                icon="check"
                title="Nothing failed"
                text={`No job failed in the last ${LAST[range]}.`}
              />
            }
            columns={[
              {
                head: "Code",
                isWide: true,
                cell: ({ error_code, job_type, provider, sample_message }) => (
                  <>
                    <Link
                      to={`/ops?view=jobs&status=failed&code=${error_code}&type=${job_type}&provider=${provider}`}
                    >
                      <code>{error_code}</code>
                    </Link>
                    {sample_message !== null && (
                      <p class="small soft clip" title={sample_message}>
                        {sample_message}
                      </p>
                    )}
                  </>
                ),
              },
              {
                head: "Job",
                cell: ({ job_type, provider }) => (
                  <>
                    {typeName(job_type)}{" "}
                    <p class="small soft">{providerName(provider)}</p>
                  </>
                ),
              },
              {
                head: "Count",
                isNumber: true,
                cell: ({ count }) => <Badge tone="bad">{count}</Badge>,
              },
              {
                head: "First and last",
                cell: ({ first_at, last_at }) =>
                  [...new Set([whenOf(first_at), whenOf(last_at)])].join(" – "),
              },
              {
                head: "For example",
                cell: ({ sample_job_id }) =>
                  sample_job_id === null ? "–" : <JobLink id={sample_job_id} />,
              },
              {
                head: "Action",
                cell: (failure) =>
                  failure.error_code === "outcome_unknown"
                    ? failure.sample_job_id === null
                      ? "Resolved"
                      : "Needs a person"
                    : (
                      <Button
                        isSmall
                        icon="retry"
                        isDisabled={finished.value.has(keyOf(failure))}
                        onClick={() => chosen.value = failure}
                      >
                        Run again …
                      </Button>
                    ),
              },
            ]}
          />
        )}
      </Loaded>
      {group !== null && (
        <Redrive
          filter={{
            error_code: group.error_code,
            job_type: group.job_type,
            provider: group.provider,
          }}
          onCount={(count) => {
            if (count > 0) return;
            finished.value = new Set(finished.value).add(keyOf(group));
          }}
          onClose={() => chosen.value = null}
        />
      )}
    </Card>
  );
}

/** The section. */
export function Activity() {
  const range = rangeOf();
  const response = useResponse("charts", { range });
  return (
    <>
      <RangeChoice range={range} />
      <Loaded response={response}>
        {({ buckets }) => <Charts buckets={buckets} />}
      </Loaded>
      <Failures range={range} />
    </>
  );
}
