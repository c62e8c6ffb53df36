import { assertEquals, assertRejects } from "@std/assert";
import { checkFile, takeFiles } from "../../../web/demo/file-checks.ts";

const file = (name: string, type: string, bytes = 1) =>
  new File([new Uint8Array(bytes)], name, { type });
const note = file("note.txt", "text/plain");
const voice = file("voice.mp3", "audio/mpeg");
const large = file("large.mp3", "audio/mpeg", 3_000_001);
const ready = (one: File) => checkFile(one, /^audio/, "a recording", 3e6);

async function take(files: readonly File[], isMany: boolean) {
  const taken: string[] = [];
  const problem = await takeFiles(
    files,
    isMany,
    ready,
    ({ name }) => taken.push(name),
  );
  return { taken, problem };
}

Deno.test("page files: every unusable chosen file is named, and the usable ones are accepted in order", async () => {
  assertEquals(await take([note, voice, large, voice], true), {
    taken: ["voice.mp3", "voice.mp3"],
    problem:
      "“note.txt” is not a recording. “large.mp3” has 3.0 MB; the limit is 3 MB.",
  });
  assertEquals(await take([voice], true), {
    taken: ["voice.mp3"],
    problem: null,
  });
});

Deno.test("page files: for a single file the first usable one is accepted; others are reported only without it", async () => {
  assertEquals(await take([note, voice, large, voice], false), {
    taken: ["voice.mp3"],
    problem: null,
  });
  assertEquals(await take([note, file("empty.mp3", "audio/mpeg", 0)], false), {
    taken: [],
    problem: "“note.txt” is not a recording. “empty.mp3” is empty.",
  });
});

Deno.test("page files: an error that does not concern a file is thrown", async () => {
  await assertRejects(
    () =>
      takeFiles(
        [voice],
        true,
        () => Promise.reject(new TypeError("x")),
        () => {},
      ),
    TypeError,
  );
});
