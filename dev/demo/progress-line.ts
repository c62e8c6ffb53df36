/** The progress of a job in one line that is updated on a terminal; elsewhere one line for each change. */

/** A progress line. */
export interface ProgressLine {
  update(percentage: number, stage: string): void;
  /** Keeps the line and continues on the next one. */
  end(): void;
}

const WIDTH = 30;

/** Starts a progress line on standard output. `percentage` is 0 to 100. */
export function showProgress(): ProgressLine {
  const encoder = new TextEncoder();
  const isTerminal = Deno.stdout.isTerminal();
  const startedAt = performance.now();
  let text = "";
  const draw = (before: string, after: string) => {
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    Deno.stdout.writeSync(
      encoder.encode(`${before}${text}  ${seconds} s${after}`),
    );
  };
  // The seconds advance between two steps, so that a long provider call does not look like a hang.
  const clock = isTerminal
    ? setInterval(() => text !== "" && draw("\r\x1b[2K", ""), 100)
    : undefined;
  return {
    update(percentage, stage) {
      const filled = Math.round(WIDTH * percentage / 100);
      const bar = "█".repeat(filled) + "░".repeat(WIDTH - filled);
      text = `  ${"progress".padEnd(10)} ${bar} ${
        String(percentage).padStart(3)
      } %  ${stage.replaceAll("_", " ").padEnd(16)}`;
      draw(isTerminal ? "\r\x1b[2K" : "", isTerminal ? "" : "\n");
    },
    end() {
      clearInterval(clock);
      if (isTerminal && text !== "") {
        Deno.stdout.writeSync(encoder.encode("\n"));
      }
    },
  };
}
