/**
 * Photos for the benchmark. A JPEG is never decoded for a book, so these contain no picture: they have the segments
 * that a camera writes, and bytes that look like a scan. PNGs are real.
 */
import { createDeflate } from "node:zlib";
import { Buffer } from "node:buffer";

type Bytes = Uint8Array<ArrayBuffer>;

function concat(parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(
    parts.reduce((sum, { length }) => sum + length, 0),
  );
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function noise(length: number): Bytes {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  }
  return bytes;
}

function segment(marker: number, data: Uint8Array): Bytes {
  const length = data.length + 2;
  return concat([Uint8Array.of(0xff, marker, length >> 8, length & 255), data]);
}

const ascii = (text: string) => new TextEncoder().encode(text);

/** Big-endian TIFF: orientation, and in a separate directory the date of the photo. */
function exif(orientation: number, takenAt: string, thumbnail: number): Bytes {
  const bytes = new Uint8Array(6 + 8 + 30 + 18 + 20 + thumbnail);
  bytes.set(ascii("Exif\0\0MM\0*"));
  const view = new DataView(bytes.buffer, 6);
  const entry = (
    at: number,
    tag: number,
    type: number,
    count: number,
    value: number,
  ) => {
    view.setUint16(at, tag);
    view.setUint16(at + 2, type);
    view.setUint32(at + 4, count);
    if (type === 3) view.setUint16(at + 8, value);
    else view.setUint32(at + 8, value);
  };
  view.setUint32(4, 8);
  view.setUint16(8, 2);
  entry(10, 0x0112, 3, 1, orientation);
  entry(22, 0x8769, 4, 1, 38);
  view.setUint16(38, 1);
  entry(40, 0x9003, 2, 20, 56);
  bytes.set(ascii(takenAt), 6 + 56);
  bytes.set(noise(thumbnail).map((byte) => byte & 0x7f), 6 + 76);
  return bytes;
}

/** A profile for RGB. Its content is not read here. */
function profile(length: number): Bytes {
  const bytes = new Uint8Array(length);
  bytes.set(ascii("RGB "), 16);
  bytes.set(ascii("acsp"), 36);
  return concat([ascii("ICC_PROFILE\0"), Uint8Array.of(1, 1), bytes]);
}

function frame(width: number, height: number): Bytes {
  return Uint8Array.of(
    8,
    height >> 8,
    height & 255,
    width >> 8,
    width & 255,
    3,
    1,
    0x22,
    0,
    2,
    0x11,
    1,
    3,
    0x11,
    1,
  );
}

/** A JPEG as a camera writes it: Exif with a thumbnail of 20 kB, a colour profile, a scan of `scanBytes`. */
export function cameraPhoto(
  options: {
    width: number;
    height: number;
    scanBytes: number;
    orientation: number;
  },
): Bytes {
  const scan = noise(options.scanBytes);
  // Inside a scan 0xff is always escaped.
  for (
    let at = scan.indexOf(0xff);
    at !== -1;
    at = scan.indexOf(0xff, at + 2)
  ) {
    if (at + 1 < scan.length) scan[at + 1] = 0;
  }
  return concat([
    Uint8Array.of(0xff, 0xd8),
    segment(0xe1, exif(options.orientation, "1998:08:05 12:00:00\0", 20_000)),
    segment(0xe2, profile(548)),
    segment(0xdb, new Uint8Array(130)),
    segment(0xc0, frame(options.width, options.height)),
    segment(0xc4, new Uint8Array(416)),
    segment(0xda, Uint8Array.of(3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0)),
    scan.subarray(0, -2),
    Uint8Array.of(0xff, 0xd9),
  ]);
}

/** A JPEG whose scan is `FF D9 D9 D9 …`: each byte looks like half of an end marker. */
export function endlessPhoto(length: number): Bytes {
  const head = cameraPhoto({
    width: 4032,
    height: 3024,
    scanBytes: 4,
    orientation: 1,
  });
  const bytes = new Uint8Array(length).fill(0xd9);
  bytes.set(head.subarray(0, -4));
  bytes[head.length - 4] = 0xff;
  return bytes;
}

function chunk(name: string, data: Uint8Array): Bytes {
  const bytes = new Uint8Array(data.length + 12);
  new DataView(bytes.buffer).setUint32(0, data.length);
  bytes.set(ascii(name), 4);
  bytes.set(data, 8);
  // The checksum is not checked.
  return bytes;
}

/**
 * A PNG whose rows are filled by `row`, without their filter byte; it may leave the previous row's samples. Colour type
 * 2 is RGB, 6 has transparency.
 */
export async function png(
  options: {
    width: number;
    height: number;
    bits: 8 | 16;
    colorType: 2 | 6;
    filter: number;
  },
  row: (bytes: Uint8Array, y: number) => void,
): Promise<Bytes> {
  const { width, height, bits, colorType, filter } = options;
  const samples = colorType === 6 ? 4 : 3;
  const bytes = new Uint8Array(1 + width * samples * bits / 8);
  const deflate = createDeflate({ level: 1 });
  const parts: Uint8Array[] = [];
  deflate.on("data", (part: Uint8Array) => parts.push(part));
  const done = new Promise((resolve) => deflate.on("end", resolve));
  for (let y = 0; y < height; y++) {
    bytes[0] = filter;
    row(bytes.subarray(1), y);
    const isFull = !deflate.write(Buffer.from(bytes));
    if (isFull) await new Promise((resolve) => deflate.once("drain", resolve));
  }
  deflate.end();
  await done;
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head[8] = bits;
  head[9] = colorType;
  const data = concat(parts);
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += 65_536) {
    chunks.push(chunk("IDAT", data.subarray(at, at + 65_536)));
  }
  return concat([
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk("IHDR", head),
    ...chunks,
    chunk("IEND", new Uint8Array(0)),
  ]);
}

/** Rows of a photo after filtering: small differences, with every fourth sample opaque. */
export function photoRow(
  samples: number,
  bytesOfSample: number,
): (bytes: Uint8Array, y: number) => void {
  const rows = Array.from({ length: 7 }, () => noise(400_000));
  return (bytes, y) => {
    const source = rows[y % rows.length];
    if (source === undefined) return;
    for (let at = 0; at < bytes.length; at++) {
      const byte = source[at % source.length] ?? 0;
      bytes[at] = (byte & 15) - 8 + (byte >> 4 & 7);
    }
    if (samples === 4) {
      const step = samples * bytesOfSample;
      for (let at = step - bytesOfSample; at < bytes.length; at += step) {
        for (let byte = 0; byte < bytesOfSample; byte++) {
          // Filter 1: the difference to the pixel on the left; the first pixel has none.
          bytes[at + byte] = at < step ? 255 : 0;
        }
      }
    }
  };
}
