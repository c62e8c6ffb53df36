/** The protocol between a test file and the program that holds its stack, over HTTP on the loopback. */
import { z } from "zod";

/** The options of a test file's functions; the next file can use others on the same stack. */
const functionOptionsSchema = z.strictObject({
  upstash: z.enum(["simulated", "none"]).exactOptional(),
  env: z.record(z.string(), z.string()).exactOptional(),
  wallClockMs: z.number().int().exactOptional(),
  cpuMs: z.number().int().exactOptional(),
  memoryMb: z.number().int().exactOptional(),
});

/** How a test file wants its stack; the rest is fixed: ephemeral, quiet, on a free port, the sweep by hand. */
export const testStackOptionsSchema = functionOptionsSchema.extend({
  /** Runs the functions; a stack with another Deno than this process's is not shared. */
  functionsDeno: z.strictObject({
    program: z.string(),
    cacheDir: z.string(),
  }).exactOptional(),
});
export type TestStackOptions = z.output<typeof testStackOptionsSchema>;

/** Addresses and keys of a running stack; the one line that the program prints once everything answers. */
export const stackFactsSchema = z.object({
  apiUrl: z.string(),
  dbUrl: z.string(),
  adminDbUrl: z.string(),
  publishableKey: z.string(),
  secretKey: z.string(),
  simulatorUrl: z.string(),
  dispatchSecret: z.string(),
  controlUrl: z.string(),
});
export type StackFacts = z.output<typeof stackFactsSchema>;

/** A row of `ai_job_events`. */
export const jobEventSchema = z.object({
  job_id: z.uuid(),
  seq: z.number().int(),
  event: z.string(),
  attempt: z.number().int(),
  data: z.record(z.string(), z.unknown()),
});
export type JobEvent = z.output<typeof jobEventSchema>;

/** One line of a part of the stack; `fields` when it is a JSON object. */
const logLineSchema = z.object({
  source: z.string(),
  stream: z.enum(["stdout", "stderr"]),
  line: z.string(),
  fields: z.record(z.string(), z.unknown()).nullable(),
});
export type LogLine = z.output<typeof logLineSchema>;

const bound = z.number().int().min(0).max(600_000);

/** The commands by path, with the schemas of argument and response. */
export const COMMANDS = {
  /**
   * Claims the stack for one test file: it gets new functions with these options, and the data of a new stack. Returns
   * false when another file has it.
   */
  "/claim": { given: functionOptionsSchema, answer: z.boolean() },
  /** Releases it to the next file. */
  "/release": { given: z.null(), answer: z.null() },
  "/net/pause": { given: z.null(), answer: z.null() },
  "/net/resume": { given: z.null(), answer: z.null() },
  "/functions/kill": {
    given: z.object({
      slug: z.string(),
      signal: z.enum(["SIGKILL", "SIGTERM"]),
    }),
    answer: z.null(),
  },
  /**
   * Kills all functions; those that start from now on have these variables in addition to those of the claim, and not
   * those of an earlier restart.
   */
  "/functions/restart": {
    given: z.record(z.string(), z.string()),
    answer: z.null(),
  },
  "/functions/pids": { given: z.string(), answer: z.array(z.number()) },
  /** Address of the function itself, without the gateway in front of it. */
  "/functions/origin": { given: z.string(), answer: z.string() },
  /** Advances the clock of every process of every function by this number of milliseconds. */
  "/functions/advance": { given: z.number().int().min(1), answer: z.null() },
  /** Runs a schedule of the database once, now. */
  "/cron/run": {
    given: z.string(),
    answer: z.object({
      status: z.enum(["succeeded", "failed"]),
      message: z.string(),
    }),
  },
  "/tokens": {
    given: z.record(z.string(), z.union([z.string(), z.number()])),
    answer: z.string(),
  },
  /** Closes every Realtime connection, and refuses new ones until Realtime is resumed. */
  "/realtime/pause": { given: z.null(), answer: z.null() },
  "/realtime/resume": { given: z.null(), answer: z.null() },
  /** Ends every Realtime channel with the server's message for an expired token or for too many messages. */
  "/realtime/drop": {
    given: z.enum(["expired", "rate_limited"]),
    answer: z.null(),
  },
  /** All events of a job, once the `nth` with one of the names exists, or at the time limit. */
  "/events": {
    given: z.object({
      job_id: z.uuid(),
      events: z.array(z.string()),
      nth: z.number().int().min(1),
      within_ms: bound,
    }),
    answer: z.object({ events: z.array(jobEventSchema), reached: z.boolean() }),
  },
  /** All lines of a source with this text and these fields, once there are `at_least`, or at the time limit. */
  "/logs": {
    given: z.object({
      source: z.string().nullable(),
      text: z.string().default(""),
      fields: z.record(z.string(), z.unknown()).default({}),
      at_least: z.number().int().min(0).default(0),
      within_ms: bound.default(0),
    }),
    answer: z.object({ lines: z.array(logLineSchema), reached: z.boolean() }),
  },
} as const;

/** Path of a command. */
export type Command = keyof typeof COMMANDS;
/** The argument of a command. */
export type Given<C extends Command> = z.input<(typeof COMMANDS)[C]["given"]>;
/** The response of a command. */
export type Answer<C extends Command> = z.output<
  (typeof COMMANDS)[C]["answer"]
>;

/** Whether a path is a command. */
export function isCommand(path: string): path is Command {
  return Object.hasOwn(COMMANDS, path);
}
