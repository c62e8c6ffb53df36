/** The storms of `deno task chaos` in their bounded form, as a program of their own: they mend the driver they use. */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { readSummary } from "../chaos/summary.ts";

Deno.test("chaos: after kills, stalls and lost answers at every step, wrong clocks and a storm, the audit finds nothing", async () => {
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "tests/chaos/main.ts", "--bounded"],
    cwd: fromFileUrl(new URL("../../", import.meta.url)),
    stdin: "null",
  }).output();
  const told = new TextDecoder().decode(stdout) +
    new TextDecoder().decode(stderr);
  const { seed, problems, points, storms, jobs } = readSummary(told);
  assertEquals(
    problems,
    [],
    `deno task chaos --bounded --seed ${seed}\n${told}`,
  );
  // Fewer would mean that the points were not found.
  assert(points >= 30 && storms === 1 && jobs > points, told);
});
