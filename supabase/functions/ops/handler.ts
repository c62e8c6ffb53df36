/** ops: the operator API, one action per request. */
import {
  OPS_RESPONSES,
  type OpsAction,
  opsRequestSchema,
} from "../_shared/contracts/ops.ts";
import { readJson } from "../_shared/http/body.ts";
import type { AppDeps } from "../_shared/http/endpoint.ts";
import { createOperatorEndpoint } from "../_shared/http/operator.ts";
import { jsonResponse } from "../_shared/http/problem.ts";
import type { ProviderInventory } from "../_shared/providers/inventory.ts";
import { createActions } from "./actions.ts";
import { answerCheck } from "./answer-check.ts";
import { type Admin, createOpsRepository } from "./repository.ts";

/** What the handler needs beyond the platform. */
export interface OpsDeps extends AppDeps {
  /** The service's client: operators see the jobs of all users. */
  supabase: Admin;
  /** Opens our objects at a provider; null when there is no key for it. */
  openInventory(provider: string): Promise<ProviderInventory | null>;
}

/** Actions that only read and are not recorded. */
const READS: ReadonlySet<OpsAction> = new Set<OpsAction>([
  "overview",
  "charts",
  "failures",
  "providers",
  "parked",
  "budgets",
  "search",
  "job",
  "actions",
  "preview_redrive",
]);

/**
 * POST `{action, …}`: returns the response that the action's contract defines. The database checks the operator's role
 * again, and records every action and every view of a payload in the same transaction.
 */
export function createHandler(
  deps: OpsDeps,
): (request: Request) => Promise<Response> {
  return createOperatorEndpoint(
    deps,
    { name: "ops", method: "POST" },
    async ({ request, operatorId, log, signal, quiet }) => {
      const body = await readJson(request, opsRequestSchema);
      const actions = createActions(
        createOpsRepository(deps.supabase, operatorId),
        answerCheck(deps.openInventory, {
          signal,
          // Leaves time for the response.
          seconds: deps.env.REQUEST_TIMEOUT * 0.7,
        }),
      );
      const answer = OPS_RESPONSES[body.action].parse(await actions(body));
      // An open console polls every few seconds.
      if (READS.has(body.action)) quiet();
      else log.info("operator_acted", { action: body.action });
      return jsonResponse(answer);
    },
  );
}
