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
import { batcher } from "./batcher.ts";
import type { Completion } from "./outcome.ts";
import { productSchema } from "./products.ts";
import { retryWrite } from "./write-retries.ts";

/** The proof of ownership of a claimed job. */
export type Lease = Pick<ClaimedJob, "id" | "lease_token">;

/** A paid call that is about to be sent, for the journal. */
export interface CallIntent {
  /**
   * Drawn by the caller. A write that is retried because its response was lost has the same id and counts as the same
   * call.
   */
  callId: string;
  /** Names the step; at most one call of a step is open or has succeeded for a job. */
  operation: string;
  stage: string;
  progress: number;
  /** How much is requested, in the unit of its price. */
  units: number;
}

/** What to do about a paid call; see the comment on `begin_provider_calls`. */
const begunCallSchema = z.discriminatedUnion("decision", [
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

/** The outcome of a paid call that has made something. */
export interface CallSuccess {
  outcome: "succeeded" | "adopted";
  providerObjectId: string;
  progress?: number;
  /** The usage that the provider reports; without it, the estimate counts. */
  units?: number | undefined;
}

/**
 * The outcome of a paid call. `unknown`: no usable response; `absent`: the provider was queried, and nothing was made.
 */
export type CallSettlement =
  | CallSuccess
  | {
    outcome: "rejected" | "unknown" | "absent";
    errorCode: ErrorCode;
    httpStatus?: number | undefined;
  };

/** What a job reports about its progress: a percentage from 1 to 99, and a stage. */
export interface Report {
  progress: number;
  stage: string;
}

/** What a completion writes in the same commit, besides the result. */
export interface CompletionExtras {
  /** A report that no heartbeat has sent. */
  report?: Report;
  /** The success of the last paid call. It is kept even when the result cannot be saved. */
  call?: { callId: string; settlement: CallSuccess };
  /** How long the database's result cache keeps the job; without it, the job gets no entry. */
  cacheSeconds?: number;
}

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
  /**
   * Writes a paid call into the journal and decides whether it may be sent. Carries a report that no heartbeat has
   * sent.
   */
  beginProviderCall(
    lease: Lease,
    intent: CallIntent,
    report?: Report,
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
   * Records that the provider does not have the object of a step. `doubted`: an operator or a lookup had named it, and
   * the outcome of the call is unknown again; `too_early`: that was less than a minute ago; `kept`: the call itself
   * returned the object. Null when the lease is lost.
   */
  doubtProviderCall(
    lease: Lease,
    operation: string,
  ): Promise<"doubted" | "too_early" | "kept" | null>;
  /**
   * Completes the job and writes its product and `extras` in the same commit; `false` also when the call of `extras`
   * was already settled differently.
   * @throws {JobFailure} `result_not_saved` when the result or the product cannot be written; then only the settlement
   *   was.
   */
  complete(
    lease: Lease,
    completion: Completion,
    extras?: CompletionExtras,
  ): Promise<boolean>;
  /** Completes the job with the result of an equal job; false also when that result cannot be reused. */
  reuseResult(lease: Lease, sourceJobId: string): Promise<boolean>;
  /** Ends the attempt as failed; resolves with the job's new status. */
  fail(
    lease: Lease,
    failure: AttemptFailure,
  ): Promise<"pending" | "failed" | "cancelled" | null>;
  /** Ends a job whose cancellation was requested. */
  cancel(lease: Lease): Promise<boolean>;
  /**
   * Requeues the job for a later time, without using up the attempt. `failure`, of a call that is not in the journal, is
   * kept on the job and counted by the provider's breaker.
   */
  snooze(
    lease: Lease,
    seconds: number,
    stage: string,
    failure?: Pick<JobFailure, "code" | "message">,
  ): Promise<boolean>;
  /** Requeues the job to be claimed immediately, without using up the attempt. */
  release(lease: Lease): Promise<boolean>;
  /** Has the database dispatch this worker again if jobs are due; resolves with whether any were. */
  wake(): Promise<boolean>;
}

const heartbeatSchema = z.array(
  z.object({ job_id: z.uuid(), is_cancel_requested: z.boolean() }),
);

/** An item of a call that takes several, as the database reports it. */
const itemSchema = z.looseObject({
  job_id: z.uuid(),
  error: z.object({
    code: z.string(),
    message: z.string(),
    details: z.string().nullable().default(null),
  }).nullable(),
});
type ItemRow = z.infer<typeof itemSchema>;
const settledSchema = z.object({ is_settled: z.boolean() });

/**
 * Most items in one call. A paid call is sent only after its begin is committed, so a smaller batch makes each wait for
 * fewer others.
 */
const LIMITS = { begin: 20, settle: 50, complete: 50 };

/**
 * The queue of one worker over `rpc`.
 *
 * Paid calls are begun and settled, and jobs completed, in batches: items that arrive while a call of the same kind is
 * in flight are sent together in the next. An item that the database refuses fails alone.
 *
 * Writes that carry a lease are retried for about nine seconds while they fail with `service_unavailable`; then that
 * error is thrown. Nothing happens twice: an ending that was written although its response was lost has ended the
 * lease, so its retry returns `false`; a paid call is begun and settled under its own id; a revision sets a value.
 * Claims, heartbeats and `wake` are not retried, because their callers repeat them anyway.
 *
 * @param worker the Edge Function, as in `ai_job_types.worker`: it only gets jobs whose type names it.
 */
export function createJobRepository(
  rpc: Rpc,
  worker = "process-ai-job",
): JobRepository {
  const call = functionCaller(rpc);
  const write: typeof call = (...args) => retryWrite(() => call(...args));

  /** Sends one item of each job in one call; its row, or null when the lease is lost. */
  function batched<Item extends { lease: Lease }>(
    limit: number,
    send: (items: readonly Item[]) => Promise<ItemRow[]>,
    toError: (error: DatabaseError) => AppError = fromDatabaseError,
    weightOf?: (item: Item) => number,
  ): (item: Item) => Promise<ItemRow | null> {
    const sendItem = batcher<Item, ItemRow | null>({
      limit,
      ...(weightOf === undefined ? {} : { weightOf }),
      keyOf: ({ lease }) => lease.id,
      isSplit,
      async send(items) {
        const rows = new Map(
          (await send(items)).map((row) => [row.job_id, row]),
        );
        return items.map(({ lease }) => rows.get(lease.id) ?? null);
      },
    });
    return async (item) => {
      const row = await sendItem(item);
      if (row !== null && row.error !== null) throw toError(row.error);
      return row;
    };
  }

  const begin = batched<BeginItem>(
    LIMITS.begin,
    (items) =>
      call("begin_provider_calls", {
        p_calls: items.map(({ lease, intent, report }) => ({
          ...leased(lease),
          ...reported(report),
          call_id: intent.callId,
          operation: intent.operation,
          progress: intent.progress,
          stage: intent.stage,
          units: intent.units,
        })),
      }, z.array(itemSchema)),
  );

  const settle = batched<SettleItem>(
    LIMITS.settle,
    (items) =>
      call("settle_provider_calls", {
        p_calls: items.map(({ lease, callId, settlement }) => ({
          ...leased(lease),
          call_id: callId,
          ...("providerObjectId" in settlement ? succeeded(settlement) : {
            outcome: settlement.outcome,
            error_code: settlement.errorCode,
            http_status: settlement.httpStatus ?? null,
          }),
        })),
      }, z.array(itemSchema)),
  );

  const complete = batched<CompleteItem>(
    LIMITS.complete,
    (items) =>
      call(
        "complete_ai_jobs",
        {
          p_jobs: items.map(({ lease, completion, extras }) => ({
            ...leased(lease),
            ...reported(extras.report),
            ...(extras.call === undefined ? {} : {
              call_id: extras.call.callId,
              ...succeeded(extras.call.settlement),
            }),
            ...(extras.cacheSeconds === undefined
              ? {}
              : { cache_seconds: extras.cacheSeconds }),
            result_data: completion.resultData,
            output_url: completion.outputUrl ?? null,
            product: completion.product ?? null,
          })),
        },
        z.array(itemSchema),
        completionError,
      ),
    completionError,
    // A transcript may have megabytes, so it is sent alone.
    ({ completion }) =>
      completion.product?.kind === "transcript" ? LIMITS.complete : 1,
  );

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

    async beginProviderCall(lease, intent, report) {
      const row = await retryWrite(() => begin({ lease, intent, report }));
      return row && begunCallSchema.parse(row);
    },

    async settleProviderCall(lease, callId, settlement) {
      const row = await retryWrite(() => settle({ lease, callId, settlement }));
      return row !== null && settledSchema.parse(row).is_settled;
    },

    reviseProviderCall: (lease, operation, units) =>
      write("revise_provider_call", {
        ...fence(lease),
        p_operation: operation,
        p_units: units,
      }, z.boolean()),

    doubtProviderCall: (lease, operation) =>
      write("doubt_provider_call", {
        ...fence(lease),
        p_operation: operation,
      }, z.enum(["doubted", "too_early", "kept"]).nullable()),

    async complete(lease, completion, extras = {}) {
      const product = productSchema.optional().safeParse(completion.product);
      if (!product.success) throw resultNotSaved(product.error);
      return await retryWrite(() => complete({ lease, completion, extras })) !==
        null;
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

    snooze: (lease, seconds, stage, failure) =>
      write("snooze_ai_job", {
        ...fence(lease),
        p_delay_seconds: seconds,
        p_stage: stage,
        ...(failure === undefined ? {} : {
          p_error_code: failure.code,
          p_error_message: failure.message,
        }),
      }, z.boolean()),

    release: (lease) => write("release_ai_job", fence(lease), z.boolean()),

    wake: () => call("wake_ai_job_worker", { p_worker: worker }, z.boolean()),
  };
}

interface BeginItem {
  lease: Lease;
  intent: CallIntent;
  report: Report | undefined;
}

interface SettleItem {
  lease: Lease;
  callId: string;
  settlement: CallSettlement;
}

interface CompleteItem {
  lease: Lease;
  completion: Completion;
  extras: CompletionExtras;
}

const leased = (lease: Lease) => ({
  job_id: lease.id,
  lease_token: lease.lease_token,
});

const reported = (report: Report | undefined) =>
  report === undefined
    ? {}
    : { report_progress: report.progress, report_stage: report.stage };

const succeeded = (settlement: CallSuccess) => ({
  outcome: settlement.outcome,
  provider_object_id: settlement.providerObjectId,
  progress: settlement.progress ?? 0,
  units: settlement.units ?? null,
});

/** SQLSTATEs of a statement that failed because of an item, or was stopped: its items may be written one by one. */
const SPLIT_STATES = /^(22|23|40|AJ|55P03|57014)/;
const causeSchema = z.object({ code: z.string() });

function isSplit(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const cause = causeSchema.safeParse(error.cause);
  return cause.success && SPLIT_STATES.test(cause.data.code);
}

const fence = (lease: Lease) => ({
  p_job_id: lease.id,
  p_lease_token: lease.lease_token,
});

/**
 * SQLSTATEs of a value that no retry can save: data exceptions, violated constraints, and products that refer to
 * nothing.
 */
const REFUSED_VALUE = /^(22|23|AJ08)/;

function completionError(error: DatabaseError): AppError {
  return REFUSED_VALUE.test(error.code)
    ? resultNotSaved(error)
    : fromDatabaseError(error);
}

function resultNotSaved(cause: unknown): JobFailure {
  return JobFailure.final("result_not_saved", { cause });
}
