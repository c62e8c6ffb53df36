/** Detects the type of a photo or recording from its first bytes; its name and declared content type are not trusted. */

/** A content type that providers accept, and the file extension that they expect for it. */
export interface InputType {
  mimeType: string;
  extension: string;
}

/** How many leading bytes {@link inputTypeOf} reads. */
export const INPUT_HEAD_BYTES = 64;

/** Brands of ISO media files that hold pictures (ISO/IEC 23008-12, AVIF). */
const PICTURE_BRANDS =
  /^....ftyp(heic|heix|hevc|hevx|heim|heis|mif1|msf1|avif|avis)/s;

/** The first match wins. */
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
    mimeType: "image/webp",
    extension: "webp",
    fits: (head) => /^RIFF[^]{4}WEBP/.test(head),
  },
  {
    mimeType: "audio/mpeg",
    extension: "mp3",
    // A tag, or the eleven set bits of a frame of layer III.
    fits: (head) => /^(ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb])/.test(head),
  },
  {
    mimeType: "audio/aac",
    extension: "aac",
    // ADTS: the same bits, and a layer of zero.
    fits: (head) => /^\xff[\xf0\xf1\xf8\xf9]/.test(head),
  },
  {
    mimeType: "audio/wav",
    extension: "wav",
    fits: (head) => /^(RIFF|RF64|BW64)[^]{4}WAVE/.test(head),
  },
  {
    mimeType: "audio/aiff",
    extension: "aiff",
    fits: (head) => /^FORM[^]{4}AIF[FC]/.test(head),
  },
  {
    mimeType: "audio/flac",
    extension: "flac",
    fits: (head) => head.startsWith("fLaC"),
  },
  {
    mimeType: "audio/ogg",
    extension: "ogg",
    fits: (head) => head.startsWith("OggS"),
  },
  {
    mimeType: "audio/webm",
    extension: "webm",
    // EBML (RFC 8794), whose DocType, element 0x4282, distinguishes WebM from other Matroska.
    fits: (head) =>
      head.startsWith("\x1a\x45\xdf\xa3") && /\x42\x82[^]{1,8}webm/.test(head),
  },
  {
    mimeType: "audio/amr",
    extension: "amr",
    fits: (head) => /^#!AMR(-WB)?\n/.test(head),
  },
  {
    mimeType: "video/quicktime",
    extension: "mov",
    // Old files do not begin with an ftyp box.
    fits: (head) => /^[^]{4}(ftypqt {2}|moov|mdat|wide|free|skip)/.test(head),
  },
  {
    mimeType: "audio/3gpp",
    extension: "3gp",
    fits: (head) => /^[^]{4}ftyp3g/.test(head),
  },
  {
    mimeType: "audio/mp4",
    extension: "m4a",
    fits: (head) => head.slice(4, 8) === "ftyp" && !PICTURE_BRANDS.test(head),
  },
  {
    mimeType: "application/pdf",
    extension: "pdf",
    fits: (head) => head.startsWith("%PDF-"),
  },
];

/**
 * The type of a file, from its first {@link INPUT_HEAD_BYTES} bytes; null for a type that this project does not accept.
 * Audio and video look alike in MP4, WebM, Ogg and 3GPP, so all of these are reported as audio.
 */
export function inputTypeOf(head: Uint8Array): InputType | null {
  const text = String.fromCharCode(...head.subarray(0, INPUT_HEAD_BYTES));
  const found = TYPES.find(({ fits }) => fits(text));
  return found === undefined
    ? null
    : { mimeType: found.mimeType, extension: found.extension };
}
