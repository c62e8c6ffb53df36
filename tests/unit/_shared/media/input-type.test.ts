import { assertEquals } from "@std/assert";
import { inputTypeOf } from "../../../../supabase/functions/_shared/media/input-type.ts";

const FIXTURES = new URL("../../../fixtures/", import.meta.url);

for (
  const [file, mimeType] of [
    ["portraits/face.jpg", "image/jpeg"],
    ["portraits/face.png", "image/png"],
    ["recordings/speech-24s.mp3", "audio/mpeg"],
    ["recordings/speech-12s.wav", "audio/wav"],
    ["recordings/speech.m4a", "audio/mp4"],
    ["recordings/speech-3s.3gp", "audio/3gpp"],
    ["recordings/speech-3s.mov", "video/quicktime"],
    ["recordings/speech-3s.aac", "audio/aac"],
    ["recordings/speech-3s.flac", "audio/flac"],
    ["recordings/speech-1s.aiff", "audio/aiff"],
    ["recordings/speech.ogg", "audio/ogg"],
    ["recordings/speech.webm", "audio/webm"],
    ["photos/photo.webp", "image/webp"],
    ["recordings/empty.mp3", null],
    ["recordings/text-named.mp3", null],
    ["recordings/image.png-named.wav", "image/png"],
  ] as const
) {
  Deno.test(`inputTypeOf: ${file} is ${mimeType ?? "of no accepted type"}, by its bytes`, () => {
    const bytes = Deno.readFileSync(new URL(file, FIXTURES));
    assertEquals(inputTypeOf(bytes)?.mimeType ?? null, mimeType);
  });
}

const bytesOf = (text: string) =>
  Uint8Array.from(text, (letter) => letter.charCodeAt(0));

for (
  const [name, head, mimeType] of [
    ["an AMR recording", "#!AMR\n\x3c", "audio/amr"],
    ["a wide-band AMR recording", "#!AMR-WB\n\x04", "audio/amr"],
    [
      "a WAV file of more than 4 GiB",
      "RF64\xff\xff\xff\xffWAVEds64",
      "audio/wav",
    ],
    ["a PDF", "%PDF-1.7\n", "application/pdf"],
    ["an iPhone's photo", "\0\0\0\x24ftypheic\0\0\0\0mif1heic", null],
    ["an AVIF picture", "\0\0\0\x20ftypavif\0\0\0\0avifmif1", null],
    [
      "a film from Chrome that is not WebM",
      "\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x23\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x88matroska\x42\x87\x81\x04",
      null,
    ],
    [
      "a film without a first box with its brand",
      "\0\0\0\x08wide\0\0\0\0mdat",
      "video/quicktime",
    ],
  ] as const
) {
  Deno.test(`inputTypeOf: ${name} is ${mimeType ?? "of no accepted type"}`, () => {
    assertEquals(inputTypeOf(bytesOf(head))?.mimeType ?? null, mimeType);
  });
}
