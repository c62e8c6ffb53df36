/** A request body that can be sent again until a receiver has started to process it. */

type Part = Uint8Array<ArrayBuffer>;

/** Bytes that are kept for sending again; more than any endpoint should receive. */
const KEPT_BYTES = 1_048_576;
/** Bytes that are still accepted of a body that is discarded. */
const DRAINED_BYTES = 1_048_576;

/**
 * Streams a body to a receiver, and again from its beginning to another one when the first has ended. Until {@link
 * forget} is called, up to a mebibyte of what was read is kept for that. It never reads ahead of a receiver.
 */
export class RepeatableBody {
  readonly #reader: ReadableStreamDefaultReader<Part>;
  readonly #onBroken: () => void;
  /** The body from its beginning; undefined when it was too long, or is not needed any more. */
  #kept: Part[] | undefined = [];
  #keptBytes = 0;
  /** Chunks that were read and that the current receiver has not received yet. */
  #waiting: Part[] = [];
  #reading: Promise<void> | undefined;
  #isAtEnd = false;
  #isClosed = false;
  /** The stream of the current receiver; earlier ones get nothing more. */
  #receiver: ReadableStreamDefaultController<Part> | undefined;

  /** `onBroken` is called when the sender disconnects before the end. */
  constructor(stream: ReadableStream<Part>, onBroken: () => void) {
    this.#reader = stream.getReader();
    this.#onBroken = onBroken;
  }

  /** Whether everything that was read is still kept, so that {@link open} may be called again. */
  get isWhole(): boolean {
    return this.#kept !== undefined;
  }

  /**
   * The body from its beginning, for a new receiver.
   *
   * @throws {Error} when its beginning was not kept.
   */
  open(): ReadableStream<Part> {
    if (this.#kept === undefined) {
      throw new Error("the beginning of the body was not kept");
    }
    this.#waiting = [...this.#kept];
    const isPresent = () => receiver === this.#receiver;
    let receiver: ReadableStreamDefaultController<Part>;
    return new ReadableStream({
      start: (controller) => {
        this.#receiver = receiver = controller;
      },
      pull: async (controller) => {
        if (this.#waiting.length === 0 && !this.#isAtEnd) {
          await (this.#reading ??= this.#read());
        }
        if (!isPresent()) return;
        const part = this.#waiting.shift();
        if (part !== undefined) return controller.enqueue(part);
        this.#receiver = undefined;
        controller.close();
      },
      cancel: () => {
        // Only of a body without a new receiver, which would need the rest.
        if (isPresent() && !this.isWhole) this.close();
      },
    }, { highWaterMark: 0 });
  }

  /** Stops keeping chunks: the receiver has started to process the body. */
  forget(): void {
    this.#kept = undefined;
  }

  /**
   * Discards the rest. A receiver that still reads gets an error. A little more is read and dropped, because a sender
   * whose connection is reset may never read the response. A sender that continues after that is disconnected.
   */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#kept = undefined;
    this.#waiting = [];
    this.#receiver?.error(new Error("the rest of this body is discarded"));
    this.#receiver = undefined;
    // The sender may have disconnected.
    this.#drain().catch(() => {});
  }

  async #drain(): Promise<void> {
    await this.#reading;
    for (let drained = 0; drained < DRAINED_BYTES;) {
      const { value } = await this.#reader.read();
      if (value === undefined) return;
      drained += value.byteLength;
    }
    await this.#reader.cancel();
  }

  async #read(): Promise<void> {
    try {
      const { value } = await this.#reader.read();
      if (value === undefined) {
        this.#isAtEnd = true;
        return;
      }
      this.#waiting.push(value);
      this.#keptBytes += value.byteLength;
      if (this.#keptBytes > KEPT_BYTES) this.forget();
      this.#kept?.push(value);
    } catch (error) {
      this.#onBroken();
      throw error;
    } finally {
      this.#reading = undefined;
    }
  }
}
