/** Files that users choose: their type, whether they can be used, and the form in which they are sent. */

import { encodeWav } from "./wav.ts";

/** A problem with a file, in words for the user. */
export class FileProblem extends Error {}

const BY_EXTENSION: Readonly<Record<string, string>> = {
  mp3: "audio/mpeg",
  wav: "audio/wav",
  m4a: "audio/mp4",
  mp4: "video/mp4",
  ogg: "audio/ogg",
  opus: "audio/ogg",
  webm: "audio/webm",
  flac: "audio/flac",
  aac: "audio/aac",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  png: "image/png",
};

/** The MIME type of a file without parameters; by its name where the browser knows none. */
export function typeOf(file: File): string {
  const extension = file.name.split(".").at(-1)?.toLowerCase() ?? "";
  return file.type.replace(/;.*/, "").trim() || BY_EXTENSION[extension] || "";
}

/**
 * A file of a wanted kind and size.
 *
 * @throws {FileProblem}
 */
export function checkFile(
  file: File,
  kind: RegExp,
  kindName: string,
  maxBytes: number,
): void {
  if (!kind.test(typeOf(file))) {
    throw new FileProblem(`“${file.name}” is not ${kindName}.`);
  }
  if (file.size === 0) throw new FileProblem(`“${file.name}” is empty.`);
  if (file.size > maxBytes) {
    throw new FileProblem(
      `“${file.name}” has ${(file.size / 1e6).toFixed(1)} MB; the limit is ${
        Math.floor(maxBytes / 1e6)
      } MB.`,
    );
  }
}

const JPEG_QUALITY = 0.9;

/**
 * A photo as JPEG or PNG of at most `maxBytes`: unchanged if it fits, otherwise scaled down.
 *
 * @throws {FileProblem} when the browser cannot read it.
 */
export async function readyPhoto(file: File, maxBytes: number): Promise<File> {
  const type = typeOf(file);
  const fits = /^image\/(jpeg|png)$/.test(type) && file.size <= maxBytes;
  let picture: ImageBitmap;
  try {
    picture = await createImageBitmap(file);
  } catch (cause) {
    throw new FileProblem(
      `“${file.name}” cannot be opened as a photo. Use a JPEG or PNG.`,
      { cause },
    );
  }
  if (fits) {
    picture.close();
    return type === file.type ? file : new File([file], file.name, { type });
  }
  const scale = Math.min(1, 3000 / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(picture.width * scale);
  canvas.height = Math.round(picture.height * scale);
  canvas.getContext("2d")?.drawImage(
    picture,
    0,
    0,
    canvas.width,
    canvas.height,
  );
  picture.close();
  const blob = await new Promise<Blob | null>((resolve) =>
    canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY)
  );
  if (blob === null || blob.size > maxBytes) {
    throw new FileProblem(`“${file.name}” is too large. Use a smaller photo.`);
  }
  return new File([blob], file.name.replace(/\.\w+$/, ".jpg"), {
    type: "image/jpeg",
  });
}

const WAV_RATE = 16_000;

/** Types that both providers of avatar videos accept unchanged. */
const SPOKEN_BY_ALL = /^audio\/(mpeg|wav)$/;

/**
 * A recording in a form that every provider of avatar videos accepts: MP3 and WAV unchanged, others, such as a
 * browser's recordings, as WAV.
 *
 * @throws {FileProblem} when the browser cannot read it, or it is too long.
 */
export async function readyRecording(
  file: File,
  maxBytes: number,
): Promise<File> {
  if (SPOKEN_BY_ALL.test(typeOf(file)) && file.size <= maxBytes) return file;
  let sound: AudioBuffer;
  try {
    const context = new OfflineAudioContext(1, 1, WAV_RATE);
    sound = await context.decodeAudioData(await file.arrayBuffer());
  } catch (cause) {
    throw new FileProblem(
      `“${file.name}” cannot be opened as a recording. Use MP3 or WAV.`,
      { cause },
    );
  }
  const mixer = new OfflineAudioContext(1, sound.length, sound.sampleRate);
  const source = mixer.createBufferSource();
  source.buffer = sound;
  source.connect(mixer.destination);
  source.start();
  const mono = (await mixer.startRendering()).getChannelData(0);
  const wav = encodeWav(mono, sound.sampleRate);
  if (wav.length > maxBytes) {
    throw new FileProblem(
      `A photo speaks for ${
        Math.floor(maxBytes / (sound.sampleRate * 2) / 60)
      } minutes at most. Use a shorter recording.`,
    );
  }
  return new File([wav], file.name.replace(/\.\w+$/, "") + ".wav", {
    type: "audio/wav",
  });
}
