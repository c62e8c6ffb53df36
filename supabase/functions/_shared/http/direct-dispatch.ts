/** A call of `process-ai-job` that does not wait for pg_net. Only a hint: the database also dispatches the job. */
import { z } from "zod";
import type { Logger } from "../platform/log.ts";
import { dispatchHeaders } from "./dispatch-signature.ts";
import type { AppDeps } from "./endpoint.ts";

/** Timeout of a call, the same as the database's. */
const TIMEOUT_MS = 5_000;

/**
 * No call is made for this long after one that claimed nothing or failed: the database's call was as fast, or the
 * worker has no free slot. Each further call would cost a claim without a result.
 */
export const USELESS_PAUSE_MS = 30_000;

const answerSchema = z.object({ claimed: z.array(z.uuid()) });

/**
 * Calls `process-ai-job` for a job that was just created. Returns without waiting and never throws.
 *
 * @param log gets a line at debug when the call fails.
 */
export type DirectDispatch = (jobId: string, log: Logger) => void;

/**
 * Creates the {@link DirectDispatch} of an isolate.
 *
 * Guarantees: at most one call at a time, because it claims all jobs that are due; none for {@link USELESS_PAUSE_MS}
 * after one that claimed nothing or failed;
 * none at all where DIRECT_DISPATCH is off. A lost, late or duplicate call changes nothing: only one caller can claim a
 * job.
 */
export function createDirectDispatch(
  { platform, env }: AppDeps,
): DirectDispatch {
  let isCalling = false;
  let pausedUntilMs = 0;

  /** Resolves with whether it claimed a job. */
  async function call(jobId: string): Promise<boolean> {
    const messageId = `msg_${platform.uuid().replaceAll("-", "")}`;
    const body = JSON.stringify({
      type: "INSERT",
      table: "ai_jobs",
      schema: "public",
      record: { id: jobId },
      old_record: null,
      job_ids: [jobId],
    });
    const response = await platform.fetch(
      new URL("/functions/v1/process-ai-job", env.SUPABASE_URL),
      {
        method: "POST",
        headers: {
          "content-type": "application/json",
          // https://supabase.com/docs/guides/functions/regional-invocation
          ...(env.WORKER_REGION === undefined
            ? {}
            : { "x-region": env.WORKER_REGION }),
          ...await dispatchHeaders(
            { messageId, sentAt: platform.now(), body },
            env.DISPATCH_SECRET,
          ),
        },
        body,
        signal: AbortSignal.timeout(TIMEOUT_MS),
      },
    );
    const answer: unknown = await response.json();
    return answerSchema.parse(answer).claimed.length > 0;
  }

  async function callOnce(jobId: string, log: Logger): Promise<void> {
    isCalling = true;
    let wasUseful = false;
    try {
      wasUseful = await call(jobId);
    } catch (error) {
      log.debug("direct_dispatch_failed", { job_id: jobId, error });
    } finally {
      isCalling = false;
      if (!wasUseful) pausedUntilMs = platform.uptimeMs() + USELESS_PAUSE_MS;
    }
  }

  return (jobId, log) => {
    if (env.DIRECT_DISPATCH === "off" || isCalling) return;
    if (platform.uptimeMs() < pausedUntilMs) return;
    platform.waitUntil(callOnce(jobId, log));
  };
}
