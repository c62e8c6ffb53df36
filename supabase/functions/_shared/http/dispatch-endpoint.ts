/** The endpoint of a worker: the database asks for work; claim, answer at once, work in the background. */
import { dispatchSchema } from "../contracts/dispatch.ts";
import type { Logger } from "../platform/log.ts";
import { parse, parseJson, readText } from "./body.ts";
import {
  type VerifiedDispatch,
  verifyDispatchSignature,
} from "./dispatch-signature.ts";
import { type AppDeps, createEndpoint } from "./endpoint.ts";
import { jsonResponse } from "./problem.ts";

/** What the handler needs beyond the platform. */
export interface DispatchDeps extends AppDeps {
  /** Claims what a dispatch asks for, as far as there is room, and begins it in the background. */
  take(dispatch: VerifiedDispatch, log: Logger): Promise<{ id: string }[]>;
}

/**
 * Makes the endpoint of the function `name`.
 *
 * Answers 202 `{claimed}` with the ids it took, after the claim and before the work. The ids in the body are a hint that
 * something waits: which jobs are taken is the queue's decision, so that nobody gets ahead by asking.
 */
export function createDispatchEndpoint(
  name: string,
  deps: DispatchDeps,
): (request: Request) => Promise<Response> {
  return createEndpoint(
    deps,
    { name, method: "POST" },
    async ({ request, log }) => {
      let body = "";
      const dispatch = await verifyDispatchSignature(
        request.headers,
        async () => body = await readText(request),
        deps.env.DISPATCH_SECRET,
      );
      const { jobIds } = parse(parseJson(body), dispatchSchema);

      const jobs = await deps.take(dispatch, log);
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
