/** The functions of the queue, called as the worker calls them. */
import { assert } from "@std/assert";
import type postgres from "postgres";
import { beginCall, completeJob, settleCall } from "./protocol.ts";

/** A row of `ai_jobs`. Times have milliseconds; see {@link pictureOf} for exact ones. */
export interface Job {
  id: string;
  user_id: string;
  job_type: string;
  status: string;
  progress_percentage: number;
  input_url: string | null;
  metadata: Record<string, unknown>;
  output_url: string | null;
  result_data: Record<string, unknown> | null;
  error_message: string | null;
  error_code: string | null;
  provider: string;
  provider_job_id: string | null;
  stage: string | null;
  attempt: number;
  max_attempts: number;
  scheduled_at: Date;
  priority: number;
  lease_token: string | null;
  lease_expires_at: Date | null;
  idempotency_key: string | null;
  input_hash: string;
  cached_from_job_id: string | null;
  depends_on_job_id: string | null;
  is_blocked: boolean;
  billable_calls: number;
  event_seq: number;
  last_event: string;
  created_at: Date;
  started_at: Date | null;
  completed_at: Date | null;
  updated_at: Date;
}

/** A claimed job. */
export interface ClaimedJob extends Job {
  lease_token: string;
  lease_expires_at: Date;
}

/** A job and its lease token, which a test may invent. */
export interface Lease {
  id: string;
  lease_token: string | null;
}

/** A row of `begin_provider_calls`. */
export interface BegunCall {
  call_id: string;
  decision:
    | "send"
    | "repeat"
    | "reconcile"
    | "done"
    | "cancelled"
    | "over_budget"
    | "over_provider_budget";
  provider_object_id: string | null;
  is_lookup_conclusive: boolean;
  ended_calls: number;
}

/** The functions of the queue over one connection, named and ordered as in the migrations. */
export type Queue = ReturnType<typeof queueOver>;

/** Calls the queue over this connection, with its role. */
export function queueOver(sql: postgres.ISql) {
  return {
    claim: async (limit: number | null, ids: string[] | null = null) => [
      ...await sql<ClaimedJob[]>`
        select * from public.claim_ai_jobs(p_limit => ${limit}, p_job_ids => ${ids})`,
    ],
    claimDispatched: async (
      messageId: string | null,
      sentAtUnix: number | string | null,
      limit: number,
    ) => [
      ...await sql<ClaimedJob[]>`
        select * from public.claim_dispatched_ai_jobs(
          p_message_id => ${messageId},
          p_sent_at_unix => ${sentAtUnix},
          p_limit => ${limit}
        )`,
    ],
    poll: async (
      id: string,
      limit: number,
      { isLast = false }: { isLast?: boolean } = {},
    ) => [
      ...await sql<ClaimedJob[]>`
        select * from public.poll_ai_jobs(
          p_poll_id => ${id}, p_limit => ${limit}, p_is_last => ${isLast}
        )`,
    ],
    heartbeat: async (
      { id, lease_token }: Lease,
      progress: number | null = null,
      stage: string | null = null,
    ) => {
      const [row] = await sql<
        { job_id: string; is_cancel_requested: boolean }[]
      >`
        select * from public.heartbeat_ai_jobs(${
        sql.json([{ job_id: id, lease_token, progress, stage }])
      })`;
      if (row === undefined) return undefined;
      const [job] = await sql<{ lease_expires_at: Date }[]>`
        select lease_expires_at from public.ai_jobs where id = ${id}`;
      assert(job !== undefined);
      return { ...row, ...job };
    },
    cancel: ({ id, lease_token }: Lease) =>
      only<boolean>(sql`
        select public.cancel_ai_job(p_job_id => ${id}, p_lease_token => ${lease_token}) as answer`),
    complete: (lease: Lease, result: postgres.JSONValue = {}) =>
      completeJob(sql, lease, { result }),
    completeWithOutput: (
      lease: Lease,
      result: postgres.JSONValue,
      outputUrl: string,
    ) => completeJob(sql, lease, { result, outputUrl }),
    completeWithProduct: (
      lease: Lease,
      product: postgres.JSONValue,
      result: postgres.JSONValue = {},
    ) => completeJob(sql, lease, { product, result }),
    fail: (
      { id, lease_token }: Lease,
      options: {
        code?: string;
        isRetryable?: boolean;
        retryAfterSeconds?: number | string | null;
      } = {},
    ) =>
      only<string | null>(sql`
        select public.fail_ai_job(
          p_job_id => ${id},
          p_lease_token => ${lease_token},
          p_error_code => ${options.code ?? "provider_unavailable"},
          p_error_message => 'The AI provider did not answer properly.',
          p_is_retryable => ${options.isRetryable ?? true},
          p_retry_after_seconds => ${options.retryAfterSeconds ?? null}
        ) as answer`),
    snooze: (
      { id, lease_token }: Lease,
      seconds: number | string | null = 10,
      stage: string | null = null,
      code: string | null = null,
    ) =>
      only<boolean>(sql`
        select public.snooze_ai_job(
          p_job_id => ${id}, p_lease_token => ${lease_token}, p_delay_seconds => ${seconds}, p_stage => ${stage},
          p_error_code => ${code}, p_error_message => ${
        code === null ? null : "The AI provider did not answer properly."
      }
        ) as answer`),
    release: ({ id, lease_token }: Lease) =>
      only<boolean>(sql`
        select public.release_ai_job(p_job_id => ${id}, p_lease_token => ${lease_token}) as answer`),
    begin: (lease: Lease, operation = "create_voice", progress = 30) =>
      beginCall(sql, lease, { operation, progress }),
    settle: (
      lease: Lease,
      callId: string,
      outcome: string,
      objectId: string | null = null,
      progress = 0,
    ) => settleCall(sql, lease, callId, outcome, { objectId, progress }),
    reuse: ({ id, lease_token }: Lease, sourceId: string) =>
      only<boolean>(sql`
        select public.reuse_ai_job_result(
          p_job_id => ${id}, p_lease_token => ${lease_token}, p_source_job_id => ${sourceId}
        ) as answer`),
    rescue: async (limit = 500) => [
      ...await sql<{ job_id: string; status: string }[]>`
        select * from public.rescue_stalled_ai_jobs(p_limit => ${limit})`,
    ],
  };
}

async function only<T>(
  query: postgres.PendingQuery<postgres.Row[]>,
): Promise<T> {
  const [row] = await query;
  assert(row !== undefined);
  return row.answer;
}
