/** Estimates how long a text lasts when it is spoken. */

/** Slow speech, so that estimates err on the long side. */
const CHARACTERS_PER_SECOND = 12;
/** A character of these scripts is a syllable or more, and counts for three. */
const SYLLABLES = /[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]/g;

/**
 * The spoken length of a text in whole seconds, at least one. `private.spoken_seconds` computes the same; a database
 * test compares the two.
 */
export function spokenSeconds(text: string): number {
  const characters = [...text].length +
    2 * (text.match(SYLLABLES)?.length ?? 0);
  return Math.max(1, Math.ceil(characters / CHARACTERS_PER_SECOND));
}
