/** Reads ranges of a stored recording, within the limits for measuring its length. */

/** A recording that can be read in ranges. */
export interface RecordingSource {
  /** Size of the recording in bytes. */
  readonly size: number;
  /** The bytes from `start` up to and excluding `end`; `0 <= start < end <= size`. */
  read(start: number, end: number): Promise<Uint8Array>;
}

/** The length cannot be determined, or not within the limits of {@link RangeReader}. */
export class LengthUnreadable extends Error {
  override readonly name = "LengthUnreadable";
}

/** Maximum number of reads, of bytes read in total, and of calls of `bytes`. */
export const READ_LIMITS = {
  reads: 600,
  bytes: 48 * 1024 * 1024,
  questions: 20_000,
} as const;

/** Smaller ranges are not worth a request. */
const MIN_READ_BYTES = 4_096;

/** Reads ranges of one recording. */
export class RangeReader {
  #reads = 0;
  #bytes = 0;
  #questions = 0;
  #cached = { start: 0, bytes: new Uint8Array(0) };

  constructor(readonly source: RecordingSource) {}

  /** Bytes of the whole recording. */
  get size(): number {
    return this.source.size;
  }

  /**
   * Up to `length` bytes from `start`: fewer near the end of the recording, none past it.
   *
   * @throws {LengthUnreadable} when {@link READ_LIMITS} are used up. Errors of the source pass through.
   */
  async bytes(start: number, length: number): Promise<Uint8Array> {
    this.#questions += 1;
    if (this.#questions > READ_LIMITS.questions) {
      throw new LengthUnreadable("too many pieces would have to be inspected");
    }
    const end = Math.min(start + length, this.size);
    if (start >= end) return new Uint8Array(0);
    const { start: from, bytes } = this.#cached;
    if (start >= from && end <= from + bytes.length) {
      return bytes.subarray(start - from, end - from);
    }
    const read = await this.readApart(
      start,
      Math.min(Math.max(end, start + MIN_READ_BYTES), this.size),
    );
    this.#cached = { start, bytes: new Uint8Array(read) };
    return this.#cached.bytes.subarray(0, end - start);
  }

  /** Like {@link RecordingSource.read}; the bytes are not cached. @throws {LengthUnreadable} as `bytes` does. */
  async readApart(start: number, end: number): Promise<Uint8Array> {
    this.#reads += 1;
    this.#bytes += end - start;
    if (this.#reads > READ_LIMITS.reads || this.#bytes > READ_LIMITS.bytes) {
      throw new LengthUnreadable("too many pieces would have to be read");
    }
    const read = await this.source.read(start, end);
    return read.subarray(0, end - start);
  }
}

/** A view of exactly these bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Bytes as text, one character per byte: for the names of chunks and boxes. */
export function asciiAt(
  bytes: Uint8Array,
  at: number,
  length: number,
): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}
