/**
 * `deno task bench`: this project's engine compared with graphile-worker and pg-boss, on the same Postgres, with the
 * same job and the same simulated provider, in turns. docs/benchmarks.md says what is measured, and which contender
 * each condition favours.
 *
 * Prints a line for each result and appends it to bench/results/<date>.jsonl. Exit code 1 when a scenario could not be
 * completed, 2 for an invalid argument; a missed target is a result, not an error.
 */
import { fromFileUrl } from "@std/path";
import { exitWithLaunchers } from "../dev/stack/process/launchers.ts";
import { type Invocation, readArguments, USAGE } from "./arguments.ts";
import { CONTENDERS, makeContenders } from "./contenders/all.ts";
import { startEnvironment } from "./environment.ts";
import { commit, load, machine } from "./report/machine.ts";
import { publish } from "./report/publish.ts";
import type { Result } from "./report/record.ts";
import { FULL, QUICK, SCENARIOS } from "./scenarios/all.ts";

const resultsDir = fromFileUrl(new URL("./results/", import.meta.url));
const encoder = new TextEncoder();

function print(text: string): void {
  Deno.stdout.writeSync(encoder.encode(`${text}\n`));
}

function printError(text: string): void {
  Deno.stderr.writeSync(encoder.encode(`${text}\n`));
}

function line({ scenario, contender, figures }: Result): string {
  const pairs = Object.entries(figures).map(([name, value]) =>
    `${name}=${value ?? "-"}`
  );
  return `${scenario.padEnd(11)} ${contender.padEnd(22)} ${pairs.join(" ")}`;
}

/** One run on a new stack: its results, which are also appended to `file`, and the scenarios that failed. */
async function measure(
  { scenarios: wanted, contenders: names, isQuick }: Invocation,
  file: string,
): Promise<{ results: Result[]; failures: string[] }> {
  const startedAt = new Date().toISOString();
  const loadBefore = load();
  const results: Result[] = [];
  const failures: string[] = [];
  print(`load before the start: ${loadBefore}`);

  await using parts = new AsyncDisposableStack();
  const environment = parts.use(await startEnvironment());
  const contenders = await makeContenders(environment, names, parts);
  const common = {
    run: startedAt,
    is_quick: isQuick,
    commit: await commit(),
    postgres: environment.postgresVersion,
    deno: Deno.version.deno,
    machine: machine(),
    load_before: loadBefore,
  };

  for (const scenario of SCENARIOS) {
    if (wanted.length > 0 && !wanted.includes(scenario.name)) continue;
    const begun = performance.now();
    try {
      await scenario.run({
        environment,
        contenders,
        sizes: isQuick ? QUICK : FULL,
        async report(contender, options, figures) {
          const result: Result = {
            at: new Date().toISOString(),
            scenario: scenario.name,
            contender: contender.name,
            title: contender.title,
            library: contender.library,
            settings: contender.settings(options),
            options: { ...options },
            figures,
            load: load(),
            ...common,
          };
          results.push(result);
          print(line(result));
          await Deno.writeTextFile(file, `${JSON.stringify(result)}\n`, {
            append: true,
          });
        },
      });
    } catch (error) {
      failures.push(scenario.name);
      printError(
        `${scenario.name} failed: ${
          error instanceof Error ? error.stack : error
        }`,
      );
    }
    print(
      `${scenario.name}: ${((performance.now() - begun) / 1000).toFixed(0)} s`,
    );
  }
  return { results, failures };
}

async function run(args: string[]): Promise<number> {
  const invocation = readArguments(args, {
    scenarios: SCENARIOS.map(({ name }) => name),
    contenders: CONTENDERS,
  });
  if (invocation.isHelp) {
    print(
      `${USAGE}Scenarios: ${
        SCENARIOS.map(({ name }) => name).join(", ")
      }\nContenders: ${CONTENDERS.join(", ")}`,
    );
    return 0;
  }
  await Deno.mkdir(resultsDir, { recursive: true });
  const name = `${new Date().toISOString().replaceAll(/[:.]/g, "-")}.jsonl`;
  const results: Result[] = [];
  const failures: string[] = [];
  for (let number = 1; number <= invocation.runs; number++) {
    if (invocation.runs > 1) print(`run ${number} of ${invocation.runs}`);
    const measured = await measure(invocation, `${resultsDir}${name}`);
    results.push(...measured.results);
    failures.push(...measured.failures);
  }
  print(`results: bench/results/${name}`);
  if (invocation.isPublished && failures.length === 0) await publish(results);
  return failures.length === 0 ? 0 : 1;
}

if (import.meta.main) {
  exitWithLaunchers();
  let code: number;
  try {
    code = await run(Deno.args);
  } catch (error) {
    printError(error instanceof Error ? error.message : String(error));
    code = 2;
  }
  Deno.exit(code);
}
