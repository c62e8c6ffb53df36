/**
 * `deno task bench`: this project's engine beside graphile-worker and pg-boss, on the same Postgres, with the same job
 * and the same simulated provider, in turns. docs/benchmarks.md says what is measured and what is unfair to whom.
 *
 * Prints a line for each result and keeps them in bench/results/<date>.jsonl. Exit code 1 when a scenario could not
 * be run to its end, 2 for a wrong argument; a target that is missed is a result, not an error.
 */
import { fromFileUrl } from "@std/path";
import { exitWithLaunchers } from "../dev/stack/process/launchers.ts";
import { readArguments, USAGE } from "./arguments.ts";
import { CONTENDERS, makeContenders } from "./contenders/all.ts";
import { startEnvironment } from "./environment.ts";
import { commit, load, machine } from "./report/machine.ts";
import { publish } from "./report/publish.ts";
import type { Result } from "./report/record.ts";
import { FULL, QUICK, SCENARIOS } from "./scenarios/all.ts";

const resultsDir = fromFileUrl(new URL("./results/", import.meta.url));
const encoder = new TextEncoder();

function say(text: string): void {
  Deno.stdout.writeSync(encoder.encode(`${text}\n`));
}

function complain(text: string): void {
  Deno.stderr.writeSync(encoder.encode(`${text}\n`));
}

function inShort({ scenario, contender, figures }: Result): string {
  const told = Object.entries(figures).map(([name, value]) =>
    `${name}=${value ?? "-"}`
  );
  return `${scenario.padEnd(11)} ${contender.padEnd(22)} ${told.join(" ")}`;
}

async function run(args: string[]): Promise<number> {
  const invocation = readArguments(args, {
    scenarios: SCENARIOS.map(({ name }) => name),
    contenders: CONTENDERS,
  });
  if (invocation.isHelp) {
    say(
      `${USAGE}Scenarios: ${
        SCENARIOS.map(({ name }) => name).join(", ")
      }\nContenders: ${CONTENDERS.join(", ")}`,
    );
    return 0;
  }
  const { scenarios: wanted, isQuick } = invocation;
  const startedAt = new Date().toISOString();
  const loadBefore = load();
  const results: Result[] = [];
  const failures: string[] = [];
  say(`load before the start: ${loadBefore}`);

  await using parts = new AsyncDisposableStack();
  const environment = parts.use(await startEnvironment());
  const contenders = await makeContenders(
    environment,
    invocation.contenders,
    parts,
  );
  const common = {
    run: startedAt,
    is_quick: isQuick,
    commit: await commit(),
    postgres: environment.postgresVersion,
    deno: Deno.version.deno,
    machine: machine(),
    load_before: loadBefore,
  };
  await Deno.mkdir(resultsDir, { recursive: true });
  const file = `${resultsDir}${startedAt.replaceAll(/[:.]/g, "-")}.jsonl`;

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
          say(inShort(result));
          await Deno.writeTextFile(file, `${JSON.stringify(result)}\n`, {
            append: true,
          });
        },
      });
    } catch (error) {
      failures.push(scenario.name);
      complain(
        `${scenario.name} failed: ${
          error instanceof Error ? error.stack : error
        }`,
      );
    }
    say(
      `${scenario.name}: ${((performance.now() - begun) / 1000).toFixed(0)} s`,
    );
  }
  say(`results: bench/results/${file.slice(resultsDir.length)}`);
  if (invocation.isPublished && failures.length === 0) await publish(results);
  return failures.length === 0 ? 0 : 1;
}

if (import.meta.main) {
  exitWithLaunchers();
  let code: number;
  try {
    code = await run(Deno.args);
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error));
    code = 2;
  }
  Deno.exit(code);
}
