/** The same engine without the embedded REST and Storage: see processes/direct-worker.ts. */
import { z } from "zod";
import { type Environment, RECORDING, WALL_CLOCK_MS } from "../environment.ts";
import type { Contender, RunOptions } from "./contender.ts";
import type { EngineDatabase } from "./engine.ts";
import { WorkerProcess } from "./worker-process.ts";

/** The contender `direct`. */
export function directContender(
  { stack, facts, account }: Environment,
  database: EngineDatabase,
): Contender {
  const provider = account("direct");
  const worker = new WorkerProcess(
    "./direct-worker.ts",
    z.object({ port: z.number() }),
    "null",
  );
  let settings: Record<string, unknown> = {};
  let recovering = Promise.resolve();

  /** A worker that replaces a killed one listens on another port, because its old one may be in use. */
  async function redirect(): Promise<void> {
    const { port } = await worker.ready();
    await database.sendDispatchesTo(addressOf(port));
  }
  return {
    name: "direct",
    title: "edge-ai-jobs, direct connection",
    library: "edge-ai-jobs",
    database: "postgres",
    isPolling: false,
    settings: ({ slots }) => ({ concurrency: slots, max_concurrent: slots }),
    async begin(options: RunOptions) {
      await provider.reset(options.providerMs);
      settings = {
        dbUrl: facts.dbUrl,
        providerUrl: provider.url,
        recording: RECORDING,
        concurrency: options.slots,
        wallClockMs: WALL_CLOCK_MS,
        dispatchSecret: facts.dispatchSecret,
      };
      const { port } = await worker.start(settings);
      await database.reset(options, addressOf(port));
      await stack.call("resume", null, z.null());
    },
    async end() {
      await stack.call("pause", null, z.null());
      await worker.stop();
    },
    async create() {
      const [id] = await database.insert(1, "anyone");
      if (id === undefined) throw new Error("no job was inserted");
      return id;
    },
    insert: (count, owner) => database.insert(count, owner),
    async kill() {
      const at = await worker.killAndStart(settings);
      recovering = redirect();
      recovering.catch(() => {}); // the error reaches the code that awaits `recovered`
      return at;
    },
    recovered: () => recovering,
    times: (ids) => database.times(ids),
    firstLines: () => worker.firstLines(),
    startedOfFirst: (after, before) => database.startedOfFirst(after, before),
    fillHistory: (rows) => database.fillHistory(rows),
    dispose: () => Promise.resolve(),
  };
}

function addressOf(port: number): string {
  return `http://127.0.0.1:${port}`;
}
