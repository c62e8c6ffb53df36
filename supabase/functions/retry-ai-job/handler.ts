/** retry-ai-job: the owner wants a failed job to be tried again. */
import {
  jobIdRequestSchema,
  type JobStanding,
  jobStandingSchema,
} from "../_shared/contracts/jobs.ts";
import { fromDatabaseError } from "../_shared/database/errors.ts";
import { AppError } from "../_shared/failures/app-error.ts";
import { readJson } from "../_shared/http/body.ts";
import { createUserEndpoint } from "../_shared/http/caller.ts";
import type { AppDeps } from "../_shared/http/endpoint.ts";
import { jsonResponse } from "../_shared/http/problem.ts";

/**
 * POST `{job_id}`: runs a failed job of the caller's again, with the attempts of its type. 404 for a job that is not the
 * caller's, 409 for one that has not failed or of which it is unknown whether it was paid for.
 */
export function createHandler(
  deps: AppDeps,
): (request: Request) => Promise<Response> {
  return createUserEndpoint(
    deps,
    { name: "retry-ai-job", method: "POST" },
    async ({ request, supabase, log }) => {
      const { job_id } = await readJson(request, jobIdRequestSchema);
      // The column is all that an owner may write; what it means is the database's to decide, and so is the time.
      const { data, error } = await supabase.from("ai_jobs")
        .update({ retry_requested_at: deps.platform.now().toISOString() })
        .eq("id", job_id).select("status,spend").maybeSingle();
      if (error) throw fromDatabaseError(error);
      if (data === null) throw new AppError("not_found");
      const message = "The job is waiting for its next attempt.";
      log.info("retry_requested", { job_id, status: data.status });
      const body: JobStanding = jobStandingSchema.parse({
        job_id,
        ...data,
        message,
      });
      return jsonResponse(body, { status: 202 });
    },
  );
}
