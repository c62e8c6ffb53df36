/** Creates the films of the simulated D-ID and HeyGen: a still photo with the given sound. */
import decodeAudio from "@audio/decode";
import {
  ALL_FORMATS,
  BufferSource,
  BufferTarget,
  EncodedAudioPacketSource,
  EncodedPacket,
  EncodedPacketSink,
  EncodedVideoPacketSource,
  Input,
  Mp4OutputFormat,
  Output,
} from "mediabunny";
import { flacDescription, flacFrames } from "./flac.ts";
import { readPicture } from "./picture.ts";
import {
  type Planes,
  repeatedFrame,
  stillConfig,
  stillFrame,
} from "./still.ts";

const FRAMES_PER_SECOND = 10;
/** Sound in these formats is copied unchanged; every browser plays them in MP4. */
const COPIED = ["mp3", "aac", "flac", "opus"] as const;

/** A photo or recording that cannot be used; the message says which, and why. */
export class FilmError extends Error {
  override readonly name = "FilmError";
}

/** A film (MP4 with H.264, and MP3, AAC, FLAC or Opus) and its duration in milliseconds. */
export interface Film {
  bytes: Uint8Array<ArrayBuffer>;
  seconds: number;
}

interface Sound {
  codec: typeof COPIED[number];
  config: {
    codec: string;
    numberOfChannels: number;
    sampleRate: number;
    description?: AllowSharedBufferSource | undefined;
  };
  packets: EncodedPacket[];
  seconds: number;
}

/**
 * Creates the film of a photo (JPEG or PNG) and a recording (anything decodable, including the sound of a film).
 *
 * Guarantees: the photo is upright and complete, at most 720 pixels on its longer side; the sound is complete,
 * unchanged where MP4 supports it; the film is as long as the sound, to a tenth of a second.
 *
 * @throws {FilmError} when the photo or the recording cannot be decoded.
 */
export async function makeFilm(
  photo: Uint8Array<ArrayBuffer>,
  recording: Uint8Array<ArrayBuffer>,
): Promise<Film> {
  let planes: Planes;
  try {
    planes = readPicture(photo);
  } catch (cause) {
    throw new FilmError("the photo cannot be decoded", { cause });
  }
  let sound: Sound;
  try {
    sound = await readSound(recording);
  } catch (cause) {
    throw new FilmError("the recording cannot be decoded", { cause });
  }

  const target = new BufferTarget();
  const output = new Output({
    // The index comes first, so that the film plays while it loads.
    format: new Mp4OutputFormat({ fastStart: "in-memory" }),
    target,
  });
  const video = new EncodedVideoPacketSource("avc");
  const audio = new EncodedAudioPacketSource(sound.codec);
  output.addVideoTrack(video, { frameRate: FRAMES_PER_SECOND });
  output.addAudioTrack(audio);
  await output.start();
  const frame = 1 / FRAMES_PER_SECOND;
  const frames = Math.max(1, Math.round(sound.seconds * FRAMES_PER_SECOND));
  for (let number = 0; number < frames; number++) {
    const packet = new EncodedPacket(
      number === 0 ? stillFrame(planes) : repeatedFrame(planes, number),
      number === 0 ? "key" : "delta",
      number * frame,
      frame,
    );
    await video.add(packet, {
      decoderConfig: {
        ...stillConfig(planes),
        codedWidth: planes.width,
        codedHeight: planes.height,
      },
    });
  }
  for (const packet of sound.packets) {
    await audio.add(packet, { decoderConfig: sound.config });
  }
  await output.finalize();
  if (target.buffer === null) throw new Error("the film is empty");
  return {
    bytes: new Uint8Array(target.buffer),
    seconds: Math.round(sound.seconds * 1000) / 1000,
  };
}

async function readSound(recording: Uint8Array<ArrayBuffer>): Promise<Sound> {
  using input = new Input({
    formats: ALL_FORMATS,
    source: new BufferSource(recording),
  });
  const track = await input.getPrimaryAudioTrack();
  const config = await track?.getDecoderConfig();
  const codec = COPIED.find((one) => one === track?.codec);
  if (!track || !config || codec === undefined) {
    return await asFlac(recording);
  }
  const packets: EncodedPacket[] = [];
  for await (const packet of new EncodedPacketSink(track).packets()) {
    packets.push(packet);
  }
  const begin = packets[0]?.timestamp ?? 0;
  const last = packets.at(-1);
  if (last === undefined) throw new Error("the file has no sound");
  return {
    codec,
    config,
    packets: packets.map((packet) =>
      packet.clone({ timestamp: packet.timestamp - begin })
    ),
    // Samples before 0 are the encoder's delay, which is not played.
    seconds: last.timestamp + last.duration - Math.max(0, begin),
  };
}

async function asFlac(recording: Uint8Array<ArrayBuffer>): Promise<Sound> {
  const { channelData, sampleRate } = await decodeAudio(recording);
  const pcm = { sampleRate, channels: channelData };
  const packets: EncodedPacket[] = [];
  let seconds = 0;
  for (const { bytes, samples } of flacFrames(pcm)) {
    const duration = samples / sampleRate;
    packets.push(new EncodedPacket(bytes, "key", seconds, duration));
    seconds += duration;
  }
  if (packets.length === 0) throw new Error("the file has no sound");
  return {
    codec: "flac",
    config: {
      codec: "flac",
      numberOfChannels: channelData.length,
      sampleRate,
      description: flacDescription(pcm),
    },
    packets,
    seconds,
  };
}
