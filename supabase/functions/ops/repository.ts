/** The operator functions of the database: each receives the operator's id and checks the role. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { RedriveFilter } from "../_shared/contracts/ops.ts";
import type { Database } from "../_shared/database.types.ts";
import { fromDatabaseError } from "../_shared/database/errors.ts";

/** A client with the secret key. */
export type Admin = SupabaseClient<Database>;

type Given<T> = { [Key in keyof T]?: Exclude<T[Key], undefined> };

/** Drops undefined arguments, for which the database has defaults. */
function given<T extends Record<string, unknown>>(values: T): Given<T> {
  const result: Given<T> = {};
  for (const key in values) {
    const value = values[key];
    if (value !== undefined) Object.assign(result, { [key]: value });
  }
  return result;
}

function filterOf(filter: RedriveFilter) {
  return given({
    p_job_type: filter.job_type,
    p_provider: filter.provider,
    p_error_code: filter.error_code,
    p_user_id: filter.user_id,
    p_failed_since: filter.failed_since,
  });
}

/** The fields of a PostgREST response that are used here. */
interface Answer {
  data: unknown;
  error: { code?: string; message: string; details?: string | null } | null;
}

async function dataOf(call: PromiseLike<Answer>): Promise<unknown> {
  const { data, error } = await call;
  if (error) {
    // The database reports parameter names; the API uses the field names of the body.
    const details = error.details?.replace(/^p_/, "") ?? null;
    throw fromDatabaseError({ ...error, details });
  }
  return data;
}

/** Start and length of a page. */
export interface Page {
  limit: number;
  after?: { at: string; id: string } | undefined;
}

/** The operator functions for one operator; see {@link createOpsRepository}. */
export type OpsRepository = ReturnType<typeof createOpsRepository>;

/**
 * Binds the operator functions of the database to one operator. They throw AppErrors: `operator_required` when the role
 * was revoked, or the code of a database refusal. Results are not parsed yet.
 */
export function createOpsRepository(supabase: Admin, operatorId: string) {
  const p_operator_id = operatorId;
  return {
    overview: () => dataOf(supabase.rpc("ops_overview", { p_operator_id })),
    charts: (range: string) =>
      dataOf(supabase.rpc("ops_charts", { p_operator_id, p_range: range })),
    failures: (range: string) =>
      dataOf(supabase.rpc("ops_failures", { p_operator_id, p_range: range })),
    providers: () => dataOf(supabase.rpc("ops_providers", { p_operator_id })),
    parked: (limit: number) =>
      dataOf(supabase.rpc("ops_parked", { p_operator_id, p_limit: limit })),
    budgets: ({ limit, after }: Page) =>
      dataOf(supabase.rpc("ops_budgets", {
        p_operator_id,
        p_limit: limit,
        ...(after === undefined ? {} : {
          p_after_spent_micros: Number(after.at),
          p_after_user_id: after.id,
        }),
      })),
    search: (
      filter: {
        job_id?: string | undefined;
        user_id?: string | undefined;
        user_email?: string | undefined;
        job_type?: string | undefined;
        provider?: string | undefined;
        status?: string | undefined;
        error_code?: string | undefined;
      },
      { limit, after }: Page,
    ) =>
      dataOf(supabase.rpc("ops_search_jobs", {
        p_operator_id,
        p_limit: limit,
        ...given({
          p_job_id: filter.job_id,
          p_user_id: filter.user_id,
          p_user_email: filter.user_email,
          p_job_type: filter.job_type,
          p_provider: filter.provider,
          p_status: filter.status,
          p_error_code: filter.error_code,
          p_before_created_at: after?.at,
          p_before_id: after?.id,
        }),
      })),
    job: (jobId: string) =>
      dataOf(supabase.rpc("ops_job", { p_operator_id, p_job_id: jobId })),
    payload: (jobId: string) =>
      dataOf(
        supabase.rpc("ops_job_payload", { p_operator_id, p_job_id: jobId }),
      ),
    actions: ({ limit, after }: Page) =>
      dataOf(supabase.rpc("ops_actions", {
        p_operator_id,
        p_limit: limit,
        ...(after === undefined ? {} : { p_before_id: Number(after.id) }),
      })),
    previewRedrive: (filter: RedriveFilter) =>
      dataOf(supabase.rpc("ops_preview_redrive", {
        p_operator_id,
        ...filterOf(filter),
      })),
    redrive: (filter: RedriveFilter, expectedCount: number) =>
      dataOf(supabase.rpc("ops_redrive", {
        p_operator_id,
        p_expected_count: expectedCount,
        ...filterOf(filter),
      })),
    pause: (
      target: {
        job_type?: string | undefined;
        provider?: string | undefined;
        user_id?: string | undefined;
      },
      isPaused: boolean,
    ) =>
      dataOf(supabase.rpc("ops_pause", {
        p_operator_id,
        p_is_paused: isPaused,
        ...given({
          p_job_type: target.job_type,
          p_provider: target.provider,
          p_user_id: target.user_id,
        }),
      })),
    async probe(provider: string): Promise<boolean> {
      return z.boolean().parse(
        await dataOf(supabase.rpc("ops_probe_provider", {
          p_operator_id,
          p_provider: provider,
        })),
      );
    },
    parkedCall: (jobId: string, callId: string | undefined) =>
      dataOf(supabase.rpc("ops_parked_call", {
        p_operator_id,
        p_job_id: jobId,
        ...given({ p_call_id: callId }),
      })),
    resolve: (
      jobId: string,
      callId: string,
      answer: { providerObjectId: string | undefined; isUnchecked: boolean },
    ) =>
      dataOf(supabase.rpc("ops_resolve", {
        p_operator_id,
        p_job_id: jobId,
        p_call_id: callId,
        p_was_made: answer.providerObjectId !== undefined,
        p_is_unchecked: answer.isUnchecked,
        ...given({ p_provider_object_id: answer.providerObjectId }),
      })),
    takeBack: (jobId: string) =>
      dataOf(supabase.rpc("ops_take_back", { p_operator_id, p_job_id: jobId })),
    cancel: (jobId: string) =>
      dataOf(supabase.rpc("ops_cancel", { p_operator_id, p_job_id: jobId })),
    retry: (jobId: string) =>
      dataOf(supabase.rpc("ops_retry", { p_operator_id, p_job_id: jobId })),
    setBudget: (
      target: { user_id?: string | undefined; provider?: string | undefined },
      budgetMicros: number | null,
    ) =>
      dataOf(supabase.rpc("ops_set_budget", {
        p_operator_id,
        ...given({
          p_budget_micros: budgetMicros ?? undefined,
          p_user_id: target.user_id,
          p_provider: target.provider,
        }),
      })),
  };
}
