/**
 * The queue, as the database offers it: the only caller of its functions. Needs the rights of the service.
 *
 * Writes that carry a lease are retried here while the database is unavailable, so that a restart or a deploy costs
 * neither an attempt nor a known outcome.
 */
import { z } from "zod";
import { type ClaimedJob, claimedJobSchema } from "../contracts/jobs.ts";
import { fromDatabaseError } from "../database/errors.ts";
import {
  type DatabaseError,
  functionCaller,
  type Rpc,
} from "../database/rpc.ts";
import type { AppError } from "../failures/app-error.ts";
import type { ErrorCode } from "../failures/catalogue.ts";
import { JobFailure } from "../failures/job-failure.ts";
import type { Completion } from "./outcome.ts";
import { productSchema } from "./products.ts";
import { retryWrite } from "./write-retries.ts";

/** What proves ownership of a claimed job. */
export type Lease = Pick<ClaimedJob, "id" | "lease_token">;

/** A paid call that is about to be sent, for the journal. */
export interface CallIntent {
  /** Drawn by the caller. A write that is retried because its answer was lost has the same id, and is the same call. */
  callId: string;
  /** Names the step; at most one call of a step is open or has succeeded for a job. */
  operation: string;
  stage: string;
  progress: number;
  /** How much is requested, in the unit of its price. */
  units: number;
}

/** What to do about a paid call; see the comment on `begin_provider_call`. */
export const begunCallSchema = z.discriminatedUnion("decision", [
  z.object({ decision: z.literal("send"), call_id: z.uuid() }),
  z.object({
    decision: z.literal("reconcile"),
    call_id: z.uuid(),
    is_lookup_conclusive: z.boolean(),
  }),
  z.object({ decision: z.literal("cancelled") }),
  z.object({ decision: z.literal("over_budget") }),
  z.object({ decision: z.literal("over_provider_budget") }),
  z.object({
    decision: z.literal("done"),
    call_id: z.uuid(),
    provider_object_id: z.string(),
  }),
]);
/** See {@link begunCallSchema}. */
export type BegunCall = z.infer<typeof begunCallSchema>;

/** The outcome of a paid call. `unknown`: no usable answer; `absent`: the provider was asked, and nothing was made. */
export type CallSettlement =
  | {
    outcome: "succeeded" | "adopted";
    providerObjectId: string;
    progress?: number;
    /** What the provider reports that it used; left out, the estimate counts. */
    units?: number | undefined;
  }
  | {
    outcome: "rejected" | "unknown" | "absent";
    errorCode: ErrorCode;
    httpStatus?: number | undefined;
  };

/** The heartbeat of one job, with its progress report if there is one. */
export interface Beat {
  lease: Lease;
  progress?: number;
  stage?: string;
}

/** Why an attempt failed. `message` is shown to the owner. */
export interface AttemptFailure {
  code: ErrorCode;
  message: string;
  isRetryable: boolean;
  retryAfterSeconds?: number | undefined;
}

/**
 * The queue functions. Each write carries the lease token; `false` and `null` mean that the lease is lost and nothing
 * was changed.
 *
 * Every method throws an AppError when the database cannot be reached or refuses; `claimDispatched` also
 * `dispatch_stale` and `dispatch_replayed`.
 */
export interface JobRepository {
  claimDispatched(
    dispatch: { messageId: string; sentAtUnix: number },
    limit: number,
  ): Promise<ClaimedJob[]>;
  claimDue(limit: number): Promise<ClaimedJob[]>;
  /** Extends the leases. A job that is missing from the result has lost its lease. */
  heartbeat(
    beats: readonly Beat[],
  ): Promise<ReadonlyMap<string, { isCancelRequested: boolean }>>;
  /** Writes a paid call into the journal and decides whether it may be sent. */
  beginProviderCall(
    lease: Lease,
    intent: CallIntent,
  ): Promise<BegunCall | null>;
  /** Writes the outcome of a paid call. */
  settleProviderCall(
    lease: Lease,
    callId: string,
    settlement: CallSettlement,
  ): Promise<boolean>;
  /** Corrects the usage of a step's settled call, where it is known only later. */
  reviseProviderCall(
    lease: Lease,
    operation: string,
    units: number,
  ): Promise<boolean>;
  /**
   * Completes the job and writes its product in the same commit.
   * @throws {JobFailure} `result_not_saved` when the result or the product cannot be written: nothing was.
   */
  complete(lease: Lease, completion: Completion): Promise<boolean>;
  /** Completes the job with the result of an equal job; false also when that result cannot be reused. */
  reuseResult(lease: Lease, sourceJobId: string): Promise<boolean>;
  /** Ends the attempt as failed; resolves with the status that this gave the job. */
  fail(
    lease: Lease,
    failure: AttemptFailure,
  ): Promise<"pending" | "failed" | "cancelled" | null>;
  /** Ends a job whose cancellation was requested. */
  cancel(lease: Lease): Promise<boolean>;
  /** Puts the job back until later; the attempt does not count. */
  snooze(lease: Lease, seconds: number, stage: string): Promise<boolean>;
  /** Puts the job back to be claimed at once; the attempt does not count. */
  release(lease: Lease): Promise<boolean>;
  /** Has the database dispatch this worker again if jobs are due; resolves with whether any were. */
  wake(): Promise<boolean>;
}

const heartbeatSchema = z.array(
  z.object({ job_id: z.uuid(), is_cancel_requested: z.boolean() }),
);

/**
 * The queue of one worker over `rpc`.
 *
 * Writes that carry a lease are retried for about nine seconds while they fail with `service_unavailable`; then that
 * error is thrown. Nothing happens twice: an ending that was written although its answer was lost has ended the lease,
 * so its retry returns `false`; a paid call is begun and settled under its own id; a revision sets a value. Not retried
 * are claims, heartbeats and `wake`, whose callers come back by themselves.
 *
 * @param worker the Edge Function, as in `ai_job_types.worker`: it only gets jobs whose type names it.
 */
export function createJobRepository(
  rpc: Rpc,
  worker = "process-ai-job",
): JobRepository {
  const call = functionCaller(rpc);
  const write: typeof call = (...args) => retryWrite(() => call(...args));

  return {
    claimDispatched: (dispatch, limit) =>
      call("claim_dispatched_ai_jobs", {
        p_message_id: dispatch.messageId,
        p_sent_at_unix: dispatch.sentAtUnix,
        p_limit: limit,
        p_worker: worker,
      }, z.array(claimedJobSchema)),

    claimDue: (limit) =>
      call(
        "claim_ai_jobs",
        { p_limit: limit, p_worker: worker },
        z.array(claimedJobSchema),
      ),

    async heartbeat(beats) {
      const alive = await call("heartbeat_ai_jobs", {
        p_beats: beats.map(({ lease, progress, stage }) => ({
          job_id: lease.id,
          lease_token: lease.lease_token,
          progress: progress ?? null,
          stage: stage ?? null,
        })),
      }, heartbeatSchema);
      return new Map(
        alive.map((row) => [row.job_id, {
          isCancelRequested: row.is_cancel_requested,
        }]),
      );
    },

    async beginProviderCall(lease, intent) {
      const [begun] = await write(
        "begin_provider_call",
        {
          ...fence(lease),
          p_operation: intent.operation,
          p_progress: intent.progress,
          p_stage: intent.stage,
          p_units: intent.units,
          p_call_id: intent.callId,
        },
        z.array(begunCallSchema).max(1),
      );
      return begun ?? null;
    },

    settleProviderCall: (lease, callId, settlement) =>
      write("settle_provider_call", {
        ...fence(lease),
        p_call_id: callId,
        p_outcome: settlement.outcome,
        ...("providerObjectId" in settlement
          ? {
            p_provider_object_id: settlement.providerObjectId,
            p_progress: settlement.progress ?? 0,
            ...(settlement.units === undefined
              ? {}
              : { p_units: settlement.units }),
          }
          : {
            p_error_code: settlement.errorCode,
            ...(settlement.httpStatus === undefined
              ? {}
              : { p_http_status: settlement.httpStatus }),
          }),
      }, z.boolean()),

    reviseProviderCall: (lease, operation, units) =>
      write("revise_provider_call", {
        ...fence(lease),
        p_operation: operation,
        p_units: units,
      }, z.boolean()),

    complete: (lease, { resultData, outputUrl, product }) => {
      const row = productSchema.optional().safeParse(product);
      if (!row.success) return Promise.reject(resultNotSaved(row.error));
      return write(
        "complete_ai_job",
        {
          ...fence(lease),
          p_result_data: resultData,
          ...(outputUrl === undefined ? {} : { p_output_url: outputUrl }),
          ...(row.data === undefined ? {} : { p_product: row.data }),
        },
        z.boolean(),
        completionError,
      );
    },

    reuseResult: (lease, sourceJobId) =>
      write("reuse_ai_job_result", {
        ...fence(lease),
        p_source_job_id: sourceJobId,
      }, z.boolean()),

    fail: (lease, failure) =>
      write("fail_ai_job", {
        ...fence(lease),
        p_error_code: failure.code,
        p_error_message: failure.message,
        p_is_retryable: failure.isRetryable,
        ...(failure.retryAfterSeconds === undefined
          ? {}
          : { p_retry_after_seconds: failure.retryAfterSeconds }),
      }, z.enum(["pending", "failed", "cancelled"]).nullable()),

    cancel: (lease) => write("cancel_ai_job", fence(lease), z.boolean()),

    snooze: (lease, seconds, stage) =>
      write("snooze_ai_job", {
        ...fence(lease),
        p_delay_seconds: seconds,
        p_stage: stage,
      }, z.boolean()),

    release: (lease) => write("release_ai_job", fence(lease), z.boolean()),

    wake: () => call("wake_ai_job_worker", { p_worker: worker }, z.boolean()),
  };
}

const fence = (lease: Lease) => ({
  p_job_id: lease.id,
  p_lease_token: lease.lease_token,
});

/** SQLSTATEs of a value that no retry can save: data exceptions, constraints, and products without a place. */
const REFUSED_VALUE = /^(22|23|AJ08)/;

function completionError(error: DatabaseError): AppError {
  return REFUSED_VALUE.test(error.code)
    ? resultNotSaved(error)
    : fromDatabaseError(error);
}

function resultNotSaved(cause: unknown): JobFailure {
  return JobFailure.final("result_not_saved", { cause });
}
