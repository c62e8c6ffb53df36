/** Selects the lines of output that the terminal shows: one for each problem. The log file has all of them. */
import { z } from "zod";
import type { LogRecord } from "./log-book.ts";

/** How much output is printed. */
export type Printed = "nothing" | "problems" | "everything";

/** Messages of the runtime about isolates that start and end, which happens all the time. */
const lifeOfIsolate =
  /^(shutdown( announced)?: |early termination has been triggered$|wall clock duration (warning|reached)$|(CPU time soft|half of the memory) limit reached)/;

const errorSchema = z.looseObject({
  message: z.string().optional(),
  code: z.string().optional(),
  cause: z.unknown().optional(),
});

/** The error of a provider's refusal; its cause is the body. */
const responseSchema = z.looseObject({
  httpStatus: z.number().min(400),
  cause: z.unknown().optional(),
});
const causeSchema = z.looseObject({ cause: z.unknown().optional() });
const MAX_CAUSES = 5;
const MAX_BODY_LENGTH = 200;

/** What a provider responded, from the causes of an error; empty when none is a response. */
function responseIn(error: unknown): string {
  let cause = error;
  for (let depth = 0; depth < MAX_CAUSES; depth++) {
    const response = responseSchema.safeParse(cause);
    if (response.success) {
      const { httpStatus, cause: body } = response.data;
      const text = typeof body === "string" ? body : JSON.stringify(body);
      const shown = (text ?? "").trim().replaceAll(/\s+/g, " ")
        .slice(0, MAX_BODY_LENGTH);
      return ` The provider responded with ${httpStatus}${
        shown === "" ? "." : `: ${shown}`
      }`;
    }
    const next = causeSchema.safeParse(cause);
    if (!next.success) return "";
    cause = next.data.cause;
  }
  return "";
}

/** A line of the functions' own logger (`_shared/platform/log.ts`). */
const lineSchema = z.looseObject({
  level: z.enum(["debug", "info", "warn", "error"]),
  event: z.string(),
  error: errorSchema.optional().catch(undefined),
  error_code: z.string().optional(),
  error_text: z.string().optional(),
  job_id: z.string().optional(),
  job_type: z.string().optional(),
});

function parseLine(line: string): z.infer<typeof lineSchema> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return lineSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

function problemOfFunction(slug: string, line: string): string | undefined {
  const read = parseLine(line);
  // Output of a function's own console calls, which its developer wants to see here.
  if (read === undefined) {
    return lifeOfIsolate.test(line) ? undefined : `[${slug}] ${line}`;
  }
  const { level, event, error, error_code, error_text, job_id, job_type } =
    read;
  const code = error_code ?? error?.code;
  const message = error?.message ?? error_text;
  const isProblem = level === "error" ||
    (level === "warn" && (code !== undefined || message !== undefined));
  if (!isProblem) return undefined;
  const words = [code, message].filter((word) => word !== undefined).join(": ");
  const job = job_id === undefined ? "" : ` (${job_type ?? "job"} ${job_id})`;
  return `[${slug}] ${event}${words === "" ? "" : `, ${words}`}${
    responseIn(error)
  }${job}`;
}

/**
 * The line for the terminal, without its line end; undefined for a detail. Problems are a 5xx response, a failed job, a
 * function that does not boot, and console output of a function. A refused request concerns only its caller.
 */
function problemIn(
  { source, stream, line }: LogRecord,
): string | undefined {
  const [kind, slug] = source.split(":");
  switch (kind) {
    case "function":
      return problemOfFunction(slug ?? "", line);
    case "postgres":
    case "services":
      return undefined;
    case "gateway":
      return stream === "stdout" ? undefined : `[${source}] ${line}`;
    default:
      return `[${source}] ${line}`;
  }
}

/** The line for the terminal under `printed`, without its line end; undefined when it is not printed. */
export function lineFor(
  record: LogRecord,
  printed: Printed,
): string | undefined {
  switch (printed) {
    case "nothing":
      return undefined;
    case "problems":
      return problemIn(record);
    case "everything":
      return `[${record.source}] ${record.line}`;
  }
}
