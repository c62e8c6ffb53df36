/** What a photo or recording is, by its own first bytes: its name and the type it was uploaded with may say anything. */

/** A type that providers know, and the ending that they expect with it. */
export interface InputType {
  mimeType: string;
  extension: string;
}

/** How many of the first bytes {@link inputTypeOf} looks at. */
export const INPUT_HEAD_BYTES = 16;

const TYPES: readonly (InputType & { fits: (head: string) => boolean })[] = [
  {
    mimeType: "image/jpeg",
    extension: "jpg",
    fits: (head) => head.startsWith("\xff\xd8\xff"),
  },
  {
    mimeType: "image/png",
    extension: "png",
    fits: (head) => head.startsWith("\x89PNG\r\n\x1a\n"),
  },
  {
    mimeType: "audio/mpeg",
    extension: "mp3",
    // A tag, or the eleven set bits of a frame of layer III.
    fits: (head) => /^(ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb])/.test(head),
  },
  {
    mimeType: "audio/wav",
    extension: "wav",
    fits: (head) => /^RIFF[^]{4}WAVE/.test(head),
  },
  {
    mimeType: "audio/mp4",
    extension: "m4a",
    fits: (head) => head.slice(4, 8) === "ftyp",
  },
  {
    mimeType: "audio/flac",
    extension: "flac",
    fits: (head) => head.startsWith("fLaC"),
  },
];

/** The type of a file by its first {@link INPUT_HEAD_BYTES} bytes; null when it is none that providers are handed. */
export function inputTypeOf(head: Uint8Array): InputType | null {
  const text = String.fromCharCode(...head.subarray(0, INPUT_HEAD_BYTES));
  const found = TYPES.find(({ fits }) => fits(text));
  return found === undefined
    ? null
    : { mimeType: found.mimeType, extension: found.extension };
}
