/**
 * `deno task start`: runs the embedded stack on the terminal, until Ctrl-C or `deno task stop`.
 *
 * Exit codes: 0 after a stop by SIGINT or SIGTERM, 1 when the stack could not start or failed, 130 when a second Ctrl-C
 * interrupted the stop.
 */
import { readArguments, usage } from "./arguments.ts";
import { banner } from "./banner.ts";
import { openEnvFile } from "./project/env-file.ts";
import { endOfLaunchers } from "./process/launchers.ts";
import { StackError, startStack } from "./stack.ts";
import { printError, say, showWaiting } from "./console/terminal.ts";
import { startPage } from "./page.ts";

/**
 * One Ctrl-C may arrive twice: from the terminal, and from `deno task`, which forwards it. A person presses it again
 * later than this.
 */
const sameSignalMs = 700;

/** Resolves at the first SIGINT or SIGTERM. A later one ends the process immediately, and the children with it. */
function stopRequest(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let first: number | undefined;
  const onSignal = () => {
    first ??= performance.now();
    if (performance.now() - first > sameSignalMs) Deno.exit(130);
    resolve();
  };
  Deno.addSignalListener("SIGINT", onSignal);
  Deno.addSignalListener("SIGTERM", onSignal);
  Deno.addSignalListener("SIGHUP", onSignal);
  return promise;
}

async function run(args: string[]): Promise<number> {
  const started = performance.now();
  const waiting = showWaiting();
  let isStopRequested = false;
  try {
    const { help, exitWithParent, envFile, withPage, options } = readArguments(
      args,
    );
    if (help) {
      say(usage);
      return 0;
    }
    const stopRequested = Promise.race([
      stopRequest(),
      ...(exitWithParent ? [endOfLaunchers()] : []),
    ]).then(() => {
      isStopRequested = true;
      // Clears the ^C that a terminal has just echoed.
      waiting.clear();
      say("Stopping …\n");
    });
    const file = envFile === undefined ? undefined : await openEnvFile(envFile);
    await using page = withPage ? await startPage(options) : undefined;
    await using stack = await startStack({
      ...options,
      onProgress: (what) => isStopRequested || waiting.update([what]),
    });
    const problem = await page?.open(stack);
    waiting.clear();
    if (!isStopRequested) {
      await file?.write({
        API_URL: stack.appUrl,
        DB_URL: stack.dbUrl,
        PUBLISHABLE_KEY: stack.publishableKey,
        SECRET_KEY: stack.secretKey,
        SIMULATOR_URL: stack.simulatorUrl,
      });
      say(
        banner(
          {
            ...stack,
            page: page && { ...page.addresses, people: page.people, problem },
          },
          { ...options, envFile },
          performance.now() - started,
        ),
      );
      await Promise.race([stopRequested, stack.crashed]);
    }
    return 0;
  } catch (error) {
    waiting.clear();
    // Ctrl-C also reaches the child processes. Errors that this causes are not failures of the stack.
    if (isStopRequested && error instanceof StackError) return 0;
    printError(
      error instanceof StackError
        ? `${error.message.trimEnd()}\n`
        : `The stack failed unexpectedly: ${
          error instanceof Error ? error.stack : error
        }\n`,
    );
    return 1;
  }
}

if (import.meta.main) Deno.exit(await run(Deno.args));
