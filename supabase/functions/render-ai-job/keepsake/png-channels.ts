/** Separates the colours of a PNG from its transparency, each compressed on its own. */
import { finished } from "node:stream/promises";
import { constants, createDeflate } from "node:zlib";
import { z } from "zod";
import { PngError, type PngHead } from "./png-head.ts";

/** Size of the chunks that zlib streams produce. */
export const CHUNK_BYTES = 262_144;
/** The fastest level that still compresses runs: processor time is the scarcest resource of an isolate. */
export const QUICK = {
  level: 1,
  strategy: constants.Z_RLE,
  chunkSize: CHUNK_BYTES,
};

/** A chunk of a stream of node:zlib. */
export function toBytes(value: unknown): Uint8Array {
  return z.instanceof(Uint8Array).parse(value);
}

/** Separates colour and transparency, row by row; of 16 bits the upper 8 are kept. */
export class Channels {
  readonly #head: PngHead;
  /** Bytes per pixel, and per sample. */
  readonly #step: number;
  readonly #sample: number;
  /** Number of opaque rows at the top; `#alpha` begins with the first row that is not opaque. */
  #opaqueRows = 0;
  #alpha: PackedRows | null = null;
  #rows = 0;

  constructor(head: PngHead) {
    this.#head = head;
    this.#sample = head.bits / 8;
    this.#step = (head.colors + 1) * this.#sample;
  }

  /** The colours of the rows, with their filters. */
  async *colorsOf(pieces: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
    const { width, height } = this.#head;
    const row = new Uint8Array(1 + width * this.#step);
    let filled = 0;
    for await (const piece of pieces) {
      const bytes = toBytes(piece);
      const most = Math.ceil((filled + bytes.length) / row.length);
      const colors = new Uint8Array(most * (1 + width * this.#head.colors));
      let to = 0;
      for (let at = 0; at < bytes.length;) {
        const part = bytes.subarray(at, at + row.length - filled);
        row.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled < row.length) break;
        if (this.#rows === height) {
          throw new PngError("is a broken PNG (it has too many pixels)");
        }
        to = this.#take(row, colors, to);
        filled = 0;
      }
      if (to > 0) yield colors.subarray(0, to);
    }
    if (this.#rows !== height || filled > 0) {
      throw new PngError("ends too early");
    }
  }

  #take(row: Uint8Array, colors: Uint8Array, to: number): number {
    const filter = row[0] ?? 0;
    if (filter > 4) {
      throw new PngError("is a broken PNG (a row has an unknown filter)");
    }
    const step = this.#step, sample = this.#sample, length = row.length;
    colors[to++] = filter;
    if (this.#head.colors === 1) {
      for (let at = 1; at < length; at += step) colors[to++] = row[at] ?? 0;
    } else {
      for (let at = 1; at < length; at += step) {
        colors[to++] = row[at] ?? 0;
        colors[to++] = row[at + sample] ?? 0;
        colors[to++] = row[at + 2 * sample] ?? 0;
      }
    }
    const alpha = new Uint8Array(1 + this.#head.width);
    alpha[0] = filter;
    let x = 1;
    for (let at = 1 + step - sample; at < length; at += step) {
      alpha[x++] = row[at] ?? 0;
    }
    if (this.#alpha === null && isOpaqueRow(alpha, this.#rows === 0)) {
      this.#opaqueRows++;
    } else {
      this.#alpha ??= this.#beginAlpha();
      this.#alpha.add(alpha);
    }
    this.#rows++;
    return to;
  }

  /** The opaque rows so far, in the shortest encoding. */
  #beginAlpha(): PackedRows {
    const rows = new PackedRows();
    const { width } = this.#head;
    // First row: equal to the pixel on the left. Further rows: equal to the pixel above.
    const first = new Uint8Array(1 + width), like = new Uint8Array(1 + width);
    first[0] = 1;
    first[1] = 255;
    like[0] = 2;
    for (let y = 0; y < this.#opaqueRows; y++) rows.add(y === 0 ? first : like);
    return rows;
  }

  /** The compressed transparency; null if every pixel is opaque. */
  async endAlpha(): Promise<Uint8Array | null> {
    return await this.#alpha?.end() ?? null;
  }
}

/** Size of what is compressed at a time. */
const BATCH_BYTES = 1_048_576;

/** Compresses rows by the megabyte; only the compressed form is held. */
class PackedRows {
  readonly #packer = createDeflate(QUICK);
  readonly #packed: Uint8Array[] = [];
  #batch = new Uint8Array(BATCH_BYTES);
  #filled = 0;

  constructor() {
    this.#packer.on(
      "data",
      (bytes: unknown) => this.#packed.push(toBytes(bytes)),
    );
  }

  add(row: Uint8Array): void {
    for (let at = 0; at < row.length;) {
      const part = row.subarray(at, at + BATCH_BYTES - this.#filled);
      this.#batch.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled < BATCH_BYTES) return;
      this.#packer.write(this.#batch);
      this.#batch = new Uint8Array(BATCH_BYTES);
      this.#filled = 0;
    }
  }

  async end(): Promise<Uint8Array> {
    this.#packer.end(this.#batch.subarray(0, this.#filled));
    await finished(this.#packer);
    return join(this.#packed);
  }
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(
    parts.reduce((sum, part) => sum + part.length, 0),
  );
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Whether a filtered row below opaque rows is opaque: each filter has exactly one encoding for that. */
function isOpaqueRow(row: Uint8Array, isFirst: boolean): boolean {
  const [filter = 0, first] = row;
  // At the left edge: filters none, left, above, average, Paeth.
  const begins = isFirst ? [255, 255, 255, 255, 255] : [255, 255, 0, 128, 0];
  const continues = isFirst ? [255, 0, 255, 128, 0] : [255, 0, 0, 0, 0];
  if (first !== begins[filter]) return false;
  const expected = continues[filter];
  for (let x = 2; x < row.length; x++) {
    if (row[x] !== expected) return false;
  }
  return true;
}
