/** Reads a photo's orientation and date from Exif (2.32, on TIFF 6). */

/** See {@link readExif}. */
export interface Exif {
  /** 1 to 8; 1 means unrotated. */
  orientation: number;
  /** The day on which it was taken, in local time, as `YYYY-MM-DD`. */
  takenOn: string | null;
}

const ORIENTATION = 0x0112, EXIF_DIRECTORY = 0x8769;
const TAKEN_AT = 0x9003, DIGITISED_AT = 0x9004;
const ASCII = 2;

/**
 * Reads the TIFF structure of an Exif segment. Invalid values are ignored, because cameras write many.
 *
 * @param tiff without the `Exif\0\0` in front.
 */
export function readExif(tiff: Uint8Array): Exif {
  const nothing = { orientation: 1, takenOn: null };
  if (tiff.length < 8) return nothing;
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const isLittle = view.getUint16(0) === 0x4949;
  if (!isLittle && view.getUint16(0) !== 0x4d4d) return nothing;
  const image = readDirectory(view, view.getUint32(4, isLittle), isLittle);
  const orientation = image.get(ORIENTATION)?.short ?? 1;
  const details = readDirectory(
    view,
    image.get(EXIF_DIRECTORY)?.long ?? 0,
    isLittle,
  );
  return {
    orientation: orientation >= 1 && orientation <= 8 ? orientation : 1,
    takenOn: dayOf(tiff, details.get(TAKEN_AT)) ??
      dayOf(tiff, details.get(DIGITISED_AT)),
  };
}

interface Entry {
  type: number;
  count: number;
  /** The value, read as a number of two and of four bytes. */
  short: number;
  long: number;
}

function readDirectory(
  view: DataView,
  at: number,
  isLittle: boolean,
): Map<number, Entry> {
  const entries = new Map<number, Entry>();
  if (at < 8 || at + 2 > view.byteLength) return entries;
  const count = view.getUint16(at, isLittle);
  for (let index = 0; index < count; index++) {
    const entry = at + 2 + index * 12;
    if (entry + 12 > view.byteLength) break;
    entries.set(view.getUint16(entry, isLittle), {
      type: view.getUint16(entry + 2, isLittle),
      count: view.getUint32(entry + 4, isLittle),
      short: view.getUint16(entry + 8, isLittle),
      long: view.getUint32(entry + 8, isLittle),
    });
  }
  return entries;
}

function dayOf(tiff: Uint8Array, entry: Entry | undefined): string | null {
  if (entry === undefined || entry.type !== ASCII || entry.count < 11) {
    return null;
  }
  const text = String.fromCharCode(
    ...tiff.subarray(entry.long, entry.long + 10),
  );
  const [, year, month, day] = /^(\d{4})[:\-/](\d\d)[:\-/](\d\d)$/.exec(text) ??
    [];
  if (year === undefined) return null;
  const written = `${year}-${month}-${day}`;
  const date = new Date(`${written}T00:00:00Z`);
  // A camera whose clock was never set writes zeros, or dates such as 31 February.
  return !Number.isNaN(date.getTime()) && Number(year) >= 1826 &&
      date.toISOString().startsWith(written)
    ? written
    : null;
}
