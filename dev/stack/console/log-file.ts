/** Everything that the parts of a stack say, in a file of its data folder. */
import type { LogRecord } from "./log-book.ts";

const largestBytes = 20_000_000;

/** An open log. */
export interface LogFile extends Disposable {
  path: string;
  add(record: LogRecord): void;
}

/**
 * Begins a log, readable by its owner only; that of the run before is kept beside it as `<path>.1`. A log that has
 * become larger than 20 MB takes its place in turn, so that both together never need more than 40.
 *
 * A line that cannot be written is left out: what needs the disk reports that it is full. Throws what the operating system
 * says when the file cannot be made.
 */
export function openLogFile(path: string): LogFile {
  const encoder = new TextEncoder();
  const begin = () => {
    try {
      Deno.renameSync(path, `${path}.1`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    return Deno.openSync(path, {
      createNew: true,
      write: true,
      append: true,
      mode: 0o600,
    });
  };
  let file = begin();
  let size = 0;
  return {
    path,
    add({ at, source, line }) {
      try {
        const bytes = encoder.encode(`${at} ${source} ${line}\n`);
        if (size + bytes.length > largestBytes) {
          file.close();
          file = begin();
          size = 0;
        }
        size += file.writeSync(bytes);
      } catch {
        // As promised above.
      }
    },
    [Symbol.dispose]: () => file.close(),
  };
}
