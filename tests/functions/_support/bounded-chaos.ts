/** `deno task chaos` in its bounded form, in a separate process, as a developer runs it. */
import { assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { FULL_LOCK } from "../../../dev/tools/lock-rules.ts";
import { readSummary } from "../../chaos/summary.ts";

/** Runs `deno task chaos --bounded` and returns its summary and output. Throws if it found a problem. */
export async function runBoundedChaos(...args: string[]) {
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      ...FULL_LOCK,
      "--allow-all",
      "tests/chaos/main.ts",
      "--bounded",
      ...args,
    ],
    cwd: fromFileUrl(new URL("../../../", import.meta.url)),
    stdin: "null",
  }).output();
  const output = new TextDecoder().decode(stdout) +
    new TextDecoder().decode(stderr);
  const summary = readSummary(output);
  assertEquals(
    summary.problems,
    [],
    `deno task chaos --bounded ${
      args.join(" ")
    } --seed ${summary.seed}\n${output}`,
  );
  return { ...summary, output };
}
