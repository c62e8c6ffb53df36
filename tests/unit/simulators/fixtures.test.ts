import { assert, assertEquals } from "@std/assert";
import { z } from "zod";
import { namedError } from "../../../dev/simulators/elevenlabs/errors.ts";
import { decodedSeconds } from "../../../dev/simulators/sound.ts";
import { historyPageSchema } from "../../../supabase/functions/_shared/providers/elevenlabs/history.ts";
import { transcriptSchema } from "../../../supabase/functions/_shared/providers/elevenlabs/transcripts.ts";
import {
  audioFile,
  elevenLabs,
  ONE_TRY,
  recording,
  running,
} from "../_support/running-simulators.ts";

const FIXTURES = new URL("../../fixtures/elevenlabs/", import.meta.url);

const fixtureSchema = z.strictObject({ status: z.int(), body: z.json() });
const REQUEST_ID = "8fa2f408a94988fe95c089bcd8033244";

function fixture(name: string): z.output<typeof fixtureSchema> {
  return fixtureSchema.parse(
    JSON.parse(Deno.readTextFileSync(new URL(name, FIXTURES))),
  );
}

/** The shape of a JSON value: its keys at every depth, without the values. Null fits any value. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shape);
  if (typeof value !== "object" || value === null) return "value";
  return Object.fromEntries(
    Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1)
      .map(([key, member]) => [key, shape(member)]),
  );
}

for (
  const [name, seconds] of [
    ["speech-24s.mp3", 24.73],
    ["speech-12s.wav", 12],
    ["speech.m4a", 12],
    ["speech.ogg", 12],
    ["speech.webm", 12],
    ["truncated.mp3", 0.08],
    ["truncated.wav", 0.25],
  ] as const
) {
  Deno.test(`decodedSeconds: ${name} decodes to ${seconds} s`, async () => {
    const got = await decodedSeconds(recording(name)) ?? 0;
    assertEquals(Math.round(got * 100) / 100, seconds);
  });
}

for (
  const name of [
    "empty.mp3",
    "text-named.mp3",
    "image.png-named.wav",
    "truncated-header.wav",
  ]
) {
  Deno.test(`decodedSeconds: ${name} decodes to nothing`, async () => {
    assertEquals(await decodedSeconds(recording(name)), null);
  });
}

Deno.test("recordings: the upload of the demo is small and long enough", () => {
  assert(recording("speech-24s.mp3").length < 200_000);
});

const files = [...Deno.readDirSync(FIXTURES)].map(({ name }) => name).sort();

for (const file of files) {
  const parts = /^error-(.+)\.(old|new)\.json$/.exec(file);
  if (parts === null) continue;
  Deno.test(`fixture ${file}: is exactly what the simulator sends`, () => {
    const { status, body } = fixture(file);
    const name = (parts[1] ?? "").replaceAll("-plus", "+").replaceAll("-", "_");
    const sent = namedError(
      name,
      parts[2] === "old" ? "old" : "new",
      REQUEST_ID,
    );
    assertEquals(sent, { status, body });
  });
}

Deno.test("fixture error-validation.json: is exactly what the simulator sends", () => {
  assertEquals(
    namedError("validation_error", "new", REQUEST_ID),
    fixture("error-validation.json"),
  );
});

Deno.test("fixtures: every answer of the simulator has the keys of its fixture", async () => {
  await using simulators = await running();
  const client = elevenLabs(simulators);
  const added = await client.voices.add({
    name: "Grandma",
    labels: JSON.stringify({ language: "en", job_id: "x" }),
    files: [audioFile()],
  }, ONE_TRY);
  const { voice_id } = added;
  const personal = { voice_type: "personal" };
  for (
    const [file, answer] of [
      ["voice-added.json", added],
      ["voice.json", await client.voices.get(voice_id, {}, ONE_TRY)],
      ["voices-page.json", await client.voices.search(personal, ONE_TRY)],
      [
        "voices-page-empty.json",
        await client.voices.search({ search: "nobody" }, ONE_TRY),
      ],
      [
        "voice-settings.json",
        await client.voices.getSettings(voice_id, ONE_TRY),
      ],
      ["subscription.json", await client.user.getSubscription(ONE_TRY)],
      ["voice-deleted.json", await client.voices.delete(voice_id, ONE_TRY)],
    ] as const
  ) {
    assertEquals(shape(answer), shape(fixture(file).body), file);
  }
});

Deno.test("fixtures: speech, history and transcripts have the keys of their fixtures; the product reads both", async () => {
  await using simulators = await running();
  const call = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`${simulators.url}/elevenlabs${path}`, {
      ...init,
      headers: { "xi-api-key": "sk_test_1234" },
    });
    assert(response.ok || response.status === 404);
    return response;
  };
  const history = "/v1/history?source=TTS&voice_id=pNInz6obpgDQGcFmaJgB";
  const empty: unknown = await (await call(history)).json();
  const spoken = await call("/v1/text-to-speech/pNInz6obpgDQGcFmaJgB", {
    method: "POST",
    body: JSON.stringify({ text: "Good evening." }),
  });
  const sound = new Uint8Array(await spoken.arrayBuffer());
  assertEquals(Math.round(await decodedSeconds(sound) ?? 0), 6);
  const page = historyPageSchema.parse(await (await call(history)).json());
  const [item] = page.history;
  assertEquals(item?.request_id, spoken.headers.get("request-id"));
  const again = await call(`/v1/history/${item?.history_item_id}/audio`);
  assertEquals(new Uint8Array(await again.arrayBuffer()), sound);

  const form = new FormData();
  form.set("model_id", "scribe_v2");
  form.set("diarize", "true");
  form.set("file", audioFile());
  const made: unknown = await (await call("/v1/speech-to-text", {
    method: "POST",
    body: form,
  })).json();
  const { transcription_id } = transcriptSchema.parse(made);
  const route = `/v1/speech-to-text/transcripts/${transcription_id}`;
  assertEquals(await (await call(route)).json(), made);
  await (await call(route, { method: "DELETE" })).body?.cancel();
  const gone = await call(route);
  assertEquals(
    { status: gone.status, body: await gone.json() },
    fixture("error-transcript-not-found.json"),
  );

  const full: unknown = await (await call(history)).json();
  for (
    const [file, answer, schema] of [
      ["history-page-empty.json", empty, historyPageSchema],
      ["history-page.json", full, historyPageSchema],
      ["transcript.json", made, transcriptSchema],
    ] as const
  ) {
    assertEquals(shape(answer), shape(fixture(file).body), file);
    assert(schema.safeParse(fixture(file).body).success, file);
  }
});

Deno.test("speech: longer texts have longer speech, complete to the last frame", async () => {
  await using simulators = await running();
  for (
    const [characters, seconds] of [[100, 6], [180, 12], [900, 60]] as const
  ) {
    const response = await fetch(
      `${simulators.url}/elevenlabs/v1/text-to-speech/pNInz6obpgDQGcFmaJgB`,
      {
        method: "POST",
        headers: { "xi-api-key": "sk_test_1234" },
        body: JSON.stringify({ text: "x".repeat(characters) }),
      },
    );
    const heard = await decodedSeconds(
      new Uint8Array(await response.arrayBuffer()),
    );
    assertEquals(Math.round(heard ?? 0), seconds);
  }
});
