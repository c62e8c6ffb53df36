/** The storms of `deno task chaos` in their bounded form, as a program of their own: they mend the driver they use. */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { FULL_LOCK } from "../../dev/tools/lock-rules.ts";
import { SUBJECTS, VOICE_CLONE } from "../chaos/subjects.ts";
import { readSummary } from "../chaos/summary.ts";

async function storm(...args: string[]) {
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      ...FULL_LOCK,
      "--allow-all",
      "tests/chaos/main.ts",
      "--bounded",
      ...args,
    ],
    cwd: fromFileUrl(new URL("../../", import.meta.url)),
    stdin: "null",
  }).output();
  const told = new TextDecoder().decode(stdout) +
    new TextDecoder().decode(stderr);
  const summary = readSummary(told);
  assertEquals(
    summary.problems,
    [],
    `deno task chaos --bounded ${
      args.join(" ")
    } --seed ${summary.seed}\n${told}`,
  );
  return { ...summary, told };
}

Deno.test("chaos: after kills, stalls and lost answers at every step, wrong clocks and a storm, the audit finds nothing", async () => {
  const { points, storms, jobs, told } = await storm();
  // Fewer would mean that the points were not found.
  assert(points >= 30 && storms === 1 && jobs > points, told);
});

Deno.test("chaos: whatever dies around what is paid, stored and completed, every other job type pays each step once at most", async () => {
  const names = SUBJECTS.filter((subject) => subject !== VOICE_CLONE)
    .map(({ name }) => name);
  const { types, told } = await storm("--types", names.join(","));
  assertEquals(Object.keys(types), names);
  for (
    const [name, { points, completed, failed, parked }] of Object.entries(types)
  ) {
    assertEquals(points, 6, `${name}: ${told}`);
    assertEquals([completed + parked, failed], [6, 0], `${name}: ${told}`);
    // Only a transcript cannot be asked for.
    assert(parked === 0 || name === "transcription", `${name}: ${told}`);
  }
});
