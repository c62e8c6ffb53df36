/** janitor: the database asks for a run; answer at once, work in the background. */
import { janitorDispatchSchema } from "../_shared/contracts/dispatch.ts";
import { parse, parseJson, readText } from "../_shared/http/body.ts";
import { verifyDispatchSignature } from "../_shared/http/dispatch-signature.ts";
import { type AppDeps, createEndpoint } from "../_shared/http/endpoint.ts";
import { jsonResponse } from "../_shared/http/problem.ts";
import type { Logger } from "../_shared/platform/log.ts";
import type { JanitorRepository } from "./repository.ts";
import type { JanitorSummary } from "./run.ts";

/** What the handler needs beyond the platform. */
export interface JanitorHandlerDeps extends AppDeps {
  repository: Pick<JanitorRepository, "beginRun">;
  run(log: Logger): Promise<JanitorSummary>;
}

/**
 * Answers 202 `{status: "started"}` once the call has proved to be the database's own and new; the run goes on in the
 * background and ends with one log line, `janitor_done`.
 */
export function createHandler(
  deps: JanitorHandlerDeps,
): (request: Request) => Promise<Response> {
  return createEndpoint(
    deps,
    { name: "janitor", method: "POST" },
    async ({ request, log }) => {
      let body = "";
      const dispatch = await verifyDispatchSignature(
        request.headers,
        async () => body = await readText(request),
        deps.env.DISPATCH_SECRET,
      );
      parse(parseJson(body), janitorDispatchSchema);
      const endedJobs = await deps.repository.beginRun(dispatch);
      deps.platform.waitUntil(work(deps, log, endedJobs));
      return jsonResponse({ status: "started" }, { status: 202 });
    },
  );
}

async function work(
  deps: JanitorHandlerDeps,
  log: Logger,
  endedJobs: number,
): Promise<void> {
  try {
    const done = await deps.run(log);
    log.info("janitor_done", {
      ended_jobs: endedJobs,
      files_scanned: done.filesScanned,
      files_removed: done.filesRemoved,
      objects_removed: done.objectsRemoved,
      removals_failed: done.removalsFailed,
      pages_read: done.pagesRead,
      rows_missing: done.rowsMissing,
    });
  } catch (error) {
    // What was in hand is due again when its lease has run out.
    log.error("janitor_failed", { error });
  }
}
