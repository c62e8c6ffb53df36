/** The command line of the benchmark. */
import { parseArgs } from "@std/cli/parse-args";

/** The text of `--help`. */
export const USAGE = `Usage: deno task bench [options]

  --quick            small numbers, under two minutes, to see whether it works
  --only NAME        one scenario; may be repeated
  --contender NAME   one contender; may be repeated
  --runs NUMBER      number of runs, each on a new stack; the tables show medians and ranges (default 1)
  --publish          also write bench/results/latest.jsonl and the tables of docs/benchmarks.md
  --help             show this

`;

/** The parsed arguments. */
export interface Invocation {
  isQuick: boolean;
  isPublished: boolean;
  isHelp: boolean;
  /** 1 to 20. */
  runs: number;
  /** Empty: all. */
  scenarios: string[];
  contenders: string[];
}

/** Parses the command line. Throws an error with a readable message when it is invalid. */
export function readArguments(
  args: string[],
  known: { scenarios: readonly string[]; contenders: readonly string[] },
): Invocation {
  const unknown: string[] = [];
  const parsed = parseArgs(args, {
    boolean: ["quick", "publish", "help"],
    string: ["only", "contender", "runs"],
    collect: ["only", "contender"],
    unknown: (arg) => {
      unknown.push(arg);
      return false;
    },
  });
  if (unknown.length > 0) throw new Error(`Unknown argument ${unknown[0]}.`);
  return {
    isQuick: parsed["quick"] === true,
    isPublished: parsed["publish"] === true,
    isHelp: parsed["help"] === true,
    runs: runsOf(parsed["runs"]),
    scenarios: namesOf("--only", parsed["only"], known.scenarios),
    contenders: namesOf("--contender", parsed["contender"], known.contenders),
  };
}

function runsOf(given: unknown): number {
  if (given === undefined) return 1;
  const runs = Number(given);
  if (!Number.isInteger(runs) || runs < 1 || runs > 20) {
    throw new Error(`--runs ${given}: a whole number from 1 to 20.`);
  }
  return runs;
}

function namesOf(
  option: string,
  given: unknown,
  known: readonly string[],
): string[] {
  const names = (Array.isArray(given) ? given : []).map(String);
  const wrong = names.find((name) => !known.includes(name));
  if (wrong !== undefined) {
    throw new Error(`${option} ${wrong}: one of ${known.join(", ")}.`);
  }
  return names;
}
