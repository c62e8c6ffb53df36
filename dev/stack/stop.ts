/**
 * `deno task stop`: stops the stack that `deno task start` has started on a data folder, from any terminal.
 *
 * Exit codes: 0 when no stack runs on the folder any more, 1 when it cannot be stopped, 2 for invalid arguments.
 */
import { parseArgs } from "@std/cli/parse-args";
import { z } from "zod";
import { defaultDataDir, stopStackOf } from "./process/data-folder.ts";
import { StackError } from "./console/stack-error.ts";

const usage = `Usage: deno task stop [options]

  --data DIR  the data folder of the stack (default .data/stack)
  --help      show this
`;

/** A stack gives its functions 3 s to end and Postgres 15. */
const timeoutMs = 30_000;

const argumentsSchema = z.strictObject({
  _: z.tuple([]),
  data: z.string().min(1).default(() => defaultDataDir()),
  help: z.boolean(),
});

/** Parses the arguments of `deno task stop`. Returns one sentence about an invalid argument. */
export function readStopArguments(
  args: string[],
): { data: string; help: boolean } | string {
  const read = argumentsSchema.safeParse(
    parseArgs(args, { string: ["data"], boolean: ["help"] }),
  );
  if (read.success) return { data: read.data.data, help: read.data.help };
  const [issue] = read.error.issues;
  if (issue?.code === "unrecognized_keys") {
    return `Unknown argument --${issue.keys[0]}.`;
  }
  return issue?.path[0] === "data"
    ? "--data needs a value."
    : `Unknown argument ${args.find((arg) => !arg.startsWith("-"))}.`;
}

const encoder = new TextEncoder();
const say = (text: string) => Deno.stdout.writeSync(encoder.encode(text));
const printError = (text: string) =>
  Deno.stderr.writeSync(encoder.encode(text));

async function run(args: string[]): Promise<0 | 1 | 2> {
  const read = readStopArguments(args);
  if (typeof read === "string") {
    printError(`${usage}\n${read}\n`);
    return 2;
  }
  const { data, help } = read;
  if (help) {
    say(usage);
    return 0;
  }
  try {
    const end = await stopStackOf(data, {
      timeoutMs,
      onFound: ({ pid }) =>
        say(`Stopping the stack on ${data} (process ${pid}) …\n`),
    });
    say(
      {
        "stopped": "Stopped.\n",
        "killed": `It did not end within ${
          timeoutMs / 1000
        } s and was killed.\n`,
        "was not running": `No stack is running on ${data}.\n`,
      }[end],
    );
    return 0;
  } catch (error) {
    if (!(error instanceof StackError)) throw error;
    printError(`${error.message}\n`);
    return 1;
  }
}

if (import.meta.main) Deno.exit(await run(Deno.args));
