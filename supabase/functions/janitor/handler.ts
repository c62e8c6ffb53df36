/** janitor: starts a run, responds, and works in the background. */
import { janitorDispatchSchema } from "../_shared/contracts/dispatch.ts";
import { createDispatchEndpoint } from "../_shared/http/dispatch-endpoint.ts";
import type { AppDeps } from "../_shared/http/endpoint.ts";
import type { Logger } from "../_shared/platform/log.ts";
import type { BegunRun, JanitorRepository } from "./repository.ts";
import type { JanitorSummary } from "./run.ts";

/** The handler's dependencies besides the platform. */
export interface JanitorHandlerDeps extends AppDeps {
  repository: Pick<JanitorRepository, "beginRun">;
  run(log: Logger): Promise<JanitorSummary>;
}

/**
 * Responds with 202 `{status: "started"}` once the call is verified and new. The run continues in the background and
 * ends with one log line, `janitor_done`.
 */
export function createHandler(
  deps: JanitorHandlerDeps,
): (request: Request) => Promise<Response> {
  return createDispatchEndpoint(
    "janitor",
    deps,
    janitorDispatchSchema,
    async (dispatch, log) => {
      const begun = await deps.repository.beginRun(dispatch);
      deps.platform.waitUntil(work(deps, log, begun));
      return { status: "started" };
    },
  );
}

async function work(
  deps: JanitorHandlerDeps,
  log: Logger,
  begun: BegunRun,
): Promise<void> {
  try {
    const done = await deps.run(log);
    log.info("janitor_done", {
      jobs_deleted: begun.jobs_deleted,
      jobs_checked: begun.jobs_checked,
      files_scanned: done.filesScanned,
      files_removed: done.filesRemoved,
      objects_removed: done.objectsRemoved,
      removals_failed: done.removalsFailed,
      pages_read: done.pagesRead,
      rows_missing: done.rowsMissing,
    });
  } catch (error) {
    // Unfinished work is due again when its lease expires.
    log.error("janitor_failed", { error });
  }
}
