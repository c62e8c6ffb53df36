/** The batched functions of the queue, for a single job. */
import type postgres from "postgres";
import { z } from "zod";
import type { BegunCall, Lease } from "./queue.ts";

const errorSchema = z.object({
  code: z.string(),
  message: z.string(),
  details: z.string().optional(),
  constraint: z.string().optional(),
});

/** Throws the `error` of an item as the statement would have raised it for the item alone. */
export class ItemError extends Error {
  override readonly name = "ItemError";
  readonly code: string;
  readonly detail: string;
  readonly constraint: string;

  constructor(error: unknown) {
    const { code, message, details, constraint } = errorSchema.parse(error);
    super(message);
    this.code = code;
    this.detail = details ?? "";
    this.constraint = constraint ?? "";
  }
}

const leased = ({ id, lease_token }: Lease) => ({ job_id: id, lease_token });

/** `begin_provider_calls` for one job; undefined when its lease is lost. */
export async function beginCall(
  sql: postgres.ISql,
  lease: Lease,
  call: {
    callId?: string;
    operation?: string;
    progress?: number;
    units?: number;
    repeatWithinSeconds?: number;
    report?: { progress: number; stage: string };
  } = {},
): Promise<BegunCall | undefined> {
  const [row] = await sql<(BegunCall & { error: unknown })[]>`
    select call_id, decision, provider_object_id, is_lookup_conclusive, ended_calls, error
    from public.begin_provider_calls(${
    sql.json([{
      ...leased(lease),
      call_id: call.callId ?? crypto.randomUUID(),
      operation: call.operation ?? "create_voice",
      progress: call.progress ?? 30,
      stage: "calling_provider",
      units: call.units ?? 1,
      ...(call.repeatWithinSeconds === undefined
        ? {}
        : { repeat_within_seconds: call.repeatWithinSeconds }),
      ...(call.report === undefined ? {} : {
        report_progress: call.report.progress,
        report_stage: call.report.stage,
      }),
    }])
  })`;
  if (row === undefined) return undefined;
  const { error, ...begun } = row;
  if (error !== null) throw new ItemError(error);
  return begun;
}

/** `settle_provider_calls` for one job; false also when its lease is lost. */
export async function settleCall(
  sql: postgres.ISql,
  lease: Lease,
  callId: string | null,
  outcome: string,
  values: {
    objectId?: string | null;
    httpStatus?: number;
    errorCode?: string | null;
    progress?: number;
    units?: number | null;
  } = {},
): Promise<boolean> {
  const [row] = await sql<{ is_settled: boolean; error: unknown }[]>`
    select is_settled, error from public.settle_provider_calls(${
    sql.json([{
      ...leased(lease),
      call_id: callId,
      outcome,
      provider_object_id: values.objectId ?? null,
      http_status: values.httpStatus ?? null,
      error_code: values.errorCode ?? null,
      progress: values.progress ?? 0,
      units: values.units ?? null,
    }])
  })`;
  if (row === undefined) return false;
  if (row.error !== null) throw new ItemError(row.error);
  return row.is_settled;
}

/** `complete_ai_jobs` for one job; false when its lease is lost. */
export async function completeJob(
  sql: postgres.ISql,
  lease: Lease,
  values: {
    result?: postgres.JSONValue;
    outputUrl?: string | null;
    product?: postgres.JSONValue | null;
    /** A successful call that the completion settles. */
    call?: {
      callId: string;
      objectId: string;
      outcome?: string;
      units?: number;
    };
    report?: { progress: number; stage: string };
    cacheSeconds?: number;
  } = {},
): Promise<boolean> {
  const { call, report, cacheSeconds } = values;
  const [row] = await sql<{ error: unknown }[]>`
    select error from public.complete_ai_jobs(${
    sql.json([{
      ...leased(lease),
      ...(call === undefined ? {} : {
        call_id: call.callId,
        outcome: call.outcome ?? "succeeded",
        provider_object_id: call.objectId,
        progress: 70,
        units: call.units ?? null,
      }),
      ...(report === undefined
        ? {}
        : { report_progress: report.progress, report_stage: report.stage }),
      ...(cacheSeconds === undefined ? {} : { cache_seconds: cacheSeconds }),
      result_data: values.result ?? {},
      output_url: values.outputUrl ?? null,
      product: values.product ?? null,
    }])
  })`;
  if (row === undefined) return false;
  if (row.error !== null) throw new ItemError(row.error);
  return true;
}
