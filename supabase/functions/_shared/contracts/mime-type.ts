/** Content types: one canonical name for each format, independent of the name that a browser or phone uses. */

/**
 * Other names of the formats that this project accepts, by their canonical name. `private.canonical_mime_type` has the
 * same list; a database test compares the two.
 */
export const MIME_TYPE_SYNONYMS: Readonly<Record<string, readonly string[]>> = {
  "audio/mpeg": [
    "audio/mp3",
    "audio/mpeg3",
    "audio/mpg",
    "audio/mpga",
    "audio/x-mp3",
    "audio/x-mpeg",
    "audio/x-mpeg-3",
  ],
  "audio/wav": [
    "audio/vnd.wave",
    "audio/wave",
    "audio/x-pn-wav",
    "audio/x-wav",
  ],
  "audio/mp4": [
    "audio/m4a",
    "audio/mp4a-latm",
    "audio/x-m4a",
    "audio/x-mp4",
  ],
  "audio/aac": [
    "audio/aacp",
    "audio/vnd.dlna.adts",
    "audio/x-aac",
    "audio/x-hx-aac-adts",
  ],
  // Firefox calls an .ogg file a video.
  "audio/ogg": [
    "application/ogg",
    "audio/opus",
    "audio/vorbis",
    "audio/x-ogg",
    "video/ogg",
  ],
  "audio/flac": ["audio/x-flac"],
  "audio/aiff": ["audio/x-aiff"],
  "audio/3gpp": ["audio/3gp", "audio/3gpp2"],
  "audio/amr": ["audio/amr-wb", "audio/x-amr"],
  "video/mp4": ["video/x-m4v"],
  "video/3gpp": ["video/3gp", "video/3gpp2"],
  "image/jpeg": ["image/jpg", "image/pjpeg"],
  "image/png": ["image/x-png"],
  "application/pdf": ["application/x-pdf"],
};

const CANONICAL: ReadonlyMap<string, string> = new Map(
  Object.entries(MIME_TYPE_SYNONYMS).flatMap(([canonical, synonyms]) =>
    synonyms.map((synonym): [string, string] => [synonym, canonical])
  ),
);

/**
 * The canonical name of a content type (RFC 9110, 8.3.1): lower case, without parameters (`;codecs=opus`), synonyms
 * replaced. A type that is not known here keeps its own name; an empty text stays empty.
 */
export function canonicalMimeType(contentType: string): string {
  const [type = ""] = contentType.split(";", 1);
  const name = type.trim().toLowerCase();
  return CANONICAL.get(name) ?? name;
}

/** What browsers and phones report for a file of unknown type. */
const UNKNOWN_TYPES: readonly string[] = [
  "",
  "application/octet-stream",
  "binary/octet-stream",
];

/** The usual type first. */
const TYPES_BY_EXTENSION: ReadonlyMap<string, readonly string[]> = new Map([
  ["mp3", ["audio/mpeg"]],
  ["wav", ["audio/wav"]],
  ["m4a", ["audio/mp4"]],
  ["aac", ["audio/aac"]],
  ["ogg", ["audio/ogg"]],
  ["oga", ["audio/ogg"]],
  ["opus", ["audio/ogg"]],
  ["weba", ["audio/webm"]],
  ["flac", ["audio/flac"]],
  ["aif", ["audio/aiff"]],
  ["aiff", ["audio/aiff"]],
  ["amr", ["audio/amr"]],
  ["webm", ["video/webm", "audio/webm"]],
  ["mp4", ["video/mp4", "audio/mp4"]],
  ["m4v", ["video/mp4"]],
  ["mov", ["video/quicktime"]],
  ["3gp", ["video/3gpp", "audio/3gpp"]],
  ["jpg", ["image/jpeg"]],
  ["jpeg", ["image/jpeg"]],
  ["png", ["image/png"]],
  ["webp", ["image/webp"]],
  ["pdf", ["application/pdf"]],
]);

/**
 * Advice for the app's developer about a file without a usable type; null when `contentType` identifies the file. The
 * advised type is one of `accepted`.
 */
export function adviceOnUnknownType(
  contentType: string,
  fileName: string,
  accepted: readonly string[],
): string | null {
  if (!UNKNOWN_TYPES.includes(canonicalMimeType(contentType))) return null;
  const [, extension = ""] = /\.([A-Za-z0-9]+)$/.exec(fileName) ?? [];
  const types = TYPES_BY_EXTENSION.get(extension.toLowerCase()) ?? [];
  const type = types.find((name) => accepted.includes(name));
  if (type === undefined) {
    return `does not say what the file is; it must be one of ${
      accepted.join(", ")
    }`;
  }
  return `does not say what the file is; browsers leave file.type empty when they do not know. ` +
    `Send ${type} for this file, and upload it with that type: new File([file], file.name, { type: "${type}" })`;
}
