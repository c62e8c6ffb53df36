/** The output of all parts of a stack, in a file of its data folder. */
import type { LogRecord } from "./log-book.ts";

const largestBytes = 20_000_000;

/** An open log. */
export interface LogFile extends Disposable {
  path: string;
  add(record: LogRecord): void;
}

/**
 * Starts a log that only its owner can read; the log of the previous run is kept as `<path>.1`. A log larger than 20 MB
 * is rotated the same way, so that both files together stay below 40 MB.
 *
 * A line that cannot be written is dropped: the parts that need the disk report that it is full. Throws the error of
 * the operating system when the file cannot be created.
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
        // Failed writes are ignored, see openLog.
      }
    },
    [Symbol.dispose]: () => file.close(),
  };
}
