import { assertEquals } from "@std/assert";
import type {
  OpsAction,
  OpsResponse,
} from "../../../supabase/functions/_shared/contracts/ops.ts";
import { OPS_RESPONSES } from "../../../supabase/functions/_shared/contracts/ops.ts";
import type { OpsAnswers } from "../../../web/console/answers.ts";

/** Compiles only while each answer of the contract has what the page reads of it. */
const fits: {
  [A in OpsAction]: (answer: OpsResponse<A>) => OpsAnswers[A];
} = {
  overview: (answer) => answer,
  charts: (answer) => answer,
  failures: (answer) => answer,
  providers: (answer) => answer,
  parked: (answer) => answer,
  budgets: (answer) => answer,
  search: (answer) => answer,
  job: (answer) => answer,
  payload: (answer) => ({ ...answer }),
  actions: (answer) => answer,
  preview_redrive: (answer) => answer,
  redrive: (answer) => answer,
  pause: (answer) => answer,
  resume: (answer) => answer,
  probe: (answer) => answer,
  resolve: (answer) => answer,
  cancel: (answer) => answer,
  retry: (answer) => answer,
  set_budget: (answer) => answer,
};

Deno.test("console: the page has a message for every action of the contract", () => {
  assertEquals(Object.keys(fits).sort(), Object.keys(OPS_RESPONSES).sort());
});
