/** The stack's log, printed when a demo fails: an ephemeral stack leaves no log file. */
import { printError } from "../stack/console/terminal.ts";
import type { Stack } from "../stack/stack.ts";

/** The number of lines that are printed. */
const LINES = 100;

/**
 * Runs a demo on a stack. When it throws, the last {@link LINES} lines of the stack's log are printed with
 * their times, and the error is thrown again.
 */
export async function printingLogOnFailure<T>(
  { logs }: Pick<Stack, "logs">,
  run: () => Promise<T>,
  print: (text: string) => void = printError,
): Promise<T> {
  try {
    return await run();
  } catch (error) {
    print("\nThe end of the stack's log:\n");
    for (const { at, source, line } of logs.records().slice(-LINES)) {
      print(`  ${at} [${source}] ${line}\n`);
    }
    throw error;
  }
}
