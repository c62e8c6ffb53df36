/** A request's body that can be sent again, as long as nobody is known to have begun with it. */

type Part = Uint8Array<ArrayBuffer>;

/** Bytes that are kept of a body, to be sent again; more than any endpoint should be sent. */
const KEPT_BYTES = 1_048_576;

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
  /** Counts the receivers: an earlier one gets nothing any more. */
  #receivers = 0;

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
    const receiver = ++this.#receivers;
    return new ReadableStream({
      pull: async (controller) => {
        if (this.#waiting.length === 0 && !this.#isAtEnd) {
          await (this.#reading ??= this.#read());
        }
        if (receiver !== this.#receivers) return;
        const part = this.#waiting.shift();
        if (part === undefined) controller.close();
        else controller.enqueue(part);
      },
      cancel: () => {
        // Of one that has begun; another receiver would want the rest.
        if (receiver === this.#receivers && !this.isWhole) this.close();
      },
    }, { highWaterMark: 0 });
  }

  /** Keeps nothing any more: the receiver has begun with it. */
  forget(): void {
    this.#kept = undefined;
  }

  /** Nobody wants the rest. */
  close(): void {
    this.#kept = undefined;
    this.#receivers++;
    this.#waiting = [];
    // The sender may have left before.
    this.#reader.cancel().catch(() => {});
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
