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
 * Answers 202 `{claimed}` with the ids it took, after the claim and before the work. The ids in the body are a hint that
 * something waits: which jobs are taken is the queue's decision, so that nobody gets ahead by asking.
 */
export function createHandler(
  deps: ProcessDeps,
): (request: Request) => Promise<Response> {
  return createEndpoint(
    deps,
    { name: "process-ai-job", method: "POST" },
    async ({ request, log }) => {
      let body = "";
      const dispatch = await verifyDispatchSignature(
        request.headers,
        async () => body = await readText(request),
        deps.env.DISPATCH_SECRET,
      );
      const { jobIds } = parse(parseJson(body), dispatchSchema);

      const jobs = await deps.worker.take(
        (limit) => deps.repository.claimDispatched(dispatch, limit),
        log,
      );
      log.info("dispatch_received", {
        message_id: dispatch.messageId,
        named: jobIds.length,
        claimed: jobs.map((job) => job.id),
      });
      return jsonResponse({ claimed: jobs.map((job) => job.id) }, {
        status: 202,
      });
    },
  );
}
