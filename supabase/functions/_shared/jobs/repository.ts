/** The queue, as the database offers it: the only caller of its functions. Needs the service's client. */
import type { PostgrestError, SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import {
  type ClaimedJob,
  claimedJobSchema,
  type Dependency,
  dependencySchema,
} from "../contracts/jobs.ts";
import type { Database } from "../database.types.ts";
import { fromDatabaseError } from "../database/errors.ts";
import type { AppError } from "../failures/app-error.ts";
import type { ErrorCode } from "../failures/catalogue.ts";
import { JobFailure } from "../failures/job-failure.ts";
import type { Completion } from "./outcome.ts";
import { productSchema } from "./products.ts";

/** What proves ownership of a claimed job. */
export type Lease = Pick<ClaimedJob, "id" | "lease_token">;

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
export type BegunCall = z.infer<typeof begunCallSchema>;

/** How a paid call ended. `unknown`: no usable answer; `absent`: asked afterwards, nothing was made. */
export type CallSettlement =
  | {
    outcome: "succeeded" | "adopted";
    providerObjectId: string;
    progress?: number;
    /** How much the provider says it took; left out, as much as was estimated. */
    units?: number | undefined;
  }
  | {
    outcome: "rejected" | "unknown" | "absent";
    errorCode: ErrorCode;
    httpStatus?: number | undefined;
  };

/** A sign of life of one job, with what there is to report. */
export interface Beat {
  lease: Lease;
  progress?: number;
  stage?: string;
}

const heartbeatSchema = z.array(
  z.object({ job_id: z.uuid(), is_cancel_requested: z.boolean() }),
);

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
  /** Extends the leases; a job that is missing from the answer is lost. */
  heartbeat(
    beats: readonly Beat[],
  ): Promise<ReadonlyMap<string, { isCancelRequested: boolean }>>;
  beginProviderCall(
    lease: Lease,
    operation: string,
    progress: number,
    stage: string,
    /** In the unit of its price. */
    units: number,
    /** Drawn by the caller: asked again with the same one, because an answer was lost, it is the same call. */
    callId: string,
  ): Promise<BegunCall | null>;
  settleProviderCall(
    lease: Lease,
    callId: string,
    settlement: CallSettlement,
  ): Promise<boolean>;
  /** Writes how much the settled call of a step did take, where that is known only later. */
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
  reuseResult(lease: Lease, sourceJobId: string): Promise<boolean>;
  /** The job that this one depends on, which is completed; null when it names none, or that has been deleted. */
  dependencyOf(
    job: Pick<ClaimedJob, "user_id" | "depends_on_job_id">,
  ): Promise<Dependency | null>;
  fail(
    lease: Lease,
    failure: {
      code: ErrorCode;
      message: string;
      isRetryable: boolean;
      retryAfterSeconds?: number | undefined;
    },
  ): Promise<"pending" | "failed" | "cancelled" | null>;
  cancel(lease: Lease): Promise<boolean>;
  /** Asks for another request to this worker, if jobs wait for it. */
  wake(): Promise<boolean>;
  snooze(lease: Lease, seconds: number, stage: string): Promise<boolean>;
  release(lease: Lease): Promise<boolean>;
}

type Rpc = Database["public"]["Functions"];

/** SQLSTATEs of a value that no repetition makes fit: data exceptions, constraints, and products without a place. */
const REFUSED_VALUE = /^(22|23|AJ08)/;

function resultNotSaved(cause: unknown): JobFailure {
  return JobFailure.final("result_not_saved", { cause });
}

/**
 * The queue through the Data API with the secret key.
 *
 * @param worker the Edge Function that asks, as in `ai_job_types.worker`: it gets jobs of its own types alone.
 */
export function createJobRepository(
  supabase: SupabaseClient<Database>,
  worker = "process-ai-job",
): JobRepository {
  async function call<Name extends keyof Rpc & string, T>(
    name: Name,
    args: Rpc[Name]["Args"],
    schema: z.ZodType<T>,
    toError: (error: PostgrestError) => AppError = fromDatabaseError,
  ): Promise<T> {
    const { data, error } = await supabase.rpc(name, args);
    if (error) throw toError(error);
    return schema.parse(data);
  }
  const fence = (lease: Lease) => ({
    p_job_id: lease.id,
    p_lease_token: lease.lease_token,
  });

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

    async beginProviderCall(
      lease,
      operation,
      progress,
      stage,
      units,
      callId,
    ) {
      const [row] = await call(
        "begin_provider_call",
        {
          ...fence(lease),
          p_operation: operation,
          p_progress: progress,
          p_stage: stage,
          p_units: units,
          p_call_id: callId,
        },
        z.array(begunCallSchema).max(1),
      );
      return row ?? null;
    },

    settleProviderCall: (lease, callId, settlement) =>
      call("settle_provider_call", {
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
      call("revise_provider_call", {
        ...fence(lease),
        p_operation: operation,
        p_units: units,
      }, z.boolean()),

    complete: (lease, { resultData, outputUrl, product }) => {
      const row = productSchema.optional().safeParse(product);
      if (!row.success) return Promise.reject(resultNotSaved(row.error));
      return call(
        "complete_ai_job",
        {
          ...fence(lease),
          p_result_data: resultData,
          ...(outputUrl === undefined ? {} : { p_output_url: outputUrl }),
          ...(row.data === undefined ? {} : { p_product: row.data }),
        },
        z.boolean(),
        (error) =>
          REFUSED_VALUE.test(error.code)
            ? resultNotSaved(error)
            : fromDatabaseError(error),
      );
    },

    reuseResult: (lease, sourceJobId) =>
      call("reuse_ai_job_result", {
        ...fence(lease),
        p_source_job_id: sourceJobId,
      }, z.boolean()),

    async dependencyOf(job) {
      if (job.depends_on_job_id === null) return null;
      const { data, error } = await supabase.from("ai_jobs")
        .select(Object.keys(dependencySchema.shape).join(","))
        .eq("id", job.depends_on_job_id).eq("user_id", job.user_id)
        .eq("status", "completed").maybeSingle();
      if (error) throw fromDatabaseError(error);
      return dependencySchema.nullable().parse(data);
    },

    fail: (lease, failure) =>
      call("fail_ai_job", {
        ...fence(lease),
        p_error_code: failure.code,
        p_error_message: failure.message,
        p_is_retryable: failure.isRetryable,
        ...(failure.retryAfterSeconds === undefined
          ? {}
          : { p_retry_after_seconds: failure.retryAfterSeconds }),
      }, z.enum(["pending", "failed", "cancelled"]).nullable()),

    snooze: (lease, seconds, stage) =>
      call("snooze_ai_job", {
        ...fence(lease),
        p_delay_seconds: seconds,
        p_stage: stage,
      }, z.boolean()),

    cancel: (lease) => call("cancel_ai_job", fence(lease), z.boolean()),

    wake: () => call("wake_ai_job_worker", { p_worker: worker }, z.boolean()),

    release: (lease) => call("release_ai_job", fence(lease), z.boolean()),
  };
}
