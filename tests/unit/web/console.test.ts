import { assertEquals } from "@std/assert";
import type {
  OpsAction,
  OpsResponse,
} from "../../../supabase/functions/_shared/contracts/ops.ts";
import { OPS_RESPONSES } from "../../../supabase/functions/_shared/contracts/ops.ts";
import type { OpsAnswers } from "../../../web/console/answers.ts";
import { canProbe, judgeWaiting } from "../../../web/console/overview.ts";
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

Deno.test("console: waiting jobs are not called good while a breaker is open", () => {
  const none = { value: 0, verdict: "good", words: "None." } as const;
  const two = { value: 2, verdict: "good", words: "No delay." } as const;
  const late = { value: 900, verdict: "bad", words: "15 minutes." } as const;
  const open_breakers = ["elevenlabs"];
  assertEquals(judgeWaiting(two, { waiting: two, open_breakers }), {
    value: 2,
    verdict: "attention",
    words: "Jobs for elevenlabs wait until it works again.",
  });
  assertEquals(judgeWaiting(late, { waiting: two, open_breakers }), late);
  assertEquals(judgeWaiting(none, { waiting: none, open_breakers }), none);
  assertEquals(judgeWaiting(two, { waiting: two, open_breakers: [] }), two);
});

Deno.test("console: a probe is offered while the breaker is open, or probing without a job in flight", () => {
  const offered = (["working", "paused", "open", "probing"] as const).map(
    (
      state,
    ) => [canProbe({ state, running: 0 }), canProbe({ state, running: 1 })],
  );
  assertEquals(offered, [
    [false, false],
    [false, false],
    [true, true],
    [true, false],
  ]);
});
