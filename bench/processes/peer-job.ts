/**
 * The job of the other queues: the code that an app on such a library writes. Five updates of the app's table around
 * the provider's call, each a prepared statement on the app's connection pool. Deno and Node.
 */
import type postgres from "postgres";
import { wallMs } from "./clock.ts";
import type { VoiceCalls } from "./voice-call.ts";

/** The job's handler, and the time of its last start for each job, by the wall clock in milliseconds. */
export interface PeerJob {
  run(jobId: string): Promise<void>;
  firstLines: Map<string, number>;
}

/** The handler, with the app's own connection and the provider. */
export function peerJob(sql: postgres.Sql, voices: VoiceCalls): PeerJob {
  const firstLines = new Map<string, number>();
  return {
    firstLines,
    async run(jobId) {
      firstLines.set(jobId, wallMs());
      await sql`
        update app.jobs
        set status = 'processing', stage = 'claimed', attempt = attempt + 1,
          started_at = coalesce(started_at, clock_timestamp()), updated_at = now()
        where id = ${jobId}`;
      await sql`
        update app.jobs set progress = 10, stage = 'fetching_input', updated_at = now() where id = ${jobId}`;
      await sql`
        update app.jobs set progress = 30, stage = 'calling_provider', updated_at = now() where id = ${jobId}`;
      const voiceId = await voices.create(jobId);
      await sql`
        update app.jobs
        set progress = 70, stage = 'settled', provider_job_id = ${voiceId}, updated_at = now()
        where id = ${jobId}`;
      await sql`
        update app.jobs
        set status = 'completed', progress = 100, stage = null, completed_at = clock_timestamp(),
          result = ${sql.json({ voice_id: voiceId })}, updated_at = now()
        where id = ${jobId}`;
    },
  };
}
