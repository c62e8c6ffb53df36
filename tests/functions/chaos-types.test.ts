/** A few crash points of every job type but voice clones: `deno task chaos --types`, bounded. */
import { assert, assertEquals } from "@std/assert";
import { SUBJECTS, VOICE_CLONE } from "../chaos/subjects.ts";
import { runBoundedChaos } from "./_support/bounded-chaos.ts";

Deno.test("chaos: every other job type pays each step at most once, wherever a worker dies", async () => {
  const names = SUBJECTS.filter((subject) => subject !== VOICE_CLONE)
    .map(({ name }) => name);
  // Two stacks in parallel, because the tests mostly wait for leases and sweeps, not for the processor.
  const half = Math.ceil(names.length / 2);
  await Promise.all(
    [names.slice(0, half), names.slice(half)].map(tryTypes),
  );
});

async function tryTypes(names: readonly string[]): Promise<void> {
  const { types, output } = await runBoundedChaos("--types", names.join(","));
  assertEquals(Object.keys(types), names);
  for (
    const [name, { points, completed, failed, parked }] of Object.entries(types)
  ) {
    assertEquals(points, 6, `${name}: ${output}`);
    assertEquals([completed + parked, failed], [6, 0], `${name}: ${output}`);
    // Only for transcripts does the provider have no list to query.
    assert(parked === 0 || name === "transcription", `${name}: ${output}`);
  }
}
