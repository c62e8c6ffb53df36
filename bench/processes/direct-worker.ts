/**
 * process-ai-job without the Data API: the product's handler, worker, repository and paid calls, with the queue
 * functions called over a direct connection. The recording is in memory and the provider is called by plain fetch,
 * as the peers do it. Argument: {@link settingsSchema} as JSON.
 */
import postgres from "postgres";
import { z } from "zod";
import { readEnv } from "../../supabase/functions/_shared/config/env.ts";
import type { Processor } from "../../supabase/functions/_shared/jobs/job-context.ts";
import { createJobRepository } from "../../supabase/functions/_shared/jobs/rpc-repository.ts";
import { createWorker } from "../../supabase/functions/_shared/jobs/worker.ts";
import type { PlatformDeps } from "../../supabase/functions/_shared/platform/deps.ts";
import { createLogger } from "../../supabase/functions/_shared/platform/log.ts";
import { createWorkerHandler } from "../../supabase/functions/_shared/worker/handler.ts";
import { wallMs } from "./clock.ts";
import { createDirectRpc } from "./direct-rpc.ts";
import { serveCommands } from "./serve-commands.ts";
import { type VoiceCalls, voiceCalls } from "./voice-call.ts";

const settingsSchema = z.object({
  dbUrl: z.string(),
  providerUrl: z.string(),
  recording: z.string(),
  concurrency: z.number().int(),
  wallClockMs: z.number().int(),
  dispatchSecret: z.string(),
});

const settings = settingsSchema.parse(JSON.parse(Deno.args[0] ?? ""));
const firstLines = new Map<string, number>();

function voiceProcessor(voices: VoiceCalls): Processor {
  return {
    jobType: "voice_clone",
    async run({ job, progress, pay }) {
      firstLines.set(job.id, wallMs());
      progress(10, "fetching_input");
      const voiceId = await pay({
        operation: "create_voice",
        stage: "calling_provider",
        progressBefore: 30,
        progressAfter: 70,
        units: 1,
        isLast: true,
        send: (signal) => voices.create(job.id, signal),
        find: (signal) => voices.find(job.id, signal),
      });
      const id = platform.uuid();
      return {
        resultData: {
          voice_id: id,
          provider_voice_id: voiceId,
          voice_name: "A voice",
        },
        product: {
          kind: "voice",
          id,
          provider_voice_id: voiceId,
          name: "A voice",
          description: null,
          labels: {},
          stability: 0.5,
          similarity_boost: 0.75,
        },
      };
    },
  };
}

const encoder = new TextEncoder();
const platform: PlatformDeps = {
  now: () => new Date(),
  uptimeMs: () => performance.now(),
  uuid: () => crypto.randomUUID(),
  random: () => Math.random(),
  fetch: (input, init) => fetch(input, init),
  resolveHost: () => Promise.resolve([]),
  waitUntil: (promise) => void promise,
  onShutdown: () => {},
  env: () => ({
    SUPABASE_URL: "http://127.0.0.1:1",
    SUPABASE_PUBLISHABLE_KEYS: '{"default":"unused"}',
    SUPABASE_SECRET_KEYS: '{"default":"unused"}',
    DISPATCH_SECRET: settings.dispatchSecret,
  }),
  // Writes log lines like the function, so that both have their cost.
  writeLine: (line) => void Deno.stderr.writeSync(encoder.encode(`${line}\n`)),
};

const sql = postgres(settings.dbUrl, {
  // One call of each function is in flight at a time, and a claim for each dispatch.
  max: 6,
  onnotice: () => {},
  connection: { role: "service_role" },
});
const env = readEnv(platform);
const log = createLogger(platform, { level: "info", secrets: [] });
const rpc = await createDirectRpc(sql);
const repository = createJobRepository(rpc);
const processor = voiceProcessor(
  voiceCalls(
    settings.providerUrl,
    await Deno.readFile(settings.recording),
  ),
);
const worker = createWorker({
  platform,
  repository,
  processors: new Map([[processor.jobType, processor]]),
  results: "database",
  concurrency: settings.concurrency,
  wallClockMs: settings.wallClockMs,
  // The jobs of the benchmark have no dependencies.
  dependencyOf: () => Promise.resolve(null),
  removeLostFiles: () => Promise.resolve(0),
  onShutdown: platform.onShutdown,
  waitUntil: platform.waitUntil,
  log,
});
await sql`select 1`;

const server = Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen() {} },
  createWorkerHandler("process-ai-job", { platform, env, repository, worker }),
);

await serveCommands(
  { first_lines: () => Object.fromEntries(firstLines) },
  { port: server.addr.port },
);
await sql.end({ timeout: 1 });
Deno.exit(0);
