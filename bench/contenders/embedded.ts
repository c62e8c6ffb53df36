/** The unchanged product: create-ai-job, pg_net, process-ai-job, the embedded REST and Storage, ElevenLabs' client. */
import { z } from "zod";
import { type Environment, MAX_SLOTS } from "../environment.ts";
import { wallMs } from "../processes/clock.ts";
import type { Contender, RunOptions } from "./contender.ts";
import type { EngineDatabase } from "./engine.ts";

const createdSchema = z.object({ job_id: z.uuid() });

/** The contender `embedded`. */
export function embeddedContender(
  { stack, facts, account }: Environment,
  database: EngineDatabase,
): Contender {
  const provider = account("embedded");
  let turn = 0;
  return {
    name: "embedded",
    title: "edge-ai-jobs, embedded REST",
    library: "edge-ai-jobs",
    database: "postgres",
    isPolling: false,
    settings: ({ slots }) => ({
      WORKER_CONCURRENCY: MAX_SLOTS,
      max_concurrent: slots,
    }),
    async begin(options: RunOptions) {
      await provider.reset(options.providerMs);
      await database.reset(options, facts.apiUrl);
      await stack.call("renew", null, z.null());
      await stack.call("resume", null, z.null());
    },
    async end() {
      await stack.call("pause", null, z.null());
      await stack.call("renew", null, z.null());
    },
    async create() {
      const user = database.users[turn++ % database.users.length];
      if (user === undefined) throw new Error("there is no user");
      const response = await fetch(
        `${facts.apiUrl}/functions/v1/create-ai-job`,
        {
          method: "POST",
          headers: {
            authorization: `Bearer ${user.accessToken}`,
            apikey: facts.publishableKey,
            "content-type": "application/json",
          },
          body: JSON.stringify({
            job_type: "voice_clone",
            input_url: user.inputUrl,
            metadata: { voice_name: `Voice ${crypto.randomUUID()}` },
          }),
        },
      );
      const body: unknown = await response.json();
      if (response.status !== 202) {
        throw new Error(
          `create-ai-job: ${response.status} ${JSON.stringify(body)}`,
        );
      }
      return createdSchema.parse(body).job_id;
    },
    insert: (count, owner) => database.insert(count, owner),
    async kill() {
      const at = wallMs();
      await stack.call("kill", null, z.null());
      return at;
    },
    // The stack starts another process by itself.
    recovered: () => Promise.resolve(),
    times: (ids) => database.times(ids),
    async firstLines() {
      const lines = await stack.call(
        "first_lines",
        null,
        z.record(z.string(), z.number()),
      );
      return new Map(Object.entries(lines));
    },
    startedOfFirst: (after, before) => database.startedOfFirst(after, before),
    fillHistory: (rows) => database.fillHistory(rows),
    dispose: () => Promise.resolve(),
  };
}
