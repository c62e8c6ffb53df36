/**
 * Checks, while a file is streamed, that it matches its content type: its first bytes, and its end where the format
 * defines one. Keeps a few hundred bytes for a file of any size.
 */
import type { Bytes } from "../platform/bytes.ts";
import { Mp3Error, Mp3Frames } from "./mp3-frames.ts";

const HEAD_BYTES = 512;
const TAIL_BYTES = 1024;

/** A check of one file. `add` and `end` return the problem found, or null. */
export interface FileCheck {
  add(chunk: Uint8Array): string | null;
  end(): string | null;
}

/** The content types that can be checked. */
export const CHECKED_TYPES = [
  "audio/mpeg",
  "audio/wav",
  "video/mp4",
  "application/pdf",
  "application/json",
  "text/plain",
] as const;
export type CheckedType = (typeof CHECKED_TYPES)[number];

/** A check for a file that claims to be of this type. */
export function createFileCheck(contentType: CheckedType): FileCheck {
  switch (contentType) {
    case "audio/mpeg":
      return mp3Check();
    case "audio/wav":
      return edgesCheck(isWavHead, isWavWhole);
    case "video/mp4":
      return mp4Check();
    case "application/pdf":
      return edgesCheck(
        (head) => ascii(head).startsWith("%PDF-"),
        ({ tail }) => ascii(tail).includes("%%EOF"),
      );
    case "application/json":
      return edgesCheck(
        (head) => /^\s*[[{]/.test(ascii(head)),
        ({ tail }) => /[\]}]\s*$/.test(ascii(tail)),
      );
    case "text/plain":
      return edgesCheck(
        (head) =>
          !head.includes(0) && !/^\s*<(!doctype|html)/i.test(ascii(head)),
        () => true,
      );
  }
}

interface Edges {
  head: Uint8Array;
  tail: Uint8Array;
  size: number;
}

const NOT_OF_TYPE = "does not begin as its content type says";
const CUT = "ends before it is complete";

/** Checks the first bytes as soon as they have arrived, and the last bytes at the end. */
function edgesCheck(
  isHead: (head: Uint8Array) => boolean,
  isWhole: (edges: Edges) => boolean,
): FileCheck {
  const head = new Uint8Array(HEAD_BYTES);
  let tail = new Uint8Array(0);
  let size = 0;
  const judge = () =>
    isHead(head.subarray(0, Math.min(size, HEAD_BYTES))) ? null : NOT_OF_TYPE;
  return {
    add(chunk) {
      if (size < HEAD_BYTES) {
        head.set(chunk.subarray(0, HEAD_BYTES - size), size);
      }
      const isHeadNew = size < HEAD_BYTES && size + chunk.length >= HEAD_BYTES;
      size += chunk.length;
      tail = joinTail(tail, chunk);
      return isHeadNew ? judge() : null;
    },
    end() {
      return judge() ??
        (isWhole({ head: head.subarray(0, size), tail, size }) ? null : CUT);
    },
  };
}

function joinTail(tail: Uint8Array, chunk: Uint8Array): Bytes {
  if (chunk.length >= TAIL_BYTES) return chunk.slice(-TAIL_BYTES);
  const joined = new Uint8Array(tail.length + chunk.length);
  joined.set(tail);
  joined.set(chunk, tail.length);
  return joined.slice(-TAIL_BYTES);
}

/** One character for each byte. */
function ascii(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function isWavHead(head: Uint8Array): boolean {
  const text = ascii(head.subarray(0, 12));
  return text.startsWith("RIFF") && text.endsWith("WAVE");
}

function isWavWhole({ head, size }: Edges): boolean {
  const riffBytes = new DataView(head.buffer, head.byteOffset).getUint32(
    4,
    true,
  );
  // A writer that did not know the length in advance sets all bits.
  return riffBytes === 0xffff_ffff || riffBytes + 8 <= size;
}

function mp3Check(): FileCheck {
  const frames = new Mp3Frames();
  const problemOf = (work: () => void): string | null => {
    try {
      work();
      return null;
    } catch (error) {
      if (error instanceof Mp3Error) return error.message;
      throw error;
    }
  };
  return {
    add: (chunk) => problemOf(() => frames.add(chunk)),
    end: () => problemOf(() => frames.end()),
  };
}

/**
 * Box header: 32-bit size and name; size 1 means that a 64-bit size follows, size 0 that the box ends with the file.
 */
const BOX_HEADER_BYTES = 16;

/** Walks the boxes of ISO/IEC 14496-12: `ftyp` first, a `moov` somewhere, the last one ending with the file. */
function mp4Check(): FileCheck {
  const header = new Uint8Array(BOX_HEADER_BYTES);
  const view = new DataView(header.buffer);
  let filled = 0;
  let size = 0;
  let next = 0;
  let isOpenEnded = false;
  const names: string[] = [];

  /** Reads the header of the box that begins at `next`, once enough bytes have arrived. */
  const readBox = (): string | null => {
    const name = ascii(header.subarray(4, 8));
    if (names.length === 0 && name !== "ftyp") return NOT_OF_TYPE;
    const short = view.getUint32(0);
    if (short === 1 && filled < BOX_HEADER_BYTES) return null;
    const bytes = short === 1 ? Number(view.getBigUint64(8)) : short;
    if (short === 0) isOpenEnded = true;
    else if (bytes < 8) return NOT_OF_TYPE;
    if (names.length < 1000) names.push(name);
    next += bytes;
    filled = 0;
    return null;
  };

  return {
    add(chunk) {
      let at = 0;
      while (at < chunk.length && !isOpenEnded) {
        const boxAt = next + filled - size;
        if (boxAt >= chunk.length) break;
        at = Math.max(at, boxAt);
        const isLong = filled >= 8 && view.getUint32(0) === 1;
        const wanted = (isLong ? BOX_HEADER_BYTES : 8) - filled;
        const part = chunk.subarray(at, at + wanted);
        header.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled >= 8) {
          const problem = readBox();
          if (problem !== null) return problem;
        }
      }
      size += chunk.length;
      return null;
    },
    end() {
      if (names.length === 0) return NOT_OF_TYPE;
      return names.includes("moov") &&
          (isOpenEnded || (filled === 0 && next === size))
        ? null
        : CUT;
    },
  };
}
