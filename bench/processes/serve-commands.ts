/**
 * The process's side of the protocol: it executes commands from its standard input, one JSON object per line, and ends
 * with it, so that no process outlives the driver. Runs under Deno and Node, because the peers are made for Node.
 */
import process from "node:process";
import { createInterface } from "node:readline";

/** Prefix of lines for the driver. Libraries may print other lines. */
export const LINE_MARKER = "@bench ";

/** The commands of a process by name. Their results and errors are returned to the driver. */
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
 * Commands run concurrently.
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
