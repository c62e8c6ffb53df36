/** What the parts of the stack print, kept in memory as records, for the terminal and for tests. */

/** One line of one part. */
export interface LogRecord {
  /** ISO 8601, when the stack received it. */
  at: string;
  /** `function:<slug>`, `postgres`, `simulators`, `services`, `net`, `cron` or `stack`. */
  source: string;
  stream: "stdout" | "stderr";
  line: string;
}

const kept = 20_000;

/** The lines of all parts, in the order of their arrival; the oldest are forgotten after 20,000. */
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

  /** A copy of what is there, optionally of one source only. */
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

  /** The first record, present or to come, that satisfies `test`. Rejects when `signal` is aborted first. */
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
