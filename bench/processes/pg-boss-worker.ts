/** A worker of pg-boss. Argument: {@link Settings} as JSON. Deno and Node. */
import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
import process from "node:process";
import {
  type ConstructorOptions,
  type Job,
  PgBoss,
  type WorkOptions,
} from "pg-boss";
import postgres from "postgres";
import { peerJob } from "./peer-job.ts";
import { serveCommands } from "./serve-commands.ts";
import { voiceCalls } from "./voice-call.ts";

interface Settings {
  dbUrl: string;
  providerUrl: string;
  recording: string;
  queue: string;
  boss: ConstructorOptions;
  work: WorkOptions;
}

const settings: Settings = JSON.parse(process.argv[2] ?? "");
const sql = postgres(settings.dbUrl, { onnotice: () => {} });
const recording = new Uint8Array(
  Buffer.from(await readFile(settings.recording)),
);
const job = peerJob(sql, voiceCalls(settings.providerUrl, recording));

const boss = new PgBoss({
  connectionString: settings.dbUrl,
  ...settings.boss,
});
boss.on("error", (error) => process.stderr.write(`pg-boss: ${error}\n`));
await boss.start();
const { perJobResults, ...work } = settings.work;
if (perJobResults) {
  await boss.work(
    settings.queue,
    { ...work, perJobResults: true as const },
    (jobs: Job<{ id: string }>[]) =>
      Promise.all(jobs.map(async ({ id, data }) => {
        await job.run(data.id);
        return { id, status: "completed" as const };
      })),
  );
} else {
  await boss.work<{ id: string }>(
    settings.queue,
    work,
    async (jobs) => {
      await Promise.all(jobs.map(({ data }) => job.run(data.id)));
    },
  );
}

await serveCommands({ first_lines: () => Object.fromEntries(job.firstLines) });
await boss.stop({ graceful: true, timeout: 5000 });
await sql.end({ timeout: 1 });
process.exit(0);
