/** Endpoints by which the owner of a job cancels or retries it. */
import {
  jobIdRequestSchema,
  type JobStanding,
  jobStandingSchema,
} from "../contracts/jobs.ts";
import { fromDatabaseError } from "../database/errors.ts";
import { AppError } from "../failures/app-error.ts";
import { readJson } from "./body.ts";
import { createUserEndpoint } from "./caller.ts";
import type { AppDeps } from "./endpoint.ts";
import { jsonResponse } from "./problem.ts";

/** What distinguishes one of these endpoints from the other. */
export interface OwnerRequest {
  /** Name of the function. */
  name: string;
  /** The log's event. */
  event: string;
  /**
   * The column to write: an owner may write no other. The database decides what it means, and replaces the time with
   * its own.
   */
  change(now: string):
    | { cancel_requested_at: string }
    | { retry_requested_at: string };
  /** The message of the response about a job in this status. */
  describe(
    status: JobStanding["status"],
  ): { status: 200 | 202; message: string };
}

/**
 * POST `{job_id}`. Returns `{job_id, status, spend, message}`; 404 for a job that is not the caller's; the database's
 * error when the job is not in a state that allows the change.
 */
export function createOwnerRequestEndpoint(
  deps: AppDeps,
  ask: OwnerRequest,
): (request: Request) => Promise<Response> {
  return createUserEndpoint(
    deps,
    { name: ask.name, method: "POST" },
    async ({ request, supabase, log }) => {
      const { job_id } = await readJson(request, jobIdRequestSchema);
      const { data, error } = await supabase.from("ai_jobs")
        .update(ask.change(deps.platform.now().toISOString()))
        .eq("id", job_id).select("status,spend").maybeSingle();
      if (error) throw fromDatabaseError(error);
      if (data === null) throw new AppError("not_found");
      log.info(ask.event, { job_id, status: data.status });
      const job = jobStandingSchema.omit({ message: true })
        .parse({ job_id, ...data });
      const { status, message } = ask.describe(job.status);
      const body: JobStanding = { ...job, message };
      return jsonResponse(body, { status });
    },
  );
}
