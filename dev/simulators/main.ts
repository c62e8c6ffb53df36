// deno-lint-ignore-file no-console -- a program whose one line of output is its interface
import { parseArgs } from "@std/cli/parse-args";
import { z } from "zod";
import { startSimulators } from "./server.ts";
import { StateError } from "./state.ts";

const argumentsSchema = z.strictObject({
  _: z.array(z.never()),
  port: z.coerce.number().int().min(0).max(65_535).default(0),
  state: z.string().min(1).optional(),
  "exit-with-stdin": z.boolean().default(false),
});

const USAGE =
  "usage: deno run --allow-net --allow-env --allow-read --allow-write dev/simulators/main.ts [--port N] [--state FILE] [--exit-with-stdin]";

/** Resolves at the end of standard input; ignores its content. */
async function endOfStdin(): Promise<void> {
  for await (const _ of Deno.stdin.readable);
}

/** Resolves at the first termination signal. */
function endSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  Deno.addSignalListener("SIGINT", resolve);
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", resolve);
  return promise;
}

/** Runs the simulators until a signal or the end of standard input; returns the exit code. */
async function main(args: string[]): Promise<number> {
  const given = argumentsSchema.safeParse(
    parseArgs(args, {
      string: ["port", "state"],
      boolean: ["exit-with-stdin"],
    }),
  );
  if (!given.success) {
    console.error(USAGE);
    return 2;
  }
  const { port, state, "exit-with-stdin": exitWithStdin } = given.data;
  const ends = [endSignal(), ...(exitWithStdin ? [endOfStdin()] : [])];
  try {
    const simulators = await startSimulators({
      port,
      ...(state === undefined ? {} : { state }),
    });
    console.log(`simulators listening on ${simulators.url}`);
    await Promise.race(ends);
    await simulators.stop();
    return 0;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.error(
      error instanceof StateError
        ? `simulators cannot start: ${reason}`
        : `simulators cannot start on port ${port}: ${reason}`,
    );
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
