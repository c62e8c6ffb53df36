/** Reads that are repeated, of which only the latest counts. */

/** The result of a read. */
export type Outcome<T> = { data: T } | { error: unknown };

const readers = new Set<Pick<Reader<unknown>, "poll" | "restart">>();

/** Repeats every read on the page that is not in flight. */
export function poll(): void {
  for (const reader of readers) reader.poll();
}

/** Sends every read on the page again. Resolves when all have a response to a request that was sent after this call. */
export async function refresh(): Promise<void> {
  await Promise.all([...readers].map((reader) => reader.restart()));
}

/** One read. */
export class Reader<T> {
  readonly #read: (signal: AbortSignal) => Promise<T>;
  readonly #show: (outcome: Outcome<T>) => void;
  #sent: AbortController | undefined;
  #latest: Promise<void> | undefined;

  /** `show` receives each outcome that counts. */
  constructor(
    read: (signal: AbortSignal) => Promise<T>,
    show: (outcome: Outcome<T>) => void,
  ) {
    this.#read = read;
    this.#show = show;
  }

  /** Reads, and again with {@link poll} and {@link refresh}. Returns the function that ends this. */
  follow(): () => void {
    readers.add(this);
    this.poll();
    return () => {
      readers.delete(this);
      this.#sent?.abort();
      this.#sent = undefined;
      this.#latest = undefined;
    };
  }

  /** Reads unless a request is in flight: a slow service must not get more of them. */
  poll(): void {
    if (this.#sent === undefined) this.#latest = this.#send();
  }

  /** Reads now. A request in flight does not count any more, because it may show what was before. */
  restart(): Promise<void> {
    this.#sent?.abort();
    return this.#latest = this.#send();
  }

  async #send(): Promise<void> {
    const sent = this.#sent = new AbortController();
    const outcome = await this.#read(sent.signal).then(
      (data) => ({ data }),
      (error: unknown) => ({ error }),
    );
    // Another request replaced this one, or nothing is read any more.
    if (this.#sent !== sent) return await this.#latest;
    this.#sent = undefined;
    this.#show(outcome);
  }
}
