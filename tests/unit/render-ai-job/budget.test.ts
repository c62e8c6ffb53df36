import { assert, assertEquals } from "@std/assert";
import {
  Budget,
  COSTS,
} from "../../../supabase/functions/render-ai-job/budget.ts";

/** The pieces of work that fit into one request. */
function pieces(attempt: number, ms: number): number {
  const budget = new Budget(attempt);
  let taken = 0;
  while (budget.take(ms)) taken++;
  return taken;
}

Deno.test("Budget: a request does the pieces that fit, and always the first one", () => {
  assertEquals(pieces(1, 100), 7);
  assertEquals(pieces(1, 10_000), 1);
});

Deno.test("Budget: each further attempt plans with less time, and still makes progress", () => {
  const taken = [1, 2, 3, 10].map((attempt) => pieces(attempt, COSTS.read));
  assertEquals(taken, [...taken].sort((one, other) => other - one));
  assert(taken.every((count) => count >= 1), String(taken));
  assertEquals([pieces(2, 100), pieces(10, 100)], [3, 1]);
});
