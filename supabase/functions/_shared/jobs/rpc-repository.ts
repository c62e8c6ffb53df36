/**
 * The queue over the functions of the database: their only caller. Needs the rights of the service.
 *
 * Writes that carry a lease are retried here while the database is unavailable, so that a restart or a deploy costs
 * neither an attempt nor a known outcome.
 */
import { z } from "zod";
import { claimedJobSchema } from "../contracts/jobs.ts";
import { fromDatabaseError } from "../database/errors.ts";
import {
  type DatabaseError,
  functionCaller,
  type Rpc,
} from "../database/rpc.ts";
import type { AppError } from "../failures/app-error.ts";
import { JobFailure } from "../failures/job-failure.ts";
import { batcher } from "./batcher.ts";
import type { Completion } from "./outcome.ts";
import { productSchema } from "./products.ts";
import {
  begunCallSchema,
  type CallIntent,
  type CallSettlement,
  type CallSuccess,
  type CompletionExtras,
  type JobRepository,
  type Lease,
  type Report,
} from "./repository.ts";
import { retryWrite } from "./write-retries.ts";

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
 * Maximum number of items in one call. A paid call is sent only after its begin is committed, so a smaller batch makes
 * each wait for fewer others.
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
 * Claims, polls, heartbeats and `wake` are not retried, because their callers repeat them anyway.
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
          ...(intent.repeatWithinSeconds === undefined
            ? {}
            : { repeat_within_seconds: intent.repeatWithinSeconds }),
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

    poll: ({ id, isLast }, limit) =>
      call("poll_ai_jobs", {
        p_poll_id: id,
        p_limit: limit,
        p_is_last: isLast,
        p_worker: worker,
      }, z.array(claimedJobSchema)),

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

    doubtProviderCall: (lease, operation, makingSeconds = 0) =>
      write("doubt_provider_call", {
        ...fence(lease),
        p_operation: operation,
        p_making_seconds: makingSeconds,
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
