/** The endpoint of a worker: claims due jobs, responds, and runs them in the background. */
import { dispatchSchema } from "../contracts/dispatch.ts";
import { createDispatchEndpoint } from "../http/dispatch-endpoint.ts";
import type { AppDeps } from "../http/endpoint.ts";
import type { JobRepository } from "../jobs/repository.ts";
import type { Worker } from "../jobs/worker.ts";

/** The handler's dependencies besides the platform. */
export interface WorkerHandlerDeps extends AppDeps {
  repository: Pick<JobRepository, "claimDispatched">;
  worker: Worker;
}

/**
 * Creates the handler of the worker `name`.
 *
 * Responds with 202 `{claimed}`, the ids of the claimed jobs, after the claim and before the work. The ids in the body
 * are a hint that jobs are due: the queue decides which of them are claimed, so naming a job does not advance it.
 */
export function createWorkerHandler(
  name: string,
  deps: WorkerHandlerDeps,
): (request: Request) => Promise<Response> {
  return createDispatchEndpoint(
    name,
    deps,
    dispatchSchema,
    async (dispatch, log, quiet) => {
      const jobs = await deps.worker.claim(
        (limit) => deps.repository.claimDispatched(dispatch, limit),
        log,
      );
      const claimed = jobs.map((job) => job.id);
      // The sweep calls while anything waits; hosted logs are billed.
      if (claimed.length === 0) quiet();
      log[claimed.length === 0 ? "debug" : "info"]("dispatch_received", {
        message_id: dispatch.messageId,
        named: dispatch.body.jobIds.length,
        claimed,
      });
      return { claimed };
    },
  );
}
