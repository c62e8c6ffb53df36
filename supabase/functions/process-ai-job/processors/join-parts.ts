/** Joins MP3 files into one. */
import { Mp3Error, Mp3Frames } from "../../_shared/media/mp3-frames.ts";

/**
 * Streams the frames of one file after another. A file is opened only when the one before it has been read to its end.
 *
 * @returns the joined file, and the length of what has been read of it so far. The stream fails with an
 *   {@link Mp3Error} when the files differ in sample rate or channels.
 */
export function joinParts(
  opens: readonly (() => Promise<ReadableStream<Uint8Array>>)[],
): {
  body: ReadableStream<Uint8Array>;
  state: { seconds: number };
} {
  const state = { seconds: 0 };
  let format: string | undefined;
  async function* frames() {
    for (const open of opens) {
      const part = new Mp3Frames();
      for await (const chunk of await open()) {
        const sound = part.add(chunk);
        if (sound.length > 0) yield sound;
      }
      part.end();
      const { sampleRate, channels } = part.format ?? {};
      format ??= `${sampleRate} Hz, ${channels} channels`;
      if (format !== `${sampleRate} Hz, ${channels} channels`) {
        throw new Mp3Error(
          "a part has a different sample rate or number of channels",
        );
      }
      state.seconds += part.seconds;
    }
  }
  return { body: ReadableStream.from(frames()), state };
}
