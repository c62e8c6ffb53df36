/** retry-ai-job: the owner retries a failed job. */
import type { AppDeps } from "../_shared/http/endpoint.ts";
import { createOwnerRequestEndpoint } from "../_shared/http/owner-request.ts";

/**
 * POST `{job_id}`: runs a failed job of the caller's again, with the attempts of its type (202). 404 for a job that is
 * not the caller's, 409 for one that has not failed, or of which it is unknown whether it was paid for.
 */
export function createHandler(
  deps: AppDeps,
): (request: Request) => Promise<Response> {
  return createOwnerRequestEndpoint(deps, {
    name: "retry-ai-job",
    event: "retry_requested",
    change: (now) => ({ retry_requested_at: now }),
    describe: () => ({
      status: 202,
      message: "The job is waiting for its next attempt.",
    }),
  });
}
