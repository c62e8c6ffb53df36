/** The speech of the simulated providers: a recording of a reader. */

/** Reading speed. */
const CHARACTERS_PER_SECOND = 15;
/** Duration of the stored recording. */
const RECORDED_SECONDS = 6;
let recorded: Promise<Uint8Array<ArrayBuffer>> | undefined;

/**
 * Speech for a text, as a playable MP3 as long as reading the text takes: the recording, repeated, at least once. It
 * begins with a tag and an Info frame, like ElevenLabs' files; these state the length of one repetition.
 */
export async function spokenSound(
  text: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const one = await (recorded ??= Deno.readFile(
    new URL("./media/spoken.mp3", import.meta.url),
  ));
  const rounds = Math.max(
    1,
    Math.round([...text].length / CHARACTERS_PER_SECOND / RECORDED_SECONDS),
  );
  // Later repetitions must not include the tag and Info frame.
  const sound = one.subarray(soundBegin(one));
  const file = new Uint8Array(one.length + (rounds - 1) * sound.length);
  file.set(one);
  for (let round = 1; round < rounds; round++) {
    file.set(sound, one.length + (round - 1) * sound.length);
  }
  return file;
}

/** Offset of the second frame of the recording; the first one has no sound. 128 kbit/s at 44.1 kHz. */
function soundBegin(file: Uint8Array): number {
  const FRAME_BYTES = 417;
  let at = 10;
  for (const [index, byte] of file.subarray(6, 10).entries()) {
    at += byte << (7 * (3 - index));
  }
  const padding = ((file[at + 2] ?? 0) >> 1) & 1;
  return at + FRAME_BYTES + padding;
}
