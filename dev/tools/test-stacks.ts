/** Stacks that the files of a ring take turns on. Each is held by a separate program, `tests/_support/stack-host.ts`. */
import { fromFileUrl } from "@std/path";
import { StackError } from "../stack/console/stack-error.ts";
import { FULL_LOCK } from "./lock-rules.ts";

/** Names the running stacks to the test files: a JSON array of what each of their programs printed. */
export const TEST_STACKS_VARIABLE = "EDGE_AI_JOBS_TEST_STACKS";

const host = fromFileUrl(
  new URL("../../tests/_support/stack-host.ts", import.meta.url),
);

/** Running stacks; they end when this is disposed of, or with this process. */
export interface TestStacks extends AsyncDisposable {
  /** The value of {@link TEST_STACKS_VARIABLE}. */
  value: string;
}

/**
 * Starts this many stacks in parallel.
 *
 * @throws {StackError} when one does not start; the reason is on standard error. None is left running then.
 */
export async function startTestStacks(count: number): Promise<TestStacks> {
  await using stacks = new AsyncDisposableStack();
  const hosts = Array.from({ length: count }, () => {
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", ...FULL_LOCK, "--quiet", "--allow-all", host],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    stacks.defer(async () => {
      await process.stdin.close().catch(() => {});
      await process.status;
    });
    return process;
  });
  const facts = await Promise.all(
    hosts.map(({ stdout }) => firstLine(stdout)),
  );
  const running = stacks.move();
  return {
    value: `[${facts.join(",")}]`,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function firstLine(
  output: ReadableStream<Uint8Array<ArrayBuffer>>,
): Promise<string> {
  let text = "";
  for await (
    const part of output.pipeThrough(new TextDecoderStream()).values({
      preventCancel: true,
    })
  ) {
    text += part;
    const end = text.indexOf("\n");
    if (end >= 0) return text.slice(0, end);
  }
  throw new StackError("A stack for the tests did not start; see above.");
}
