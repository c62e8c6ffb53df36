import { assert, assertEquals, assertRejects } from "@std/assert";
import decode from "@audio/decode";
import { startSimulators } from "../../../../../dev/simulators/server.ts";
import { ProviderFailure } from "../../../../../supabase/functions/_shared/failures/provider-failure.ts";
import {
  createElevenLabsSpeech,
  type SpeechRequest,
} from "../../../../../supabase/functions/_shared/providers/elevenlabs/speech.ts";

const ADAM = "pNInz6obpgDQGcFmaJgB";
const never = new AbortController().signal;
const LONG_AGO = new Date(Date.now() - 3_600_000);

function request(values: Partial<SpeechRequest> = {}): SpeechRequest {
  return {
    text: `Good evening. ${crypto.randomUUID()}`,
    providerVoiceId: ADAM,
    model: "eleven_multilingual_v2",
    outputFormat: "mp3_44100_128",
    voiceSettings: { stability: 0.4, use_speaker_boost: true },
    ...values,
  };
}

/** The provider as a real HTTP server, and our client for it. */
async function provider(
  options: { timeoutSeconds?: number; apiKey?: string } = {},
) {
  const simulators = await startSimulators();
  const [elevenLabs] = simulators.providers;
  return {
    simulators,
    speech: createElevenLabsSpeech({
      apiKey: options.apiKey ?? "sk_test_key_1234",
      baseUrl: `${simulators.url}/elevenlabs/`,
      timeoutSeconds: options.timeoutSeconds ?? 60,
      fetch,
    }),
    paid: () => simulators.ledger.list({ operation: "speech" }),
    fail: (fault: Record<string, unknown>, operation = "speech") => {
      simulators.faults.add({ provider: "elevenlabs", operation, fault });
    },
    set: (settings: Record<string, unknown>) =>
      elevenLabs?.changeSettings(settings),
    [Symbol.asyncDispose]: () => simulators.stop(),
  };
}

async function failureOf(work: Promise<unknown>): Promise<ProviderFailure> {
  return await assertRejects(() => work, ProviderFailure);
}

async function drop(
  audio: ReadableStream<Uint8Array>,
): Promise<Uint8Array<ArrayBuffer>> {
  return await new Response(audio).bytes();
}

Deno.test("createElevenLabsSpeech: speaks a text with the requested parameters", async () => {
  await using at = await provider();
  const speechRequest = request({
    model: "eleven_flash_v2_5",
    seed: 7,
    languageCode: "en",
    previousText: "Before.",
    nextText: "After.",
  });
  const spoken = await at.speech.speak(speechRequest, never);
  const { channelData, sampleRate } = await decode(await drop(spoken.audio));
  assert((channelData[0]?.length ?? 0) / sampleRate > 5, "it is playable");
  const [entry, ...more] = at.paid();
  assertEquals(more, []);
  assertEquals(entry?.id, spoken.id);
  assertEquals(entry?.request, {
    text: speechRequest.text,
    characters: speechRequest.text.length,
    voice_id: ADAM,
    model_id: "eleven_flash_v2_5",
    output_format: "mp3_44100_128",
    voice_settings: { stability: 0.4, use_speaker_boost: true },
    seed: 7,
    language_code: "en",
    previous_text: "Before.",
    next_text: "After.",
  });
});

for (
  const { headers, characters } of [
    { headers: { "character-cost": "37" }, characters: 37 },
    { headers: { "x-character-count": "38" }, characters: 38 },
    {
      headers: { "character-cost": "37", "x-character-count": "38" },
      characters: 37,
    },
    { headers: { "character-cost": "0" }, characters: 0 },
    { headers: { "character-cost": "-1" }, characters: undefined },
    { headers: { "character-cost": "1e99" }, characters: undefined },
    { headers: { "character-cost": "3.5" }, characters: undefined },
    { headers: { "character-cost": "" }, characters: undefined },
    { headers: {}, characters: undefined },
  ]
) {
  Deno.test(
    `createElevenLabsSpeech: ${JSON.stringify(headers)} means ${characters}`,
    async () => {
      const speech = createElevenLabsSpeech({
        apiKey: "sk_test_key_1234",
        baseUrl: "http://127.0.0.1:1/",
        timeoutSeconds: 5,
        fetch: () =>
          Promise.resolve(
            new Response("sound", {
              headers: new Headers([
                ["content-type", "audio/mpeg"],
                ["request-id", "r1"],
                ...Object.entries(headers),
              ]),
            }),
          ),
      });
      const spoken = await speech.speak(request(), never);
      await spoken.audio.cancel();
      assertEquals(spoken.characters, characters);
    },
  );
}

Deno.test("createElevenLabsSpeech: sends no surrounding text to eleven_v3, which does not support it", async () => {
  await using at = await provider();
  const { audio } = await at.speech.speak(
    request({
      model: "eleven_v3",
      voiceSettings: { stability: 0.5 },
      previousText: "Before.",
      nextText: "After.",
    }),
    never,
  );
  await audio.cancel();
  const sent = at.paid()[0]?.request ?? {};
  assertEquals([sent["previous_text"], sent["next_text"]], [
    undefined,
    undefined,
  ]);
});

Deno.test("createElevenLabsSpeech: a speech is found by voice, model, text and settings, and read for free", async () => {
  await using at = await provider();
  const speechRequest = request();
  const find = (one: SpeechRequest, since = LONG_AGO) =>
    at.speech.find(one, since, never);
  assertEquals(await find(speechRequest), []);
  const spoken = await at.speech.speak(speechRequest, never);
  const bytes = await drop(spoken.audio);
  assertEquals(await find(speechRequest), [spoken.id]);
  assertEquals(await find(speechRequest, new Date(Date.now() + 5000)), []);
  for (
    const other of [
      request(),
      { ...speechRequest, model: "eleven_flash_v2_5" as const },
      { ...speechRequest, providerVoiceId: "21m00Tcm4TlvDq8ikWAM" },
      { ...speechRequest, voiceSettings: { stability: 0.5 } },
      {
        ...speechRequest,
        voiceSettings: { stability: 0.4, use_speaker_boost: false },
      },
    ]
  ) {
    assertEquals(await find(other), []);
  }
  const open = (id: string, from: number, to: number) => {
    const [after, before] = [from, to].map((ms) => new Date(Date.now() + ms));
    assert(after !== undefined && before !== undefined);
    return at.speech.open(id, speechRequest, { after, before }, never);
  };
  const again = await open(spoken.id, -60_000, 60_000);
  assert(again !== null);
  assertEquals(await drop(again), bytes);
  assertEquals(await open("unknown", -60_000, 60_000), null);
  assertEquals(await open(spoken.id, -60_000, -30_000), null);
  assertEquals(await open(spoken.id, 30_000, 60_000), null);
  assertEquals(at.paid().length, 1);
});

Deno.test("createElevenLabsSpeech: searches all pages of the history, newest first", async () => {
  await using at = await provider();
  const speechRequest = request();
  const first = await at.speech.speak(speechRequest, never);
  await first.audio.cancel();
  for (let count = 0; count < 101; count++) {
    const { audio } = await at.speech.speak(
      request({ text: `Filler ${count}.` }),
      never,
    );
    await audio.cancel();
  }
  const second = await at.speech.speak(speechRequest, never);
  await second.audio.cancel();
  assertEquals(await at.speech.find(speechRequest, LONG_AGO, never), [
    second.id,
    first.id,
  ]);
  assertEquals(
    at.simulators.requests.list({ operation: "history.list" }).length,
    2,
  );
});

for (
  const [name, fault, code, certainty] of [
    [
      "closed after it was created",
      { kind: "close_after" },
      "provider_unavailable",
      "unknown",
    ],
    [
      "closed before it was created",
      { kind: "close_before" },
      "provider_unavailable",
      "unknown",
    ],
    [
      "a 500 after it was created",
      { kind: "status", status: 500, processed: "before" },
      "provider_unavailable",
      "unknown",
    ],
    ["an HTML 502", { kind: "html" }, "provider_unavailable", "unknown"],
    [
      "a 200 that is a page",
      { kind: "html", status: 200, processed: "before" },
      "provider_answer_invalid",
      "unknown",
    ],
    [
      "a redirect",
      {
        kind: "status",
        status: 302,
        headers: { location: "http://127.0.0.1:9/" },
      },
      "provider_unavailable",
      "unknown",
    ],
    [
      "a voice that is gone",
      { kind: "status", error: "voice_not_found" },
      "voice_not_found",
      "rejected",
    ],
    [
      "a voice that is gone, the old way and with a 404",
      { kind: "status", status: 404, error: "voice_not_found", shape: "old" },
      "voice_not_found",
      "rejected",
    ],
    [
      "no credits",
      { kind: "status", error: "quota_exceeded" },
      "provider_quota_exceeded",
      "rejected",
    ],
    [
      "no credits, the old way",
      { kind: "status", error: "quota_exceeded", shape: "old" },
      "provider_quota_exceeded",
      "rejected",
    ],
    [
      "a text that is too long",
      { kind: "status", error: "max_character_limit_exceeded" },
      "provider_rejected_input",
      "rejected",
    ],
    [
      "a bad key",
      { kind: "status", error: "invalid_api_key" },
      "provider_unauthorized",
      "rejected",
    ],
  ] as const
) {
  Deno.test(`createElevenLabsSpeech: ${name} is ${code}, ${certainty}, and sent once`, async () => {
    await using at = await provider();
    at.fail(fault);
    const failure = await failureOf(at.speech.speak(request(), never));
    assertEquals([failure.code, failure.certainty], [code, certainty]);
    assertEquals(
      at.simulators.requests.list({ operation: "speech" }).length,
      1,
    );
    assert(at.paid().length <= 1);
  });
}

Deno.test("createElevenLabsSpeech: a paid request on a reused connection that closes is sent once", async () => {
  await using at = await provider();
  const speechRequest = request();
  for (let turn = 0; turn < 5; turn++) {
    // Leaves connections in the pool, one of which the next request reuses.
    await at.speech.find(speechRequest, LONG_AGO, never);
    at.fail({ kind: "close_after" });
    await failureOf(at.speech.speak(speechRequest, never));
    assertEquals(
      at.simulators.requests.list({ operation: "speech" }).length,
      turn + 1,
    );
    assertEquals(at.paid().length, turn + 1);
  }
});

Deno.test("createElevenLabsSpeech: a 429 comes with its Retry-After", async () => {
  await using at = await provider();
  at.fail({
    kind: "status",
    error: "system_busy",
    headers: { "retry-after": "17" },
  });
  const failure = await failureOf(at.speech.speak(request(), never));
  assertEquals(
    [failure.code, failure.certainty, failure.retryAfterSeconds],
    ["provider_rate_limited", "rejected", 17],
  );
});

Deno.test("createElevenLabsSpeech: headers that stall end at the time limit", async () => {
  await using at = await provider({ timeoutSeconds: 1 });
  at.fail({ kind: "hang", processed: "before" });
  const failure = await failureOf(at.speech.speak(request(), never));
  assertEquals([failure.code, failure.certainty], [
    "provider_timeout",
    "unknown",
  ]);
});

Deno.test("createElevenLabsSpeech: a body that stalls ends at the time limit", async () => {
  // The headers must arrive within it.
  await using at = await provider({ timeoutSeconds: 4 });
  at.fail({ kind: "delay_body", ms: 60_000 });
  const { audio } = await at.speech.speak(request(), never);
  await assertRejects(() => drop(audio));
});

Deno.test("createElevenLabsSpeech: an invalid response or refusal of the history is not an empty history", async () => {
  await using at = await provider();
  const speechRequest = request();
  at.fail({ kind: "truncated_json" }, "history.list");
  assertEquals(
    (await failureOf(at.speech.find(speechRequest, LONG_AGO, never))).code,
    "provider_answer_invalid",
  );
  at.fail({ kind: "missing_fields" }, "history.list");
  assertEquals(
    (await failureOf(at.speech.find(speechRequest, LONG_AGO, never))).code,
    "provider_answer_invalid",
  );
  at.fail({ kind: "status", error: "needs_authorization" }, "history.list");
  const failure = await failureOf(
    at.speech.find(speechRequest, LONG_AGO, never),
  );
  assertEquals([failure.code, failure.isRetryable], [
    "provider_unauthorized",
    false,
  ]);
});

Deno.test("createElevenLabsSpeech: without a key nothing is sent", async () => {
  await using at = await provider();
  const speech = createElevenLabsSpeech({
    apiKey: undefined,
    baseUrl: `${at.simulators.url}/elevenlabs`,
    timeoutSeconds: 5,
    fetch,
  });
  const failure = await failureOf(speech.speak(request(), never));
  assertEquals([failure.code, failure.certainty], [
    "provider_unauthorized",
    "rejected",
  ]);
  assertEquals(at.simulators.requests.list({}).length, 0);
});
