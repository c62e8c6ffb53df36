/**
 * Encodes sound as FLAC (RFC 9639) without compression: every subframe has verbatim samples. For formats that MP4
 * players do not support, such as WAV and Vorbis.
 */

/** Samples per frame. */
const BLOCK = 4096;
const BITS = 16;

/** Sound, one array of samples from -1 to 1 for each channel. */
export interface Pcm {
  sampleRate: number;
  channels: readonly Float32Array[];
}

/** The decoder configuration: `fLaC` and the STREAMINFO block, as in MP4 and WebM. */
export function flacDescription(
  { sampleRate, channels }: Pcm,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(42);
  const view = new DataView(bytes.buffer);
  bytes.set([0x66, 0x4c, 0x61, 0x43, 0x80, 0, 0, 34]);
  view.setUint16(8, BLOCK);
  view.setUint16(10, BLOCK);
  // Frame sizes are unknown (0). 20 bits of rate, 3 of channels, 5 of depth, 36 of length.
  const samples = channels[0]?.length ?? 0;
  view.setUint32(
    18,
    (sampleRate << 12 | (channels.length - 1) << 9 | (BITS - 1) << 4) >>> 0,
  );
  view.setUint32(22, samples);
  return bytes;
}

/** The frames, each with its length in samples. */
export function* flacFrames(
  { sampleRate, channels }: Pcm,
): Generator<{ bytes: Uint8Array<ArrayBuffer>; samples: number }> {
  const total = channels[0]?.length ?? 0;
  // Some decoders do not read it from STREAMINFO.
  const hasRate = sampleRate <= 0xffff;
  for (let from = 0, number = 0; from < total; from += BLOCK, number++) {
    const samples = Math.min(BLOCK, total - from);
    const head = [
      0xff,
      0xf8, // fixed block size
      0x70 | (hasRate ? 0x0d : 0), // block size, and rate if it fits, follow below, 16 bits each
      (channels.length - 1) << 4 | 4 << 1, // 16 bits a sample
      ...codedNumber(number),
      (samples - 1) >> 8,
      (samples - 1) & 0xff,
      ...(hasRate ? [sampleRate >> 8, sampleRate & 0xff] : []),
    ];
    head.push(crc8(head));
    const bytes = new Uint8Array(
      head.length + channels.length * (1 + samples * 2) + 2,
    );
    const view = new DataView(bytes.buffer);
    bytes.set(head);
    let at = head.length;
    for (const channel of channels) {
      bytes[at++] = 0x02; // verbatim
      for (let index = 0; index < samples; index++, at += 2) {
        const value = Math.round((channel[from + index] ?? 0) * 32_768);
        view.setInt16(at, Math.max(-32_768, Math.min(32_767, value)));
      }
    }
    view.setUint16(at, crc16(bytes.subarray(0, at)));
    yield { bytes, samples };
  }
}

/** The frame number in the variable-length coding of UTF-8, up to 31 bits. */
function codedNumber(number: number): number[] {
  if (number < 0x80) return [number];
  const tail: number[] = [];
  let rest = number;
  for (let room = 0x3f; rest > room; room >>= 1) {
    tail.unshift(0x80 | rest & 0x3f);
    rest = Math.floor(rest / 64);
  }
  return [0xff << (7 - tail.length) & 0xff | rest, ...tail];
}

function crc8(bytes: Iterable<number>): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) {
      crc = (crc & 0x80 ? crc << 1 ^ 0x07 : crc << 1) & 0xff;
    }
  }
  return crc;
}

const CRC16 = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) {
    crc = crc & 0x8000 ? crc << 1 ^ 0x8005 : crc << 1;
  }
  return crc;
});

function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc = (crc << 8 ^ (CRC16[crc >> 8 ^ byte] ?? 0)) & 0xffff;
  }
  return crc;
}
