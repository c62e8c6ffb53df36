/** Turns a transcript into segments by speaker, with times, and into subtitles. */

/** A recognized word, or a sound between words. Times are seconds from the beginning. */
export interface HeardWord {
  text: string;
  start: number;
  end: number;
  type: "word" | "spacing" | "audio_event";
  speaker: string | null;
}

/** What one speaker says without a longer pause. Times are seconds from the beginning. */
export interface Segment {
  speaker: string | null;
  start: number;
  end: number;
  text: string;
}

/** A longer silence begins a new segment, even when the speaker stays the same. */
const PAUSE_SECONDS = 1.5;
/** Two lines of a subtitle. */
const MAX_CUE_CHARACTERS = 84;
const MAX_CUE_SECONDS = 7;

/** Groups words into segments; a new one begins at each change of speaker and after each pause. */
export function toSegments(words: readonly HeardWord[]): Segment[] {
  return group(words, (segment, word) =>
    segment.speaker !== word.speaker ||
    word.start - segment.end > PAUSE_SECONDS);
}

/** The names of the speakers in the order in which they first speak. */
export function speakersOf(words: readonly HeardWord[]): string[] {
  return [
    ...new Set(
      words.flatMap(({ speaker }) => speaker === null ? [] : [speaker]),
    ),
  ];
}

/**
 * SubRip subtitles. Each cue has one speaker, at most two lines of text and a limited duration, except that a single word
 * may be longer. With more than one speaker, each cue begins with the speaker's name.
 */
export function toSrt(words: readonly HeardWord[]): string {
  const cues = group(words, (cue, word) =>
    cue.speaker !== word.speaker ||
    word.start - cue.end > PAUSE_SECONDS ||
    cue.text.length + word.text.length > MAX_CUE_CHARACTERS ||
    word.end - cue.start > MAX_CUE_SECONDS);
  const isNamed = speakersOf(words).length > 1;
  return cues.map(({ speaker, start, end, text }, index) =>
    `${index + 1}\n${srtTime(start)} --> ${srtTime(end)}\n${
      isNamed && speaker !== null ? `${speaker}: ` : ""
    }${text}\n`
  ).join("\n");
}

/** Joins words until `isBreak` returns true for the next one. Spacing never begins a group. */
function group(
  words: readonly HeardWord[],
  isBreak: (current: Segment, next: HeardWord) => boolean,
): Segment[] {
  const groups: Segment[] = [];
  let current: Segment | undefined;
  for (const word of words) {
    if (word.type === "spacing") {
      if (current !== undefined) current.text += word.text;
      continue;
    }
    if (current === undefined || isBreak(current, word)) {
      current = {
        speaker: word.speaker,
        start: word.start,
        end: word.end,
        text: word.text,
      };
      groups.push(current);
    } else {
      current.text += word.text;
      current.end = Math.max(current.end, word.end);
    }
  }
  return groups.map((one) => ({
    ...one,
    text: one.text.replace(/\s+/g, " ").trim(),
  })).filter(({ text }) => text !== "");
}

/** `hh:mm:ss,mmm` */
function srtTime(seconds: number): string {
  const ms = Math.max(0, Math.round(seconds * 1000));
  const two = (value: number) => String(value).padStart(2, "0");
  return `${two(Math.floor(ms / 3_600_000))}:${
    two(Math.floor(ms / 60_000) % 60)
  }:${two(Math.floor(ms / 1000) % 60)},${String(ms % 1000).padStart(3, "0")}`;
}
