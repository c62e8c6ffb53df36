/** How the simulated providers speak: a person who reads. */

/** Somebody reads this fast. */
const CHARACTERS_PER_SECOND = 15;
/** Of the kept recording. */
const RECORDED_SECONDS = 6;
let recorded: Promise<Uint8Array<ArrayBuffer>> | undefined;

/**
 * A text spoken, as a playable MP3 that lasts as long as the text takes to read: real speech over and over, never less
 * than once. It begins with a tag and an Info frame, as ElevenLabs' files do; those promise the length of one round.
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
  // Tag and Info frame of the later rounds must not stand in the middle.
  const sound = one.subarray(soundBegin(one));
  const file = new Uint8Array(one.length + (rounds - 1) * sound.length);
  file.set(one);
  for (let round = 1; round < rounds; round++) {
    file.set(sound, one.length + (round - 1) * sound.length);
  }
  return file;
}

/** Where the second frame of the kept file begins; the first one holds no sound. 128 kbit/s at 44.1 kHz. */
function soundBegin(file: Uint8Array): number {
  const FRAME_BYTES = 417;
  let at = 10;
  for (const [index, byte] of file.subarray(6, 10).entries()) {
    at += byte << (7 * (3 - index));
  }
  const padding = ((file[at + 2] ?? 0) >> 1) & 1;
  return at + FRAME_BYTES + padding;
}
