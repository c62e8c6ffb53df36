/** A worker of graphile-worker. Argument: {@link Settings} as JSON. Deno and Node. */
import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
import process from "node:process";
import {
  Logger,
  makeWorkerUtils,
  run,
  type RunnerOptions,
} from "graphile-worker";
import postgres from "postgres";
import { peerJob } from "./peer-job.ts";
import { serveCommands } from "./serve-commands.ts";
import { voiceCalls } from "./voice-call.ts";

interface Settings {
  dbUrl: string;
  providerUrl: string;
  recording: string;
  /** The documented `worker` settings of a preset. */
  worker: NonNullable<NonNullable<RunnerOptions["preset"]>["worker"]>;
  /** Before the start: unlock the jobs of dead workers, which is safe only without another worker. */
  isAlone: boolean;
}

interface Payload {
  id: string;
}

function isPayload(value: unknown): value is Payload {
  return typeof value === "object" && value !== null && "id" in value &&
    typeof value.id === "string";
}

const settings: Settings = JSON.parse(process.argv[2] ?? "");
const { dbUrl } = settings;
const logger = new Logger(() => () => {});
const sql = postgres(dbUrl, { onnotice: () => {} });
const recording = new Uint8Array(
  Buffer.from(await readFile(settings.recording)),
);
const job = peerJob(sql, voiceCalls(settings.providerUrl, recording));

if (settings.isAlone) {
  const held = await sql<{ locked_by: string }[]>`
    select distinct locked_by from graphile_worker.jobs where locked_by is not null`;
  const utils = await makeWorkerUtils({ connectionString: dbUrl, logger });
  await utils.forceUnlockWorkers(held.map(({ locked_by }) => locked_by));
  await utils.release();
}

const runner = await run({
  connectionString: dbUrl,
  noHandleSignals: true,
  logger,
  preset: { worker: { ...settings.worker, logger } },
  taskList: {
    voice_clone: async (payload) => {
      if (!isPayload(payload)) throw new Error("a job without an id");
      await job.run(payload.id);
    },
  },
});

await serveCommands({ first_lines: () => Object.fromEntries(job.firstLines) });
await runner.stop();
await sql.end({ timeout: 1 });
process.exit(0);
