/** The output of the stack's parts, kept in memory as records, for the terminal and for tests. */

/** One line of output. */
export interface LogRecord {
  /** When the stack received it, in ISO 8601. */
  at: string;
  /** `function:<slug>`, `postgres`, `simulators`, `services`, `net`, `cron` or `stack`. */
  source: string;
  stream: "stdout" | "stderr";
  line: string;
}

const kept = 20_000;

/** The lines of all parts in the order of arrival; the newest 20,000 are kept. */
export class LogBook {
  readonly #records: LogRecord[] = [];
  readonly #watchers = new Set<(record: LogRecord) => void>();

  /** Adds a line. */
  add(source: string, stream: LogRecord["stream"], line: string): void {
    const record = { at: new Date().toISOString(), source, stream, line };
    this.#records.push(record);
    if (this.#records.length > kept) this.#records.shift();
    for (const watch of this.#watchers) watch(record);
  }

  /** A copy of the records, of one source if given. */
  records(source?: string): LogRecord[] {
    return this.#records.filter((record) =>
      source === undefined || record.source === source
    );
  }

  /** Calls `watch` with every record from now on, until the returned function is called. */
  watch(watch: (record: LogRecord) => void): () => void {
    this.#watchers.add(watch);
    return () => this.#watchers.delete(watch);
  }

  /** The first record, existing or future, that satisfies `test`. Rejects when `signal` is aborted first. */
  async find(
    test: (record: LogRecord) => boolean,
    signal: AbortSignal,
  ): Promise<LogRecord> {
    const present = this.#records.find(test);
    if (present) return present;
    const { promise, resolve, reject } = Promise.withResolvers<LogRecord>();
    const stop = this.watch((record) => {
      if (test(record)) resolve(record);
    });
    const give = () => reject(signal.reason);
    signal.addEventListener("abort", give);
    try {
      return await promise;
    } finally {
      stop();
      signal.removeEventListener("abort", give);
    }
  }
}
