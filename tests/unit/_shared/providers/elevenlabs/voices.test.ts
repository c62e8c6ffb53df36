import {
  assert,
  assertEquals,
  assertObjectMatch,
  assertRejects,
} from "@std/assert";
import {
  type Simulators,
  startSimulators,
} from "../../../../../dev/simulators/server.ts";
import { ProviderFailure } from "../../../../../supabase/functions/_shared/failures/provider-failure.ts";
import {
  createElevenLabsVoices,
  type CreateVoiceRequest,
} from "../../../../../supabase/functions/_shared/providers/elevenlabs/voices.ts";
import { heldTimers } from "../../../../_support/held-timers.ts";

const JOB = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";
const MARKER = `job:${JOB}`;
const RECORDING = new Blob([
  await Deno.readFile(
    new URL("../../../../fixtures/recordings/speech-24s.mp3", import.meta.url),
  ),
], { type: "audio/mpeg" });

const REQUEST: CreateVoiceRequest = {
  name: "Grandma",
  description: "Reads stories",
  labels: { language: "en" },
  removeBackgroundNoise: false,
  recording: RECORDING,
  fileName: "grandma.mp3",
  marker: MARKER,
};

/** The provider as a real HTTP server, and our client for it. */
async function provider(timeoutSeconds = 60) {
  const simulators = await startSimulators();
  const voices = createElevenLabsVoices({
    apiKey: "sk_test_key_1234",
    baseUrl: `${simulators.url}/elevenlabs`,
    timeoutSeconds,
    fetch,
  });
  return {
    simulators,
    voices,
    paid: () => simulators.ledger.list({ marker: JOB }).length,
    callsOf: (operation: string) =>
      simulators.requests.list({ operation }).length,
    fail: (fault: Record<string, unknown>, operation = "voices.add") => {
      simulators.faults.add({ provider: "elevenlabs", operation, fault });
    },
    [Symbol.asyncDispose]: () => simulators.stop(),
  };
}

const never = new AbortController().signal;

async function failureOf(work: Promise<unknown>): Promise<ProviderFailure> {
  return await assertRejects(() => work, ProviderFailure);
}

async function voiceOf({ url }: Simulators, id: string): Promise<object> {
  const response = await fetch(`${url}/elevenlabs/v1/voices/${id}`, {
    headers: { "xi-api-key": "sk_test_key_1234" },
  });
  return await response.json();
}

Deno.test("createElevenLabsVoices: creates a voice with the job's marker, and finds it by the marker", async () => {
  await using at = await provider();
  assertEquals(await at.voices.findByMarker(MARKER, never), null);
  const id = await at.voices.create(REQUEST, never);
  assertEquals(at.paid(), 1);
  assertEquals(await at.voices.findByMarker(MARKER, never), id);
  assertEquals(
    await at.voices.findByMarker(`job:${crypto.randomUUID()}`, never),
    null,
  );
});

Deno.test("createElevenLabsVoices: sends name, description and labels unchanged", async () => {
  await using at = await provider();
  const id = await at.voices.create(REQUEST, never);
  const voice = await voiceOf(at.simulators, id);
  assertObjectMatch(voice, {
    name: "Grandma",
    description: `Reads stories (${MARKER})`,
    labels: { language: "en" },
  });
});

Deno.test("createElevenLabsVoices: without description and labels it sends only the marker", async () => {
  await using at = await provider();
  const id = await at.voices.create(
    { ...REQUEST, description: undefined, labels: undefined },
    never,
  );
  assertObjectMatch(await voiceOf(at.simulators, id), {
    description: `(${MARKER})`,
    labels: {},
  });
});

Deno.test("createElevenLabsVoices: a voice of another job with a similar marker is not adopted", async () => {
  await using at = await provider();
  const other = `job:${crypto.randomUUID()}`;
  await at.voices.create({
    ...REQUEST,
    name: `not ${MARKER}`,
    description: "x",
    marker: other,
  }, never);
  // The provider's search also matches names, but only the description may have the marker.
  assertEquals(await at.voices.findByMarker(MARKER, never), null);
});

Deno.test("createElevenLabsVoices: a marker inside the description of another job's voice does not match", async () => {
  await using at = await provider();
  await at.voices.create({
    ...REQUEST,
    description: `Like (${MARKER})`,
    marker: `job:${crypto.randomUUID()}`,
  }, never);
  assertEquals(await at.voices.findByMarker(MARKER, never), null);
  // The twin: our voice is the one whose description ends with the marker.
  const id = await at.voices.create(REQUEST, never);
  assertEquals(await at.voices.findByMarker(MARKER, never), id);
});

Deno.test("createElevenLabsVoices: removes a voice, and succeeds if it does not exist any more", async () => {
  await using at = await provider();
  const id = await at.voices.create(REQUEST, never);
  const other = await at.voices.create(
    { ...REQUEST, marker: `job:${crypto.randomUUID()}` },
    never,
  );
  await at.voices.remove(id, never);
  assertEquals(await at.voices.findByMarker(MARKER, never), null);
  await at.voices.remove(id, never);
  assertEquals(at.callsOf("voices.delete"), 2);
  assertObjectMatch(await voiceOf(at.simulators, other), { voice_id: other });
});

for (
  const [how, fault, code] of [
    ["answers 500", { kind: "status", status: 500 }, "provider_unavailable"],
    ["hangs up", { kind: "close_before" }, "provider_unavailable"],
    [
      "refuses the key",
      { kind: "status", error: "invalid_api_key" },
      "provider_unauthorized",
    ],
  ] as const
) {
  Deno.test(`createElevenLabsVoices: a removal fails when the provider ${how}`, async () => {
    using _timers = heldTimers();
    await using at = await provider();
    const id = await at.voices.create(REQUEST, never);
    at.fail(fault, "voices.delete");
    const failure = await failureOf(at.voices.remove(id, never));
    assertEquals([failure.code, at.callsOf("voices.delete")], [code, 1]);
    assertEquals(await at.voices.findByMarker(MARKER, never), id);
  });
}

Deno.test("createElevenLabsVoices: preparing sends nothing, with a key or without", async () => {
  await using at = await provider();
  await at.voices.prepare();
  const keyless = createElevenLabsVoices({
    apiKey: undefined,
    baseUrl: `${at.simulators.url}/elevenlabs`,
    timeoutSeconds: 60,
    fetch,
  });
  await keyless.prepare();
  assertEquals(at.simulators.requests.list({}), []);
});

for (
  const [how, fault, code, certainty, paid] of [
    [
      "refuses the key",
      { kind: "status", error: "invalid_api_key" },
      "provider_unauthorized",
      "rejected",
      0,
    ],
    [
      "is busy",
      { kind: "status", error: "system_busy" },
      "provider_rate_limited",
      "rejected",
      0,
    ],
    [
      "limits our calls",
      { kind: "status", error: "too_many_concurrent_requests" },
      "provider_concurrency_limited",
      "rejected",
      0,
    ],
    [
      "does not allow the content",
      { kind: "status", error: "content_against_policy" },
      "provider_content_refused",
      "rejected",
      0,
    ],
    [
      "answers 500",
      { kind: "status", status: 500 },
      "provider_unavailable",
      "unknown",
      0,
    ],
    [
      "answers with an HTML page",
      { kind: "html" },
      "provider_unavailable",
      "unknown",
      0,
    ],
    [
      "closes the connection before it has created the voice",
      { kind: "close_before" },
      "provider_unavailable",
      "unknown",
      0,
    ],
    [
      "closes the connection after it has created the voice",
      { kind: "close_after" },
      "provider_unavailable",
      "unknown",
      1,
    ],
    [
      "answers half of its JSON",
      { kind: "truncated_json" },
      "provider_answer_invalid",
      "unknown",
      1,
    ],
    [
      "omits the id",
      { kind: "missing_fields", fields: ["voice_id"] },
      "provider_answer_invalid",
      "unknown",
      1,
    ],
  ] as const
) {
  Deno.test(`createElevenLabsVoices: a provider that ${how} means ${code}, ${certainty}, after one request`, async () => {
    using _timers = heldTimers();
    await using at = await provider();
    at.fail(fault);
    const failure = await failureOf(at.voices.create(REQUEST, never));
    assertEquals([failure.certainty, at.callsOf("voices.add"), at.paid()], [
      certainty,
      1,
      paid,
    ]);
    assertEquals(failure.code, code);
  });
}

Deno.test("createElevenLabsVoices: two concurrent calls each have their own Retry-After", async () => {
  await using at = await provider();
  at.fail({
    kind: "status",
    error: "rate_limit_exceeded",
    headers: { "Retry-After": "17" },
  });
  at.fail(
    { kind: "status", status: 503, headers: { "Retry-After": "4" } },
    "voices.search",
  );
  const [created, found] = await Promise.all([
    failureOf(at.voices.create(REQUEST, never)),
    failureOf(at.voices.findByMarker(MARKER, never)),
  ]);
  assertEquals(
    [created.retryAfterSeconds, found.retryAfterSeconds],
    [17, 4],
  );
  at.fail({ kind: "status", error: "rate_limit_exceeded" });
  const without = await failureOf(at.voices.create(REQUEST, never));
  assertEquals(without.retryAfterSeconds, undefined);
});

for (
  const [where, fault] of [
    ["before the headers", { kind: "hang", processed: "before" }],
    ["inside the body", { kind: "delay_body", ms: 600_000 }],
  ] as const
) {
  Deno.test(`createElevenLabsVoices: a response that stalls ${where} ends with the signal, as unknown`, async () => {
    using timers = heldTimers();
    await using at = await provider();
    at.fail(fault);
    const caller = new AbortController();
    const creating = failureOf(at.voices.create(REQUEST, caller.signal));
    while (at.paid() === 0) await timers.pass(0);
    caller.abort(new Error("the lease is lost"));
    const failure = await creating;
    assertEquals(
      [failure.code, failure.certainty, at.paid()],
      ["provider_timeout", "unknown", 1],
    );
    at.simulators.release();
  });
}

for (
  const [where, fault] of [
    ["before the headers", { kind: "hang", processed: "before" }],
    ["inside the body", { kind: "delay_body", ms: 600_000 }],
  ] as const
) {
  Deno.test(`createElevenLabsVoices: a response that stalls ${where} ends at the time limit of a call`, async () => {
    using _timers = heldTimers();
    await using at = await provider(0.2);
    at.fail(fault);
    const failure = await failureOf(at.voices.create(REQUEST, never));
    assertEquals(
      [failure.code, failure.certainty],
      ["provider_timeout", "unknown"],
    );
    at.simulators.release();
  });
}

Deno.test("createElevenLabsVoices: with a signal that is already aborted nothing is sent", async () => {
  using timers = heldTimers();
  await using at = await provider();
  await failureOf(at.voices.create(REQUEST, AbortSignal.abort()));
  await timers.pass(0);
  assertEquals([at.callsOf("voices.add"), at.paid()], [0, 0]);
});

Deno.test("createElevenLabsVoices: without a key nothing is sent, and that is final", async () => {
  await using at = await provider();
  const keyless = createElevenLabsVoices({
    apiKey: undefined,
    baseUrl: `${at.simulators.url}/elevenlabs`,
    timeoutSeconds: 60,
    fetch,
  });
  for (
    const call of [
      keyless.create(REQUEST, never),
      keyless.findByMarker(MARKER, never),
    ]
  ) {
    const failure = await failureOf(call);
    assertEquals(
      [failure.code, failure.certainty, failure.isRetryable],
      ["provider_unauthorized", "rejected", false],
    );
  }
  assert(at.simulators.requests.list({}).length === 0);
});

Deno.test("createElevenLabsVoices: an unreadable listing is a failure, not an empty one", async () => {
  using _timers = heldTimers();
  await using at = await provider();
  await at.voices.create(REQUEST, never);
  for (
    const fault of [
      { kind: "status", status: 503 },
      { kind: "html", status: 200 },
      { kind: "missing_fields", fields: ["voices"] },
      { kind: "missing_fields", fields: ["has_more"] },
      { kind: "truncated_json" },
    ]
  ) {
    at.fail(fault, "voices.search");
    const failure = await failureOf(at.voices.findByMarker(MARKER, never));
    assertEquals(failure.certainty, "unknown", JSON.stringify(fault));
  }
  assert(await at.voices.findByMarker(MARKER, never));
});

Deno.test("createElevenLabsVoices: searches every page of the listing", async () => {
  const pages = [
    {
      voices: [{ voice_id: "v1", description: null }],
      has_more: true,
      next_page_token: "p2",
    },
    { voices: [], has_more: true, next_page_token: "p3" },
    {
      voices: [{ voice_id: "v3", description: `(${MARKER})` }],
      has_more: false,
      next_page_token: null,
    },
  ];
  const queries: URLSearchParams[] = [];
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    (request) => {
      queries.push(new URL(request.url).searchParams);
      return Response.json(pages[queries.length - 1]);
    },
  );
  const voices = createElevenLabsVoices({
    apiKey: "k",
    baseUrl: `http://127.0.0.1:${server.addr.port}`,
    timeoutSeconds: 60,
    fetch,
  });
  assertEquals(await voices.findByMarker(MARKER, never), "v3");
  assertEquals(
    queries.map((query) => query.get("next_page_token")),
    [null, "p2", "p3"],
  );
  assertEquals(
    queries.map((query) => [query.get("search"), query.get("page_size")]),
    [[MARKER, "100"], [MARKER, "100"], [MARKER, "100"]],
  );
});
