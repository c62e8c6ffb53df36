/** Extracts a long JSON text without its lists and long strings, as the text streams through. */

/** Maximum number of bytes of an outline. */
const MAX_OUTLINE_BYTES = 65_536;
/** Longer strings are left out. */
const MAX_STRING_BYTES = 16_384;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LIST_BEGINS = 0x5b;
const LIST_ENDS = 0x5d;

/** See {@link createJsonOutline}. */
export interface JsonOutline {
  /** Adds the next bytes of the text, cut anywhere. */
  add(chunk: Uint8Array): void;
  /** The outline so far; undefined when it is longer than 64 KiB. */
  text(): string | undefined;
}

/**
 * Keeps the objects of a JSON text. Lists become `[]`, and strings of over 16 KiB become `""`.
 *
 * Guarantees: uses 64 KiB for a text of any length; the outline of valid JSON is valid JSON. For transcripts, which
 * consist of ids and a list of words or one long text: a parser would spend seconds of CPU before the sender is
 * verified.
 */
export function createJsonOutline(): JsonOutline {
  const kept = new Uint8Array(MAX_OUTLINE_BYTES);
  let length = 0;
  let isTooLong = false;
  /** How many lists are open. */
  let lists = 0;
  let isInString = false;
  let isEscaped = false;
  /** Where the string begins in the outline, behind its quote. */
  let stringStart = 0;
  let isStringTooLong = false;

  const keep = (byte: number) => {
    if (length === MAX_OUTLINE_BYTES) isTooLong = true;
    else kept[length++] = byte;
  };
  const addInString = (byte: number) => {
    const ends = !isEscaped && byte === QUOTE;
    isEscaped = !isEscaped && byte === BACKSLASH;
    if (ends) isInString = false;
    if (lists > 0 || (isStringTooLong && !ends)) return;
    if (!ends && length - stringStart >= MAX_STRING_BYTES) {
      isStringTooLong = true;
      length = stringStart;
      return;
    }
    keep(byte);
  };
  const addOutside = (byte: number) => {
    if (byte === QUOTE) {
      isInString = true;
      isStringTooLong = false;
      if (lists === 0) {
        keep(byte);
        stringStart = length;
      }
    } else if (byte === LIST_BEGINS) {
      if (lists++ === 0) keep(byte);
    } else if (byte === LIST_ENDS) {
      if (lists <= 1) keep(byte);
      lists = Math.max(0, lists - 1);
    } else if (lists === 0) keep(byte);
  };

  return {
    add(chunk) {
      if (isTooLong) return;
      for (const byte of chunk) {
        if (isInString) addInString(byte);
        else addOutside(byte);
      }
    },
    text: () =>
      isTooLong
        ? undefined
        : new TextDecoder().decode(kept.subarray(0, length)),
  };
}
