/** Generated recordings: valid containers and frame headers around arbitrary bytes. */
import {
  BufferTarget,
  EncodedAudioPacketSource,
  EncodedPacket,
  EncodedVideoPacketSource,
  MovOutputFormat,
  Mp4OutputFormat,
  OggOutputFormat,
  Output,
  type OutputFormat,
  WebMOutputFormat,
} from "mediabunny";
import type { RecordingSource } from "../../supabase/functions/_shared/media/lengths/range-reader.ts";

/** Concatenates the parts. */
export function joined(
  ...parts: readonly Uint8Array[]
): Uint8Array<ArrayBuffer> {
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

/** Concatenates `count` parts. */
function times(
  count: number,
  make: (index: number) => Uint8Array,
): Uint8Array<ArrayBuffer> {
  return joined(...Array.from({ length: count }, (_, index) => make(index)));
}

const ascii = (text: string) => new TextEncoder().encode(text);

/** Kbit/s of MPEG 1 layer III by their index in a frame's header. */
const MP3_BITRATES = {
  32: 1,
  64: 5,
  128: 9,
  320: 14,
} as const;

/** MP3 at 44.1 kHz. With `claims`, the first frame is an Info frame that states this number of frames. */
export function mp3(
  seconds: number,
  kilobits: keyof typeof MP3_BITRATES,
  options: { claims?: number; tagBytes?: number } = {},
): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(Math.floor(144_000 * kilobits / 44_100));
  frame.set([0xff, 0xfb, MP3_BITRATES[kilobits] << 4, 0xc0]);
  const parts: Uint8Array[] = [];
  const { claims, tagBytes = 0 } = options;
  if (tagBytes > 0) {
    const tag = new Uint8Array(10 + tagBytes);
    tag.set(ascii("ID3\x04"));
    tag.set(
      [21, 14, 7, 0].map((shift) => tagBytes >> shift & 0x7f),
      6,
    );
    parts.push(tag);
  }
  if (claims !== undefined) {
    const info = frame.slice();
    info.set(ascii("Info"), 21);
    const view = new DataView(info.buffer);
    view.setUint32(25, 1);
    view.setUint32(29, claims);
    parts.push(info);
  }
  return joined(
    ...parts,
    times(Math.round(seconds * 44_100 / 1152), () => frame),
  );
}

/** AAC in ADTS, 44.1 kHz. */
export function adts(
  seconds: number,
  frameBytes: number,
): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(frameBytes);
  frame.set([
    0xff,
    0xf1,
    0x50,
    0x40 | frameBytes >> 11,
    frameBytes >> 3 & 0xff,
    (frameBytes & 7) << 5,
    0,
  ]);
  return times(Math.round(seconds * 44_100 / 1024), () => frame);
}

/** AMR at 12.2 kbit/s. */
export function amr(seconds: number): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(32).fill(0x55);
  frame[0] = 0x3c;
  return joined(ascii("#!AMR\n"), times(seconds * 50, () => frame));
}

/** WAV, 16 bit. Header fields that are not given are consistent with the others. */
export function wav(
  seconds: number,
  { sampleRate = 16_000, channels = 1, ...forged }: {
    sampleRate?: number;
    channels?: number;
    byteRate?: number;
    blockAlign?: number;
    dataBytes?: number;
  } = {},
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(44 + seconds * sampleRate * channels * 2);
  const view = new DataView(bytes.buffer);
  bytes.set(ascii("RIFF"));
  view.setUint32(4, bytes.length - 8, true);
  bytes.set(ascii("WAVEfmt "), 8);
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, channels, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, forged.byteRate ?? sampleRate * channels * 2, true);
  view.setUint16(32, forged.blockAlign ?? channels * 2, true);
  view.setUint16(34, 16, true);
  bytes.set(ascii("data"), 36);
  view.setUint32(40, forged.dataBytes ?? bytes.length - 44, true);
  return bytes;
}

/** FLAC at 48 kHz in blocks of 4096. `claims` is the total number of samples that the first block states. */
export function flac(
  seconds: number,
  frameBytes: number,
  options: { claims?: number } = {},
): Uint8Array<ArrayBuffer> {
  const frames = Math.round(seconds * 48_000 / 4_096);
  const head = new Uint8Array(42);
  head.set(ascii("fLaC"));
  head.set([0x80, 0, 0, 34], 4);
  new DataView(head.buffer).setBigUint64(
    18,
    48_000n << 44n | 15n << 36n | BigInt(options.claims ?? frames * 4_096),
  );
  return joined(
    head,
    times(frames, (index) => {
      const number = index < 0x80
        ? [index]
        : index < 0x800
        ? [0xc0 | index >> 6, 0x80 | index & 63]
        : [0xe0 | index >> 12, 0x80 | index >> 6 & 63, 0x80 | index & 63];
      const header = [0xff, 0xf8, 0xca, 0x08, ...number];
      const frame = new Uint8Array(frameBytes).fill(0x2a);
      frame.set([...header, crc8(header)]);
      return frame;
    }),
  );
}

function crc8(bytes: readonly number[]): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) {
      crc = (crc & 0x80) === 0 ? crc << 1 : (crc << 1 ^ 7) & 0xff;
    }
  }
  return crc;
}

const CODECS = {
  // 20 ms; the first byte says so.
  opus: {
    seconds: 0.02,
    first: 0xf8,
    config: {
      codec: "opus",
      numberOfChannels: 1,
      sampleRate: 48_000,
      description: joined(
        ascii("OpusHead"),
        Uint8Array.of(1, 1, 0, 0, 0x80, 0xbb, 0, 0, 0, 0, 0),
      ),
    },
  },
  aac: {
    seconds: 1024 / 44_100,
    first: 0x21,
    config: {
      codec: "mp4a.40.2",
      numberOfChannels: 1,
      sampleRate: 44_100,
      description: Uint8Array.of(0x12, 0x08),
    },
  },
} as const;

/** The containers of {@link muxed}, written as browsers, phones and encoders do. */
const CONTAINERS = {
  ogg: () => new OggOutputFormat(),
  /** As a browser records it: without a length, and with unknown sizes. */
  webm: () => new WebMOutputFormat({ appendOnly: true }),
  mp4: () => new Mp4OutputFormat({ fastStart: false }),
  mp4WithIndexInFront: () => new Mp4OutputFormat({ fastStart: "in-memory" }),
  /** As a browser records it. */
  fragmentedMp4: () =>
    new Mp4OutputFormat({
      fastStart: "fragmented",
      minimumFragmentDuration: 1,
    }),
  mov: () => new MovOutputFormat({ fastStart: false }),
} as const satisfies Record<string, () => OutputFormat>;

/**
 * A recording in a container, written by another library than the one under test.
 *
 * @param options.packetBytes size of each audio packet.
 * @param options.film adds video: 30 pictures a second, every sixtieth a large one.
 */
export async function muxed(
  container: keyof typeof CONTAINERS,
  codec: keyof typeof CODECS,
  seconds: number,
  options: { packetBytes: number; film?: boolean },
): Promise<Uint8Array<ArrayBuffer>> {
  const target = new BufferTarget();
  const output = new Output({ format: CONTAINERS[container](), target });
  const audio = new EncodedAudioPacketSource(codec);
  const video = new EncodedVideoPacketSource("vp8");
  if (options.film) output.addVideoTrack(video, { frameRate: 30 });
  output.addAudioTrack(audio);
  await output.start();
  const sound = CODECS[codec];
  const data = new Uint8Array(options.packetBytes).fill(0x11);
  data[0] = sound.first;
  let pictures = 0;
  const count = Math.round(seconds / sound.seconds);
  for (let index = 0; index < count; index++) {
    const at = index * sound.seconds;
    for (; options.film && pictures / 30 <= at; pictures++) {
      const isKey = pictures % 60 === 0;
      await video.add(
        new EncodedPacket(
          new Uint8Array(isKey ? 60_000 : 4_000 + pictures % 7 * 1_000),
          isKey ? "key" : "delta",
          pictures / 30,
          1 / 30,
        ),
        {
          decoderConfig: { codec: "vp8", codedWidth: 640, codedHeight: 360 },
        },
      );
    }
    await audio.add(new EncodedPacket(data, "key", at, sound.seconds), {
      decoderConfig: sound.config,
    });
  }
  await output.finalize();
  if (target.buffer === null) throw new Error("the recording has no bytes");
  return new Uint8Array(target.buffer);
}

/** The reads of a source. */
export interface Reads {
  count: number;
  bytes: number;
}

/** A source of these bytes. Reading beyond them fails the test. */
export function sourceOf(
  bytes: Uint8Array,
  reads: Reads = { count: 0, bytes: 0 },
): RecordingSource {
  return sourceBy(bytes.length, reads, (start, end) => bytes.slice(start, end));
}

/** A source of `head` and `count` times `body`, without holding it all in memory. */
export function longSource(
  head: Uint8Array,
  body: Uint8Array,
  count: number,
  reads: Reads = { count: 0, bytes: 0 },
): RecordingSource {
  const size = head.length + body.length * count;
  return sourceBy(size, reads, (start, end) => {
    const piece = new Uint8Array(end - start);
    for (let at = start; at < end;) {
      const from = at < head.length
        ? head.subarray(at)
        : body.subarray((at - head.length) % body.length);
      const part = from.subarray(0, end - at);
      piece.set(part, at - start);
      at += part.length;
    }
    return piece;
  });
}

function sourceBy(
  size: number,
  reads: Reads,
  read: (start: number, end: number) => Uint8Array,
): RecordingSource {
  return {
    size,
    read(start, end) {
      if (!(0 <= start && start < end && end <= size)) {
        throw new Error(`read ${start} to ${end} of ${size}`);
      }
      reads.count += 1;
      reads.bytes += end - start;
      return Promise.resolve(read(start, end));
    },
  };
}

/** A generator of numbers in [0, 1), the same in every run. */
export function evenRandom(seed = 1): () => number {
  let state = seed;
  return () => {
    state = (state * 16_807) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}
