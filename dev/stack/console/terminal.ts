/** Standard output and error whose reader may close first: a pipe to `head`, an npm that is killed. */

const encoder = new TextEncoder();

function writeTo(to: typeof Deno.stdout | typeof Deno.stderr, text: string) {
  let rest = encoder.encode(text);
  try {
    while (rest.length > 0) rest = rest.subarray(to.writeSync(rest));
  } catch {
    // The reader has closed.
  }
}

/** Writes to standard output. Never throws. */
export function say(text: string): void {
  writeTo(Deno.stdout, text);
}

/** Writes to standard error. Never throws. */
export function printError(text: string): void {
  writeTo(Deno.stderr, text);
}

/** A status line that is overwritten, on a terminal only. */
export interface WaitingLine {
  update(waitingFor: readonly string[]): void;
  /** Clears the line, so that other output can be written. */
  clear(): void;
}

/** Starts a status line on standard output. */
export function showWaiting(): WaitingLine {
  const isTerminal = Deno.stdout.isTerminal();
  const write = (text: string) => {
    if (!isTerminal) return;
    // A line that wraps could not be cleared completely.
    const columns = Deno.consoleSize().columns || 80;
    say(`\r\x1b[2K${text.slice(0, columns - 1)}`);
  };
  return {
    update: (waitingFor) => write(`  … ${waitingFor.join(", ")}`),
    clear: () => write(""),
  };
}
