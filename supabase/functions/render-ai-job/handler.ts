/** render-ai-job: works on jobs that need processor time and memory; each isolate on one at a time. */
import { createDispatchEndpoint } from "../_shared/http/dispatch-endpoint.ts";
import type { AppDeps } from "../_shared/http/endpoint.ts";
import type { JobRepository } from "../_shared/jobs/repository.ts";
import type { Worker } from "../_shared/jobs/worker.ts";

/** What the handler needs beyond the platform. */
export interface ProcessDeps extends AppDeps {
  repository: JobRepository;
  worker: Worker;
}

/** See {@link createDispatchEndpoint}. */
export function createHandler(
  deps: ProcessDeps,
): (request: Request) => Promise<Response> {
  return createDispatchEndpoint("render-ai-job", {
    ...deps,
    take: (dispatch, log) =>
      deps.worker.take(
        (limit) => deps.repository.claimDispatched(dispatch, limit),
        log,
      ),
  });
}
