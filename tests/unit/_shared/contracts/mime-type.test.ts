import { assertEquals, assertMatch } from "@std/assert";
import {
  adviceOnUnknownType,
  canonicalMimeType,
  MIME_TYPE_SYNONYMS,
} from "../../../../supabase/functions/_shared/contracts/mime-type.ts";

Deno.test("canonicalMimeType: the types that browsers and phones report become one name per format", () => {
  for (
    const [given, canonical] of [
      ["audio/webm;codecs=opus", "audio/webm"],
      ["audio/mp4;codecs=mp4a.40.2", "audio/mp4"],
      ["audio/ogg; codecs=opus", "audio/ogg"],
      ['video/webm; codecs="vp8, opus"', "video/webm"],
      [" Audio/X-WAV ", "audio/wav"],
      ["audio/vnd.wave; codec=1", "audio/wav"],
      ["audio/opus", "audio/ogg"],
      ["audio/x-m4a", "audio/mp4"],
      ["audio/mp3", "audio/mpeg"],
      ["image/jpg", "image/jpeg"],
      ["audio/3gpp", "audio/3gpp"],
      ["video/quicktime", "video/quicktime"],
      ["text/x-unheard-of", "text/x-unheard-of"],
      ["", ""],
      [";codecs=opus", ""],
    ] as const
  ) assertEquals(canonicalMimeType(given), canonical, given);
});

Deno.test("canonicalMimeType: no canonical name is a synonym of another, and each synonym is listed once", () => {
  const synonyms = Object.values(MIME_TYPE_SYNONYMS).flat();
  assertEquals(new Set(synonyms).size, synonyms.length);
  for (const [canonical, names] of Object.entries(MIME_TYPE_SYNONYMS)) {
    assertEquals(canonicalMimeType(canonical), canonical);
    for (const name of names) assertEquals(canonicalMimeType(name), canonical);
  }
});

Deno.test("adviceOnUnknownType: a file without a type gets one that its name suggests and the bucket accepts", () => {
  const accepted = ["audio/mp4", "audio/webm", "image/jpeg"];
  for (const given of ["", "application/octet-stream", "Binary/Octet-Stream"]) {
    const advice = (name: string) =>
      adviceOnUnknownType(given, name, accepted) ?? "";
    assertMatch(advice("memo.M4A"), /Send audio\/mp4 /);
    assertMatch(advice("photo.jpeg"), /Send image\/jpeg /);
    assertMatch(advice("memo.webm"), /Send audio\/webm /);
    assertMatch(advice("memo.mp4"), /Send audio\/mp4 /);
    for (const name of ["blob", "film.mov", "book.pdf"]) {
      assertMatch(advice(name), /one of audio\/mp4, audio\/webm, image\/jpeg$/);
    }
  }
  assertEquals(adviceOnUnknownType("audio/midi", "song.mid", accepted), null);
});
