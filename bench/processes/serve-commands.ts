/**
 * The inside of a process of the benchmark: it obeys commands on its standard input, one JSON object a line, and ends
 * with it, so that none outlives the driver. Runs under Deno and under Node, since the peers are made for Node.
 */
import process from "node:process";
import { createInterface } from "node:readline";

/** Lines that begin so are for the driver; a library may print what it likes beside them. */
export const LINE_MARKER = "@bench ";

/** What a process can be asked, by name. What a command returns or throws goes back to the driver. */
export type Commands = Readonly<Record<string, (given: unknown) => unknown>>;

function send(message: Record<string, unknown>): void {
  process.stdout.write(`${LINE_MARKER}${JSON.stringify(message)}\n`);
}

async function answer(commands: Commands, line: string): Promise<void> {
  const { id, command, given }: {
    id: number;
    command: string;
    given: unknown;
  } = JSON.parse(line);
  try {
    const run = commands[command];
    if (run === undefined) throw new Error(`there is no command ${command}`);
    send({ id, answer: (await run(given)) ?? null });
  } catch (error) {
    send({ id, error: error instanceof Error ? error.stack : String(error) });
  }
}

/**
 * Reports to the driver that the process is ready, with `facts`, and answers commands until standard input ends.
 * Commands run as they come, not one after another.
 */
export async function serveCommands(
  commands: Commands,
  facts: Record<string, unknown> = {},
): Promise<void> {
  send({ ready: facts });
  for await (const line of createInterface({ input: process.stdin })) {
    void answer(commands, line);
  }
}
