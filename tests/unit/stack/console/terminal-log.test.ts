import { assertEquals } from "@std/assert";
import { lineFor } from "../../../../dev/stack/console/terminal-log.ts";
import { JobFailure } from "../../../../supabase/functions/_shared/failures/job-failure.ts";
import { ProviderFailure } from "../../../../supabase/functions/_shared/failures/provider-failure.ts";
import { createLogger } from "../../../../supabase/functions/_shared/platform/log.ts";

const record = (source: string, line: string, stream = "stderr" as const) => ({
  at: "2026-01-01T00:00:00.000Z",
  source,
  stream,
  line,
});

/** The line that the functions' own logger writes. */
function logged(
  level: "info" | "warn" | "error",
  event: string,
  fields: Record<string, unknown>,
): string {
  let written = "";
  createLogger(
    { now: () => new Date(0), writeLine: (line) => written = line },
    { level: "debug", secrets: [], fields: { function: "process-ai-job" } },
  )[level](event, fields);
  return written;
}

const job = { job_id: "0b7c", job_type: "pdf_render" };
const missing = Object.assign(new Error("slide 1: its photo does not exist"), {
  code: "photo_not_found",
});

Deno.test("terminal: a problem is one line, a normal event is not printed", () => {
  const f = "function:process-ai-job";
  const cases: [source: string, line: string, printed: string | undefined][] = [
    [f, logged("info", "job_started", job), undefined],
    [
      f,
      logged("warn", "job_failed", {
        ...job,
        error_code: "photo_not_found",
        error: missing,
      }),
      "[process-ai-job] job_failed, photo_not_found: slide 1: its photo does not exist (pdf_render 0b7c)",
    ],
    // What the provider itself says is nowhere else on the terminal.
    ...([
      ["Not  Found\n", "404: Not Found"],
      [{ detail: { code: "no" } }, '404: {"detail":{"code":"no"}}'],
      ["x".repeat(300), `404: ${"x".repeat(200)}`],
      [undefined, "404."],
    ] as const).map(([body, printed]): [string, string, string] => [
      f,
      logged("warn", "job_failed", {
        ...job,
        error: JobFailure.final("provider_rejected_input", {
          cause: ProviderFailure.rejected("provider_rejected_input", {
            httpStatus: 404,
            cause: body,
          }),
        }),
      }),
      "[process-ai-job] job_failed, provider_rejected_input: The AI provider cannot use this input. Try another one. " +
      `The provider responded with ${printed} (pdf_render 0b7c)`,
    ]),
    [f, logged("warn", "claim_refused", { reason: "too_old" }), undefined],
    [
      f,
      logged("error", "request_failed", { error: new Error("boom") }),
      "[process-ai-job] request_failed, boom",
    ],
    [
      f,
      logged("error", "lease_lost", job),
      "[process-ai-job] lease_lost (pdf_render 0b7c)",
    ],
    [f, logged("error", "odd", { error: "a text" }), "[process-ai-job] odd"],
    // A line that was too long for the platform keeps its error as text.
    [
      f,
      logged("error", "request_failed", {
        error: new Error("long"),
        data: "x".repeat(10_000),
      }).replace(
        /"error_text":"(.{3}).*?","is_cut"/,
        '"error_text":"cut","is_cut"',
      ),
      "[process-ai-job] request_failed, cut",
    ],
    [f, "here I am", "[process-ai-job] here I am"],
    [f, '{"here": "I am"}', '[process-ai-job] {"here": "I am"}'],
    [f, "{ no JSON", "[process-ai-job] { no JSON"],
    [f, "shutdown announced: wall_clock", undefined],
    [f, "shutdown: TerminationRequested", undefined],
    [f, "early termination has been triggered", undefined],
    [f, "wall clock duration warning", undefined],
    [
      f,
      "memory limit reached: this isolate had 300 MB of 256 MB",
      "[process-ai-job] memory limit reached: this isolate had 300 MB of 256 MB",
    ],
    [
      "services",
      'PostgresError 42501: permission denied for table "ai_jobs"',
      undefined,
    ],
    ["postgres", "ERROR:  permission denied", undefined],
    [
      "gateway",
      "GET /rest/v1/x answered 500",
      "[gateway] GET /rest/v1/x answered 500",
    ],
    ["cron", "sweep failed: x", "[cron] sweep failed: x"],
  ];
  for (const [source, line, printed] of cases) {
    assertEquals(lineFor(record(source, line), "problems"), printed, line);
    assertEquals(lineFor(record(source, line), "nothing"), undefined);
    assertEquals(
      lineFor(record(source, line), "everything"),
      `[${source}] ${line}`,
    );
  }
});
