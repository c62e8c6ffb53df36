/** process-ai-job: the database asks for work; claim, answer at once, work in the background. */
import { dispatchSchema } from "../_shared/contracts/dispatch.ts";
import { parse, parseJson, readText } from "../_shared/http/body.ts";
import { verifyDispatchSignature } from "../_shared/http/dispatch-signature.ts";
import { type AppDeps, createEndpoint } from "../_shared/http/endpoint.ts";
import { jsonResponse } from "../_shared/http/problem.ts";
import type { JobRepository } from "../_shared/jobs/repository.ts";
import type { Worker } from "../_shared/jobs/worker.ts";

/** What the handler needs beyond the platform. */
export interface ProcessDeps extends AppDeps {
  repository: JobRepository;
  worker: Worker;
}

/**
 * Answers 202 `{claimed}` with the ids it took, after the claim and before the work. Of the body only the ids count;
 * an id of a job that is not due, or not there, is passed over in silence.
 */
export function createHandler(
  deps: ProcessDeps,
): (request: Request) => Promise<Response> {
  return createEndpoint(
    deps,
    { name: "process-ai-job", method: "POST" },
    async ({ request, log }) => {
      const body = await readText(request);
      const dispatch = await verifyDispatchSignature(
        request.headers,
        body,
        deps.env.DISPATCH_SECRET,
      );
      const { jobIds } = parse(parseJson(body), dispatchSchema);

      const { jobs, finished } = await deps.worker.take(
        jobIds.length,
        (limit) => deps.repository.claimDispatched(dispatch, limit, jobIds),
        log,
      );
      log.info("dispatch_received", {
        message_id: dispatch.messageId,
        named: jobIds.length,
        claimed: jobs.map((job) => job.id),
      });
      if (jobs.length > 0) deps.platform.waitUntil(finished);
      return jsonResponse({ claimed: jobs.map((job) => job.id) }, {
        status: 202,
      });
    },
  );
}
