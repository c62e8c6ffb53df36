// deno-lint-ignore-file no-console -- a program that prints figures
/**
 * `deno task bench:functions`: how much of the hosted limits (2 s of processor time and 256 MB per isolate) the Edge
 * Functions use: bundle, cold boot and memory of each function, and processor time and memory of one job of each type.
 *
 * usage: deno task bench:functions [--only boot|jobs] [--runs 5]
 *
 * Exit code 2 for a wrong argument. A missed target is a result, not an error. Linux only: the figures come from
 * `/proc`.
 */
import { parseArgs } from "@std/cli/parse-args";
import { z } from "zod";
import { exitWithLaunchers } from "../../dev/stack/process/launchers.ts";
import { bundleFunctions, measureBoots } from "./boot.ts";
import { measureJobs } from "./jobs.ts";

const TARGETS = { bootMs: 150, cpuMs: 200, megabytes: 150 };

const USAGE = "usage: deno task bench:functions [--only boot|jobs] [--runs 5]";

const optionsSchema = z.strictObject({
  _: z.tuple([]),
  help: z.boolean(),
  only: z.enum(["boot", "jobs"]).optional(),
  runs: z.coerce.number().int().min(1).max(100).default(5),
});

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(0);
const verdict = (isMet: boolean) => isMet ? "met" : "**missed**";

async function printBoots(runs: number): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "edge-ai-jobs-bundles-" });
  try {
    const boots = await measureBoots(await bundleFunctions(folder), runs);
    console.log(
      `| function | bundle kB | cold boot ms | of it CPU ms | memory MB | at most ${TARGETS.bootMs} ms |`,
    );
    console.log("| --- | ---: | ---: | ---: | ---: | --- |");
    for (const boot of boots) {
      console.log(
        `| ${boot.function} | ${(boot.bundleBytes / 1000).toFixed(0)} | ${
          boot.bootMs.toFixed(0)
        } | ${boot.cpuMs?.toFixed(0) ?? "–"} | ${
          boot.memoryBytes === undefined ? "–" : megabytes(boot.memoryBytes)
        } | ${verdict(boot.bootMs <= TARGETS.bootMs)} |`,
      );
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function printJobs(runs: number): Promise<void> {
  const costs = await measureJobs(runs);
  console.log(
    `\n| job | function | CPU ms, first of an isolate | CPU ms, later | peak MB | at most ${TARGETS.cpuMs} ms | at most ${TARGETS.megabytes} MB |`,
  );
  console.log("| --- | --- | ---: | ---: | ---: | --- | --- |");
  for (const cost of costs) {
    // A book of photos is much larger work; bench:pdf-render measures it.
    const isKeepsake = cost.function === "render-ai-job";
    const isQuick = Math.max(cost.firstCpuMs, cost.laterCpuMs) <= TARGETS.cpuMs;
    const isSmall = cost.peakMemoryBytes <= TARGETS.megabytes * 1e6;
    console.log(
      `| ${cost.job} | ${cost.function} | ${cost.firstCpuMs.toFixed(0)} | ${
        cost.laterCpuMs.toFixed(0)
      } | ${megabytes(cost.peakMemoryBytes)} | ${
        isKeepsake ? "–" : verdict(isQuick)
      } | ${isKeepsake ? "–" : verdict(isSmall)} |`,
    );
  }
}

exitWithLaunchers();
const parsed = optionsSchema.safeParse(
  parseArgs(Deno.args, { string: ["only", "runs"], boolean: ["help"] }),
);
if (!parsed.success) {
  console.error(`${z.prettifyError(parsed.error)}\n${USAGE}`);
  Deno.exit(2);
}
if (parsed.data.help) {
  console.log(USAGE);
  Deno.exit(0);
}
const { only, runs } = parsed.data;
if (only !== "jobs") await printBoots(runs);
if (only !== "boot") await printJobs(runs);
Deno.exit(0);
