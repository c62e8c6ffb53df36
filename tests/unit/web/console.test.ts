import { assertEquals } from "@std/assert";
import type {
  OpsAction,
  OpsResponse,
} from "../../../supabase/functions/_shared/contracts/ops.ts";
import { OPS_RESPONSES } from "../../../supabase/functions/_shared/contracts/ops.ts";
import type { OpsAnswers } from "../../../web/console/answers.ts";
import { CHECK_WORDS } from "../../../web/words/checks.ts";

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

Deno.test("console: every health check of the database has words", async () => {
  const sql = await Deno.readTextFile(
    new URL("../../../supabase/schemas/ops/health.sql", import.meta.url),
  );
  const names = [...sql.matchAll(/^\s+\(?\s*\d, '([a-z_]+)',/gm)].map(
    ([, name]) => name ?? "",
  );
  assertEquals(
    names.filter((name) => name !== "parked_jobs").sort(),
    Object.keys(CHECK_WORDS).sort(),
  );
});
