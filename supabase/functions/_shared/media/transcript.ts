/** What was said in a recording: by whom, and when; and as subtitles. */

/** A word as it was heard, or a sound between the words. Times are seconds from the beginning. */
export interface HeardWord {
  text: string;
  start: number;
  end: number;
  type: "word" | "spacing" | "audio_event";
  speaker: string | null;
}

/** What one speaker says without a pause worth a break. Times are seconds. */
export interface Segment {
  speaker: string | null;
  start: number;
  end: number;
  text: string;
}

/** A longer silence begins a new segment, also of the same speaker. */
const PAUSE_SECONDS = 1.5;
/** Two lines of a subtitle. */
const MAX_CUE_CHARACTERS = 84;
const MAX_CUE_SECONDS = 7;

/** The words as segments: a new one with each change of the speaker and after each pause. */
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
 * SubRip subtitles. Each cue is one speaker's, has two lines' worth of text and lasts some seconds at most, a single
 * longer word aside; with more than one speaker it begins with the speaker's name.
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

/** Joins words until `isBreak` says that the next one begins something new. Spacing never does. */
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
