/** A request's body that can be sent again, as long as nobody is known to have begun with it. */

type Part = Uint8Array<ArrayBuffer>;

/** Bytes that are kept of a body, to be sent again; more than any endpoint should be sent. */
const KEPT_BYTES = 1_048_576;
/** Bytes that are still taken of a body that nobody wants. */
const DRAINED_BYTES = 1_048_576;

/**
 * Passes a body on as a stream, and again from its beginning when the first receiver is gone. For that, what was read is
 * kept, up to a mebibyte, until {@link forget} is called. Nothing is read ahead of a receiver.
 */
export class RepeatableBody {
  readonly #reader: ReadableStreamDefaultReader<Part>;
  readonly #onBroken: () => void;
  /** From the beginning; undefined when it was too much, or is not needed any more. */
  #kept: Part[] | undefined = [];
  #keptBytes = 0;
  /** What was read and the present receiver does not have yet. */
  #waiting: Part[] = [];
  #reading: Promise<void> | undefined;
  #isAtEnd = false;
  #isClosed = false;
  /** What the present receiver reads from; an earlier one gets nothing any more. */
  #receiver: ReadableStreamDefaultController<Part> | undefined;

  /** `onBroken` is called when the sender has left before the end. */
  constructor(stream: ReadableStream<Part>, onBroken: () => void) {
    this.#reader = stream.getReader();
    this.#onBroken = onBroken;
  }

  /** Whether all that was read is still here, so that {@link open} may be called again. */
  get isWhole(): boolean {
    return this.#kept !== undefined;
  }

  /**
   * The body from its beginning, for a new receiver.
   *
   * @throws {Error} when it is not whole.
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
        // Of one that has begun; another receiver would want the rest.
        if (isPresent() && !this.isWhole) this.close();
      },
    }, { highWaterMark: 0 });
  }

  /** Keeps nothing any more: the receiver has begun with it. */
  forget(): void {
    this.#kept = undefined;
  }

  /**
   * Discards the rest. A receiver that still reads fails. A little more is read and dropped, because a sender whose
   * connection is reset may never read the response; a sender that continues after that is cut off.
   */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#kept = undefined;
    this.#waiting = [];
    this.#receiver?.error(new Error("nobody wants the rest of this body"));
    this.#receiver = undefined;
    // The sender may have left before.
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
