/** Files that users choose, in the form in which they are sent. */

import { FileProblem, typeOf } from "./file-checks.ts";
import { encodeWav } from "./wav.ts";

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
