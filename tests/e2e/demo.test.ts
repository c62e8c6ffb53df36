/** `deno task demo`, as a person runs it. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { alive, descendants } from "../helpers/processes.ts";
import { startTask } from "./as-an-app.ts";

Deno.test("deno task demo: shows the whole way, exits 0 and leaves no process behind", async () => {
  const demo = startTask(["demo"], { stdout: "piped" });
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
  assertEquals(
    progress,
    progress.toSorted((a, b) => a - b),
    "it never goes back",
  );
  for (const step of [10, 30, 70, 100]) assert(progress.includes(step), output);

  const [, voiceId] = /completed +voice (\S+), "Ada's narrator"/.exec(output) ??
    [];
  assert(voiceId !== undefined, output);
  assertMatch(output, /"status": "completed"/);
  assertMatch(output, new RegExp(`"voice_id": "${voiceId}"`));
  assertMatch(output, new RegExp(`"provider_voice_id": "${voiceId}"`));
  assertMatch(
    output,
    /private +a second user sees 0 jobs, 0 voices, and gets 404 for this one/,
  );
});
