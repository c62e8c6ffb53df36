/** Standard output and error of a program whose reader may go away before it: a pipe to `head`, an npm that is killed. */

const encoder = new TextEncoder();

function writeTo(to: typeof Deno.stdout | typeof Deno.stderr, text: string) {
  let rest = encoder.encode(text);
  try {
    while (rest.length > 0) rest = rest.subarray(to.writeSync(rest));
  } catch {
    // Nobody reads it.
  }
}

/** Writes to standard output. Never throws. */
export function say(text: string): void {
  writeTo(Deno.stdout, text);
}

/** Writes to standard error. Never throws. */
export function complain(text: string): void {
  writeTo(Deno.stderr, text);
}

/** A line that names what is waited for, on a terminal only; what stays is written by others. */
export interface WaitingLine {
  update(waitingFor: readonly string[]): void;
  /** Empties the line, so that something else can be written there. */
  clear(): void;
}

/** Begins such a line on standard output. */
export function showWaiting(): WaitingLine {
  const isTerminal = Deno.stdout.isTerminal();
  const write = (text: string) => {
    if (!isTerminal) return;
    // A line that wraps would not be emptied whole.
    const columns = Deno.consoleSize().columns || 80;
    say(`\r\x1b[2K${text.slice(0, columns - 1)}`);
  };
  return {
    update: (waitingFor) => write(`  … ${waitingFor.join(", ")}`),
    clear: () => write(""),
  };
}
