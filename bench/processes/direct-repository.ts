/**
 * The queue functions over a direct connection: the same SQL as supabase/functions/_shared/jobs/repository.ts calls
 * through the Data API, for the same runner. The difference between the two is what the Data API costs.
 */
import type postgres from "postgres";
import { z } from "zod";
import {
  cacheEntrySchema,
  type CacheStore,
} from "../../supabase/functions/_shared/cache/result-cache.ts";
import { claimedJobSchema } from "../../supabase/functions/_shared/contracts/jobs.ts";
import {
  begunCallSchema,
  type JobRepository,
  type Lease,
} from "../../supabase/functions/_shared/jobs/repository.ts";

type Value = postgres.ParameterOrJSON<never>;

const claimsSchema = z.array(claimedJobSchema);

/** A client of the functions of schema `public`, by name. */
function functionsOf(sql: postgres.Sql) {
  return {
    /** What a function that returns one value returns. */
    async value<T>(
      name: string,
      args: Record<string, Value>,
      schema: z.ZodType<T>,
    ): Promise<T> {
      const [row] = await sql.unsafe(
        `select public.${name}(${named(args)}) as value`,
        Object.values(args),
        { prepare: true },
      );
      return schema.parse(row?.["value"]);
    },
    /** The rows of a function that returns rows, as the Data API would write them. */
    async rows<T>(
      name: string,
      args: Record<string, Value>,
      schema: z.ZodType<T>,
    ): Promise<T> {
      const [row] = await sql.unsafe(
        `select coalesce(jsonb_agg(to_jsonb(r)), '[]') as rows from public.${name}(${
          named(args)
        }) as r`,
        Object.values(args),
        { prepare: true },
      );
      return schema.parse(row?.["rows"]);
    },
  };
}

function named(args: Record<string, Value>): string {
  return Object.keys(args).map((name, index) => `${name} => $${index + 1}`)
    .join(", ");
}

/** The queue over `sql`, whose role must be service_role. Its methods throw the errors of postgres.js. */
export function createDirectRepository(sql: postgres.Sql): JobRepository {
  const { value, rows } = functionsOf(sql);
  const fence = (lease: Lease) => ({
    p_job_id: lease.id,
    p_lease_token: lease.lease_token,
  });
  return {
    claimDispatched: (dispatch, limit) =>
      rows("claim_dispatched_ai_jobs", {
        p_message_id: dispatch.messageId,
        p_sent_at_unix: dispatch.sentAtUnix,
        p_limit: limit,
      }, claimsSchema),

    claimDue: (limit) =>
      rows("claim_ai_jobs", { p_limit: limit }, claimsSchema),

    async heartbeat(beats) {
      const alive = await rows(
        "heartbeat_ai_jobs",
        {
          p_beats: sql.json(
            beats.map(({ lease, progress, stage }) => ({
              job_id: lease.id,
              lease_token: lease.lease_token,
              progress: progress ?? null,
              stage: stage ?? null,
            })),
          ),
        },
        z.array(
          z.object({ job_id: z.string(), is_cancel_requested: z.boolean() }),
        ),
      );
      return new Map(
        alive.map((
          row,
        ) => [row.job_id, { isCancelRequested: row.is_cancel_requested }]),
      );
    },

    async beginProviderCall(lease, operation, progress, stage, units, callId) {
      const [begun] = await rows("begin_provider_call", {
        ...fence(lease),
        p_operation: operation,
        p_progress: progress,
        p_stage: stage,
        p_units: units,
        p_call_id: callId,
      }, z.array(begunCallSchema).max(1));
      return begun ?? null;
    },

    reviseProviderCall: (lease, operation, units) =>
      value("revise_provider_call", {
        ...fence(lease),
        p_operation: operation,
        p_units: units,
      }, z.boolean()),

    settleProviderCall: (lease, callId, settlement) =>
      value("settle_provider_call", {
        p_call_id: callId,
        ...fence(lease),
        p_outcome: settlement.outcome,
        ...("providerObjectId" in settlement
          ? {
            p_provider_object_id: settlement.providerObjectId,
            p_progress: settlement.progress ?? 0,
            p_units: settlement.units ?? null,
          }
          : {
            p_error_code: settlement.errorCode,
            p_http_status: settlement.httpStatus ?? null,
          }),
      }, z.boolean()),

    complete: (lease, { resultData, outputUrl, product }) =>
      value("complete_ai_job", {
        ...fence(lease),
        p_result_data: sql.json(resultData),
        p_output_url: outputUrl ?? null,
        p_product: product === undefined ? null : sql.json({ ...product }),
      }, z.boolean()),

    // The benchmark's jobs depend on nothing.
    dependencyOf: () => Promise.resolve(null),

    reuseResult: (lease, sourceJobId) =>
      value("reuse_ai_job_result", {
        ...fence(lease),
        p_source_job_id: sourceJobId,
      }, z.boolean()),

    fail: (lease, failure) =>
      value("fail_ai_job", {
        ...fence(lease),
        p_error_code: failure.code,
        p_error_message: failure.message,
        p_is_retryable: failure.isRetryable,
        p_retry_after_seconds: failure.retryAfterSeconds ?? null,
      }, z.enum(["pending", "failed"]).nullable()),

    snooze: (lease, seconds, stage) =>
      value("snooze_ai_job", {
        ...fence(lease),
        p_delay_seconds: seconds,
        p_stage: stage,
      }, z.boolean()),

    cancel: (lease) => value("cancel_ai_job", fence(lease), z.boolean()),
    wake: () => value("wake_ai_job_worker", {}, z.boolean()),
    release: (lease) => value("release_ai_job", fence(lease), z.boolean()),
  };
}

/** The result cache of Postgres over the same connection. */
export function createDirectStore(sql: postgres.Sql): CacheStore {
  const { value } = functionsOf(sql);
  return {
    get: (key) =>
      value("get_ai_result_cache", { p_cache_key: key }, z.unknown()),
    async set(key, entry, userId, ttlSeconds) {
      await value("put_ai_result_cache", {
        p_cache_key: key,
        p_user_id: userId,
        p_value: sql.json(cacheEntrySchema.parse(entry)),
        p_ttl_seconds: ttlSeconds,
      }, z.unknown());
    },
  };
}
