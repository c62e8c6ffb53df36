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

Deno.test("Budget: a request does what fits, and its first piece at any cost", () => {
  assertEquals(pieces(1, 100), 7);
  assertEquals(pieces(1, 10_000), 1);
});

Deno.test("Budget: each further attempt plans with less, and still makes progress", () => {
  const taken = [1, 2, 3, 10].map((attempt) => pieces(attempt, COSTS.read));
  assertEquals(taken, [...taken].sort((one, other) => other - one));
  assert(taken.every((count) => count >= 1), String(taken));
  assertEquals([pieces(2, 100), pieces(10, 100)], [3, 1]);
});
