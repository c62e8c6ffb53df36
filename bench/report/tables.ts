/** Results as the tables of docs/benchmarks.md. */
import type { Result } from "./record.ts";
import { byRun, summarize, type Summary } from "./summary.ts";

type Figure = Result["figures"][string];

/** A column: its heading, and its cell for a contender. */
type Column = [heading: string, cell: (summary: Summary) => string];

interface Table {
  scenario: string;
  title: string;
  columns: Column[];
}

function text(value: Figure | undefined, unit = ""): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return `${value.toLocaleString("en", { maximumFractionDigits: 2 })}${unit}`;
}

/** The figure of this name. */
function of(name: string, unit?: string): Column[1] {
  return ({ figures }) => text(figures[name], unit);
}

/** The same, with the minimum and maximum if the runs differ. */
function withRange(name: string, unit?: string): Column[1] {
  return ({ figures, ranges }) => {
    const range = ranges[name];
    return text(figures[name], unit) +
      (range ? ` (${text(range[0])} to ${text(range[1])})` : "");
  };
}

/** Three figures that differ only in their percentile, the first one with its range. */
function percentiles(prefix: string): Column[1] {
  return (summary) =>
    [
      withRange(`${prefix}_p50_ms`)(summary),
      ...["p95", "p99"].map((p) => text(summary.figures[`${prefix}_${p}_ms`])),
    ].join(" / ");
}

const TABLES: readonly Table[] = [
  {
    scenario: "latency",
    title: "One job at a time (ms, p50 / p95 / p99)",
    columns: [
      ["jobs", of("jobs")],
      ["create → completed", percentiles("create_to_completed")],
      ["insert → first line of the handler", percentiles("pickup")],
    ],
  },
  {
    scenario: "throughput",
    title: "Throughput: created one by one by 16 clients, 50 slots",
    columns: [
      ["jobs/s", withRange("jobs_per_second")],
      [
        "finished",
        ({ figures: f }) => `${text(f["finished"])} of ${text(f["created"])}`,
      ],
      ["seconds", of("seconds")],
      ["statements per job", of("statements_per_job")],
      ["WAL bytes per job", of("wal_bytes_per_job")],
      ["CPU ms per job: Postgres", withRange("cpu_ms_per_job_postgres")],
      ["worker", of("cpu_ms_per_job_worker")],
      ["REST and Storage", of("cpu_ms_per_job_gateway")],
      ["clients", of("cpu_ms_per_job_driver")],
    ],
  },
  {
    scenario: "drain",
    title: "Drain: all inserted in one transaction beforehand, 50 slots",
    columns: [
      ["jobs/s", withRange("jobs_per_second")],
      ["finished", of("finished")],
      ["statements per job", of("statements_per_job")],
      ["WAL bytes per job", of("wal_bytes_per_job")],
      ["CPU ms per job: Postgres", withRange("cpu_ms_per_job_postgres")],
      ["worker", of("cpu_ms_per_job_worker")],
      ["REST and Storage", of("cpu_ms_per_job_gateway")],
    ],
  },
  {
    scenario: "makespan",
    title: "Makespan: a provider that takes 200 ms, 50 slots",
    columns: [
      ["jobs", of("jobs")],
      ["seconds", of("seconds")],
      ["÷ ideal", withRange("ratio")],
    ],
  },
  {
    scenario: "fair-share",
    title:
      "Fair share: another user's single jobs during a backlog, 5 slots, 50 ms",
    columns: [
      ["backlog", of("backlog")],
      [
        "delay in slots, p50 / max",
        ({ figures: f }) =>
          f["is_each_begun"] === true
            ? `${text(f["slots_p50"])} / ${text(f["slots_max"])}`
            : `${text(f["slots_by_order"])} (by order)`,
      ],
      [
        "wait, p50 / max",
        ({ figures: f }) =>
          f["is_each_begun"] === true
            ? `${text(f["wait_p50_ms"])} / ${text(f["wait_max_ms"])} ms`
            : `one had not started after ${
              text(f["not_begun_after_seconds"])
            } s; ${text(f["begun"])} before it had`,
      ],
    ],
  },
  {
    scenario: "kill",
    title: "kill −9 with 50 jobs inside the provider's call",
    columns: [
      [
        "stuck",
        ({ figures: f }) =>
          `${text(f["stuck"])} after ${text(f["stuck_after_seconds"])} s`,
      ],
      ["last rescue", withRange("last_rescue_seconds", " s")],
      ["run twice", of("run_twice")],
      ["billed twice", of("billed_twice")],
    ],
  },
  {
    scenario: "history",
    title: "Throughput with finished rows in the table",
    columns: [
      ["finished rows", of("rows")],
      ["jobs/s without", withRange("jobs_per_second_empty")],
      ["jobs/s with", withRange("jobs_per_second")],
      ["loss", withRange("loss_percent", " %")],
    ],
  },
];

function renderTable(
  { scenario, title, columns }: Table,
  summaries: readonly Summary[],
): string {
  const rows = summaries.filter((summary) => summary.scenario === scenario);
  if (rows.length === 0) return "";
  const lines = [
    ["contender", ...columns.map(([heading]) => heading)],
    ["---", ...columns.map(() => "---:")],
    ...rows.toSorted((a, b) => order(a) - order(b)).map((row) => [
      row.title,
      ...columns.map(([, cell]) => cell(row)),
    ]),
  ].map((cells) => `| ${cells.join(" | ")} |`);
  return `### ${title}\n\n${lines.join("\n")}\n`;
}

const ORDER = [
  "embedded",
  "direct",
  "graphile-worker",
  "graphile-worker-tuned",
  "pg-boss",
  "pg-boss-tuned",
];

function order({ contender }: Summary): number {
  return ORDER.indexOf(contender);
}

/** Describes the runs of the results in a sentence or two. Throws without results. */
export function renderRun(results: readonly Result[]): string {
  const [first] = results;
  if (first === undefined) throw new RangeError("there are no results");
  const { machine, library: _library, ...run } = first;
  const libraries = [...new Set(results.map(({ library }) => library))]
    .filter((library) => library.includes(" "));
  const loads = results.map(({ load }) => load);
  const runs = byRun(results);
  const before = runs.flatMap(([result]) => result?.load_before ?? []);
  const several = runs.length === 1
    ? ""
    : ` Medians of ${runs.length} runs; in brackets their minimum and maximum. Faults and maximum waits are those of the worst run.`;
  return `Measured ${run.run.slice(0, 10)} at commit ${run.commit}${
    run.is_quick ? " with `--quick` (small numbers)" : ""
  }: ${machine.cores} cores, ${machine.memory_gb} GB, ${machine.os} ${machine.arch}; Postgres ${run.postgres}, Deno ${run.deno}, ${
    libraries.join(", ")
  }. Load average before ${runs.length === 1 ? "the run" : "a run"} ${
    span(before)
  }, during it ${span(loads)}.${several}\n`;
}

function span(values: readonly number[]): string {
  const least = Math.min(...values), greatest = Math.max(...values);
  return least === greatest ? `${least}` : `${least} to ${greatest}`;
}

/** All tables, as Markdown. */
export function renderTables(results: readonly Result[]): string {
  const summaries = summarize(results);
  return TABLES.map((table) => renderTable(table, summaries))
    .filter((table) => table !== "").join("\n");
}
