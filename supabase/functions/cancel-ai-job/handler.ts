/** cancel-ai-job: the owner cancels a job. */
import type { AppDeps } from "../_shared/http/endpoint.ts";
import { createOwnerRequestEndpoint } from "../_shared/http/owner-request.ts";

/**
 * POST `{job_id}`. A waiting job is cancelled immediately and costs nothing (200). A running job stops within a
 * heartbeat (202), and `spend` says whether money was spent. Cancelling twice changes nothing. 404 for a job that is
 * not the caller's, 409 for one that has ended.
 */
export function createHandler(
  deps: AppDeps,
): (request: Request) => Promise<Response> {
  return createOwnerRequestEndpoint(deps, {
    name: "cancel-ai-job",
    event: "cancel_requested",
    change: (now) => ({ cancel_requested_at: now }),
    describe: (status) =>
      status === "cancelled"
        ? { status: 200, message: "The job is cancelled." }
        : {
          status: 202,
          message:
            "Cancellation is requested. The job stops within seconds; work that finishes first is kept and paid for.",
        },
  });
}
