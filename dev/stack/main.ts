/**
 * `deno task start`: the embedded stack on the terminal, until Ctrl-C.
 *
 * Exit codes: 0 after a stop by SIGINT or SIGTERM, 1 when the stack could not start or broke down, 130 when a
 * second Ctrl-C cut the stop short.
 */
import { readArguments, usage } from "./arguments.ts";
import { banner } from "./banner.ts";
import { openEnvFile } from "./env-file.ts";
import { StackError, startStack } from "./stack.ts";

const encoder = new TextEncoder();

function say(text: string): void {
  Deno.stdout.writeSync(encoder.encode(text));
}

function complain(text: string): void {
  Deno.stderr.writeSync(encoder.encode(text));
}

/**
 * One Ctrl-C may arrive twice, from the terminal and from `deno task` passing it on. A second one of a person
 * comes later than this.
 */
const sameSignalMs = 700;

/** Resolves at the first SIGINT or SIGTERM; a later one ends the process at once, and the children follow it. */
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

/** Resolves when the process that started this one is gone; `deno task` cannot tell when it is killed. */
function endOfParent(): Promise<void> {
  const parent = Deno.ppid;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setInterval(() => {
    if (Deno.ppid === parent) return;
    clearInterval(timer);
    resolve();
  }, 300);
  Deno.unrefTimer(timer);
  return promise;
}

async function run(args: string[]): Promise<number> {
  const started = performance.now();
  let stopRequested = stopRequest();
  let isStopRequested = false;
  try {
    const { help, exitWithParent, envFile, options } = readArguments(args);
    if (exitWithParent) {
      stopRequested = Promise.race([stopRequested, endOfParent()]);
    }
    stopRequested.then(() => isStopRequested = true);
    if (help) {
      say(usage);
      return 0;
    }
    const file = envFile === undefined ? undefined : await openEnvFile(envFile);
    await using stack = await startStack(options);
    if (!isStopRequested) {
      await file?.write({
        API_URL: stack.apiUrl,
        DB_URL: stack.dbUrl,
        PUBLISHABLE_KEY: stack.publishableKey,
        SECRET_KEY: stack.secretKey,
        SIMULATOR_URL: stack.simulatorUrl,
      });
      say(banner(stack, options, performance.now() - started));
      await Promise.race([stopRequested, stack.crashed]);
    }
    say("\nStopping …\n");
    return 0;
  } catch (error) {
    complain(
      error instanceof StackError
        ? `${error.message.trimEnd()}\n`
        : `The stack failed in a way that it should not: ${
          error instanceof Error ? error.stack : error
        }\n`,
    );
    return 1;
  }
}

if (import.meta.main) Deno.exit(await run(Deno.args));
