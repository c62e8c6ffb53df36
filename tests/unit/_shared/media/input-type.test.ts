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
    ["recordings/speech.ogg", null],
    ["recordings/speech.webm", null],
    ["recordings/empty.mp3", null],
    ["recordings/text-named.mp3", null],
    ["recordings/image.png-named.wav", "image/png"],
  ] as const
) {
  Deno.test(`inputTypeOf: ${file} is ${mimeType ?? "nothing to hand over"}, by its bytes`, () => {
    const bytes = Deno.readFileSync(new URL(file, FIXTURES));
    assertEquals(inputTypeOf(bytes)?.mimeType ?? null, mimeType);
  });
}
