/** `deno task demo`, run from the command line. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import decode from "@audio/decode";
import { join } from "@std/path";
import { getDocumentProxy } from "unpdf";
import { alive, descendants } from "../_support/processes.ts";
import { runAsWritten, startAsWritten } from "../_support/as-written.ts";
import { repository } from "../_support/documented-commands.ts";

Deno.test("deno task demo: shows every step, exits with 0 and leaves no process behind", async () => {
  const demo = startAsWritten("npx -y deno@2.9.6 task demo", {
    cwd: repository,
    stdout: "piped",
    stderr: "inherit",
  });
  const children = new Set<number>();
  let output = "";
  for await (const text of demo.stdout.pipeThrough(new TextDecoderStream())) {
    output += text;
    for (const { pid } of await descendants(demo.pid)) children.add(pid);
  }
  const { code } = await demo.status;
  assertEquals(code, 0, output);
  assert(children.size > 5, `it has started ${children.size} processes`);
  assertEquals(await alive([...children]), []);

  assertMatch(output, /provider is simulated .* ELEVENLABS_API_KEY/);
  assertMatch(output, /signed up .*@example\.com/);
  assertMatch(output, /uploaded .* speech to voice-samples\//);
  assertMatch(output, /created +job [0-9a-f-]{36}, pending/);
  const progress = [...output.matchAll(/progress .* (\d+) %/g)].map((
    [, percentage],
  ) => Number(percentage));
  // On a slow machine an isolate may use up its processor time: the job is claimed again, and begins at zero.
  const attempts = Number(/"attempt": (\d+)/.exec(output)?.[1]);
  const decreases = progress.filter((one, at) => one < (progress[at - 1] ?? 0));
  assert(decreases.length < attempts, output);
  for (const step of [10, 30, 70, 100]) assert(progress.includes(step), output);

  const [, voiceId] = /completed +voice (\S+), "Ada's narrator"/.exec(output) ??
    [];
  assert(voiceId !== undefined, output);
  assertMatch(output, /"status": "completed"/);
  assertMatch(output, new RegExp(`"voice_id": "${voiceId}"`));
  assertMatch(output, new RegExp(`"id": "${voiceId}"`));
  assertMatch(
    output,
    /private +a second user sees 0 jobs, 0 voices, and gets 404 for this one/,
  );
});

/** The environment of a developer may contain keys; the tests must not pay for anything. */
const noKeys = {
  ELEVENLABS_API_KEY: "",
  DID_API_KEY: "",
  HEYGEN_API_KEY: "",
};

/** The duration that an MP4 states, in seconds: its `mvhd` (ISO/IEC 14496-12, 8.2.2), version 0. */
function filmSeconds(film: Uint8Array): number {
  const at = new TextDecoder("latin1").decode(film).indexOf("mvhd");
  assert(at > 0, "a film has a header");
  const view = new DataView(film.buffer, film.byteOffset + at);
  assertEquals(view.getUint8(4), 0);
  return view.getUint32(20) / view.getUint32(16);
}

Deno.test("deno task demo --all: every job type writes a file that plays, and no process is left", async () => {
  const out = await Deno.makeTempDir({ prefix: "demo-" });
  const demo = startAsWritten(
    `npx -y deno@2.9.6 task demo --all --out '${out}'`,
    { cwd: repository, stdout: "piped", stderr: "inherit", env: noKeys },
  );
  const children = new Set<number>();
  let output = "";
  for await (const text of demo.stdout.pipeThrough(new TextDecoderStream())) {
    output += text;
    for (const { pid } of await descendants(demo.pid)) children.add(pid);
  }
  const { code } = await demo.status;
  assertEquals(code, 0, output);
  assert(children.size > 5, `it has started ${children.size} processes`);
  assertEquals(await alive([...children]), []);

  for (const name of ["ElevenLabs", "D-ID", "HeyGen"]) {
    assertMatch(
      output,
      new RegExp(`${name} +simulated; [A-Z_]+ makes it real`),
    );
  }
  const order = [
    ...output.matchAll(/^ {2}([a-z_]+)(?:, (\S+))? +[\d.]+ s {2}/gm),
  ]
    .map(([, type, provider]) => provider ?? type);
  assertEquals(order.toSorted(), [
    "D-ID",
    "HeyGen",
    "pdf_render",
    "text_to_speech",
    "transcription",
    "voice_clone",
  ]);
  assert(
    order.indexOf("voice_clone") < order.indexOf("text_to_speech") &&
      order.indexOf("text_to_speech") < order.indexOf("D-ID"),
    output,
  );
  assertMatch(output, /paid calls +5\n/);
  assertMatch(output, /rows written +1 voice, 2 avatars, 1 pdf/);

  const files = (await Array.fromAsync(Deno.readDir(out), ({ name }) => name))
    .toSorted();
  assertEquals(files, [
    "call-transcript.json",
    "call-transcript.txt",
    "keepsake.pdf",
    "letter.mp3",
    "talking-portrait-d-id.mp4",
    "talking-portrait-heygen.mp4",
  ]);
  for (const name of files) assertStringIncludes(output, join(out, name));

  const letter = await Deno.readFile(join(out, "letter.mp3"));
  const sound = await decode(letter);
  assert((sound.channelData[0]?.length ?? 0) / sound.sampleRate > 5);
  for (const provider of ["d-id", "heygen"]) {
    const film = await Deno.readFile(
      join(out, `talking-portrait-${provider}.mp4`),
    );
    assertEquals(new TextDecoder().decode(film.subarray(4, 8)), "ftyp");
    assert(filmSeconds(film) > 1);
  }
  const keepsake = await getDocumentProxy(
    await Deno.readFile(join(out, "keepsake.pdf")),
  );
  assertEquals(keepsake.numPages, 8);
  await keepsake.loadingTask.destroy();
  const said = await Deno.readTextFile(join(out, "call-transcript.txt"));
  assertMatch(said, /^\[0:00\] Speaker 0\nAnd Mister John Dashwood .*\n/);
  const words = JSON.parse(
    await Deno.readTextFile(join(out, "call-transcript.json")),
  );
  assertEquals([words.words.length, words.speakers.length], [82, 2]);
  await Deno.remove(out, { recursive: true });
});

/** The demo's message about arguments or keys that it does not accept. */
async function refusal(
  args: string[],
  env: Record<string, string> = {},
): Promise<[code: number, words: string]> {
  const { code, stderr } = await runAsWritten(
    `deno task --quiet demo ${args.join(" ")}`,
    { cwd: repository, env: { ...noKeys, ...env } },
  );
  return [code, stderr];
}

Deno.test("deno task demo: an unknown argument is named, and nothing starts", async () => {
  for (
    const [args, code, words] of [
      [["--everything"], 2, /^Unknown argument --everything\.\n\nUsage: /],
      [["--out", "/tmp"], 2, /^--out requires --all\./],
      [["--all", "--out"], 2, /^--out needs a value\./],
      [
        ["--all", "--portrait", "/nowhere.jpg"],
        1,
        /--portrait \/nowhere\.jpg cannot be read: /,
      ],
      [
        ["--all", "--recording", "deno.json"],
        1,
        /deno\.json is not a mp3, wav, m4a or flac file/,
      ],
      [
        ["--all", "--out", "deno.json"],
        1,
        /--out .*deno\.json cannot be created: /,
      ],
    ] as const
  ) {
    const [answer, said] = await refusal([...args]);
    assertEquals([answer, words.test(said)], [code, true], said);
  }
});

Deno.test("deno task demo --all: a real video provider gets no drawn face", async () => {
  const [code, words] = await refusal(["--all"], { DID_API_KEY: "a-key" });
  assertEquals(code, 1);
  assertMatch(
    words,
    /D-ID would be real and needs the photo of a face: pass one with --portrait FILE, or unset DID_API_KEY\./,
  );
});
