/** The crash points of a voice clone, wrong clocks and a storm: `deno task chaos`, bounded. */
import { assert } from "@std/assert";
import { runBoundedChaos } from "./_support/bounded-chaos.ts";

Deno.test("chaos: after kills, stalls, lost responses, wrong clocks and a storm the audit finds nothing", async () => {
  const { points, storms, jobs, output } = await runBoundedChaos();
  // Fewer would mean that crash points were missed.
  assert(points >= 30 && storms === 1 && jobs > points, output);
});
