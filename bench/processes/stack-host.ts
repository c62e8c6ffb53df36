/**
 * The embedded stack in a separate process, as `deno task start` runs it, with the commands that the benchmark needs.
 * Argument: {@link settingsSchema} as JSON.
 */
import { z } from "zod";
import type { LogRecord } from "../../dev/stack/console/log-book.ts";
import { startStack } from "../../dev/stack/stack.ts";
import { serveCommands } from "./serve-commands.ts";

const settingsSchema = z.object({
  dataDir: z.string(),
  env: z.record(z.string(), z.string()),
  wallClockMs: z.number().int(),
});

const SLUG = "process-ai-job";
const settings = settingsSchema.parse(JSON.parse(Deno.args[0] ?? ""));
const stack = await startStack({
  port: 0,
  dataDir: settings.dataDir,
  env: settings.env,
  wallClockMs: settings.wallClockMs,
  // The other contenders have none.
  cpuMs: 0,
  memoryMb: 0,
  simulators: false,
});

const firstLineSchema = z.object({ time: z.iso.datetime(), job_id: z.uuid() });
let firstLines = new Map<string, number>();

/** The processor's first line causes the worker's first report. */
function noteFirstLine({ source, line }: LogRecord): void {
  if (source !== `function:${SLUG}`) return;
  if (!line.includes('"job_progress"') || !line.includes('"fetching_input"')) {
    return;
  }
  const { time, job_id } = firstLineSchema.parse(JSON.parse(line));
  firstLines.set(job_id, Date.parse(time));
}
stack.logs.watch(noteFirstLine);

/** Resolves with the process that serves requests, once it is not `old`. */
async function successor(old: number | undefined): Promise<number> {
  for (;;) {
    const { pid } = await stack.functions.process(SLUG);
    if (pid !== old) return pid;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function kill(): Promise<void> {
  await stack.functions.kill(SLUG, "SIGKILL");
}

await serveCommands({
  first_lines: () => Object.fromEntries(firstLines),
  sign: (claims) =>
    stack.signToken(z.record(z.string(), z.unknown()).parse(claims)),
  kill,
  /** Replaces the worker by a fresh one without jobs. */
  async renew() {
    firstLines = new Map();
    const { pid } = await stack.functions.process(SLUG);
    await kill();
    await successor(pid);
  },
  async pause() {
    await Promise.all([stack.cron.pause(), stack.net.pause()]);
  },
  resume() {
    stack.cron.resume();
    stack.net.resume();
  },
  /** The worker's warnings and errors, newest last. */
  complaints: () =>
    stack.logs.records().filter(({ source, stream, line }) =>
      (source === "services" || source === "net" || source === "cron" ||
          source === "gateway")
        ? stream === "stderr"
        : source.startsWith("function:") && /"level":"(warn|error)"/.test(line)
    ).slice(-20).map(({ source, line }) => `${source}: ${line}`),
}, {
  apiUrl: stack.apiUrl,
  dbUrl: stack.dbUrl,
  adminDbUrl: stack.adminDbUrl,
  publishableKey: stack.publishableKey,
  secretKey: stack.secretKey,
  dispatchSecret: stack.dispatchSecret,
});
await stack.stop();
Deno.exit(0);
