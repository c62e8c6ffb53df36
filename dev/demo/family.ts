/** The demo's inputs: a recording, a portrait, the photos of a summer, and a letter. */
import {
  INPUT_HEAD_BYTES,
  inputTypeOf,
} from "../../supabase/functions/_shared/media/input-type.ts";
import { StackError } from "../stack/console/stack-error.ts";
import type { AppFile } from "./as-an-app.ts";

/** Public domain; tests/fixtures/README.md names the sources. */
const RECORDING = new URL(
  "../../tests/fixtures/recordings/speech-24s.mp3",
  import.meta.url,
);
const PORTRAIT = new URL(
  "../../tests/fixtures/portraits/face.jpg",
  import.meta.url,
);

/** Read aloud in the cloned voice, and by the portrait. */
export const LETTER =
  "My dear Nora, the lake lay so still this morning that I could not say where the mountains ended and their picture began. " +
  "Your brother rowed, I steered, and neither of us said a word. Come soon. There is room in the boat.";

/** The keepsake's slideshow. */
export const SUMMER = {
  title: "Summer at the Lake",
  description:
    "Four days in August, one of them wet. For Nora, who could not come, and who should know that nobody has sat in her place.",
  slides: [
    {
      picture: "morning",
      caption: "Seven in the morning, before the first boat",
    },
    { picture: "boat", caption: "Paul sails; Grandpa knows better" },
    { picture: "rain", caption: "The day of the cards. Grandma won" },
    { picture: "evening", caption: "The last evening, and no wind at all" },
  ],
} as const;

/** The photo of one slide: a picture of the seed. */
export async function photoOf(
  picture: (typeof SUMMER.slides)[number]["picture"],
): Promise<AppFile> {
  return {
    bucket: "uploads",
    name: `lake-${picture}.jpg`,
    type: "image/jpeg",
    bytes: await Deno.readFile(
      new URL(`../seed/media/attersee-${picture}.jpg`, import.meta.url),
    ),
  };
}

/**
 * The recording at a path, or the repository's own. Throws {@link StackError} when the file is invalid or too large for
 * a voice.
 */
export function readRecording(path: string | undefined): Promise<AppFile> {
  return readFile(path ?? RECORDING, {
    bucket: "voice-samples",
    option: "--recording",
    types: /^audio\//,
    kinds: "mp3, wav, m4a or flac",
    maxBytes: 10_485_760,
  });
}

/**
 * The portrait at a path, or the repository's drawn one. Throws {@link StackError} when the file is invalid or too
 * large.
 */
export function readPortrait(path: string | undefined): Promise<AppFile> {
  return readFile(path ?? PORTRAIT, {
    bucket: "uploads",
    option: "--portrait",
    types: /^image\//,
    kinds: "jpg or png",
    maxBytes: 10_000_000,
  });
}

async function readFile(path: string | URL, wanted: {
  bucket: string;
  option: string;
  types: RegExp;
  kinds: string;
  maxBytes: number;
}): Promise<AppFile> {
  const { option, kinds, maxBytes } = wanted;
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await Deno.readFile(path);
  } catch (cause) {
    throw new StackError(
      `${option} ${path} cannot be read: ${
        cause instanceof Error ? cause.message : cause
      }`,
      { cause },
    );
  }
  const type = inputTypeOf(bytes.subarray(0, INPUT_HEAD_BYTES));
  if (type === null || !wanted.types.test(type.mimeType)) {
    throw new StackError(`${option} ${path} is not a ${kinds} file.`);
  }
  if (bytes.length > maxBytes) {
    throw new StackError(
      `${option} ${path} has ${bytes.length} bytes; at most ${maxBytes} are allowed.`,
    );
  }
  return {
    bucket: wanted.bucket,
    name: `${option.slice(2)}.${type.extension}`,
    type: type.mimeType,
    bytes,
  };
}
