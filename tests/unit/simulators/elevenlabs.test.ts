import {
  assert,
  assertEquals,
  assertExists,
  assertMatch,
  assertObjectMatch,
} from "@std/assert";
import { ElevenLabs, ElevenLabsError } from "elevenlabs";
import {
  audioFile,
  clone,
  elevenLabs,
  failureOf,
  ONE_TRY,
  recording,
  running,
} from "../_support/running-simulators.ts";

const JOB = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";

async function post(
  url: string,
  form: FormData | string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: unknown; headers: Headers }> {
  const response = await fetch(`${url}/elevenlabs/v1/voices/add`, {
    method: "POST",
    headers: { "xi-api-key": "sk_1", ...headers },
    body: form,
  });
  return {
    status: response.status,
    body: await response.json(),
    headers: response.headers,
  };
}

for (
  const [name, type, seconds] of [
    ["speech-24s.mp3", "audio/mpeg", 24.73],
    ["speech-12s.wav", "audio/wav", 12],
    ["speech.m4a", "audio/mp4", 12],
    ["speech.ogg", "audio/ogg", 12],
    ["speech.webm", "audio/webm", 12],
  ] as const
) {
  Deno.test(`POST /v1/voices/add: clones from ${name} and adds it to the ledger`, async () => {
    await using simulators = await running();
    const added = await elevenLabs(simulators).voices.add({
      name: "Grandma",
      description: `job:${JOB}`,
      labels: JSON.stringify({ language: "en", job_id: JOB }),
      files: [audioFile(name, type)],
    }, ONE_TRY);
    assertMatch(added.voice_id, /^[0-9A-Za-z]{20}$/);
    assertEquals(added.requires_verification, false);
    const [entry, ...others] = simulators.ledger.list();
    assertEquals(others, []);
    assertExists(entry);
    assertObjectMatch(entry, {
      seq: 1,
      provider: "elevenlabs",
      operation: "voices.add",
      id: added.voice_id,
      marker: JOB,
      state: "created",
      api_key_tail: "1234",
      bytes: recording(name).length,
    });
    assertObjectMatch(entry.request, {
      name: "Grandma",
      description: `job:${JOB}`,
      labels: { language: "en", job_id: JOB },
      remove_background_noise: false,
      files: [{ name, type, bytes: recording(name).length, seconds }],
    });
  });
}

for (
  const name of [
    "empty.mp3",
    "text-named.mp3",
    "image.png-named.wav",
    "truncated.mp3",
    "truncated.wav",
    "truncated-header.wav",
  ]
) {
  Deno.test(`POST /v1/voices/add: refuses ${name} as a corrupted upload, even with a good file`, async () => {
    await using simulators = await running();
    const error = await failureOf(
      clone(simulators, JOB, { files: [audioFile(), audioFile(name)] }),
    );
    assert(error instanceof ElevenLabsError);
    assertEquals(error.statusCode, 400);
    assertObjectMatch({ body: error.body }, {
      body: { detail: { code: "invalid_content", status: "invalid_content" } },
    });
    assertEquals(simulators.ledger.list(), []);
  });
}

Deno.test("POST /v1/voices/add: names every missing field in a 422 array", async () => {
  await using simulators = await running();
  const form = new FormData();
  form.append("description", "nothing else");
  const { status, body } = await post(simulators.url, form);
  assertEquals(status, 422);
  assertEquals(body, {
    detail: [
      {
        loc: ["body", "name"],
        msg: "field required",
        type: "value_error.missing",
      },
      {
        loc: ["body", "files"],
        msg: "field required",
        type: "value_error.missing",
      },
    ],
  });
});

Deno.test("POST /v1/voices/add: a files part that is a text gets 422 with its index", async () => {
  await using simulators = await running();
  const form = new FormData();
  form.append("name", "Grandma");
  form.append("files", audioFile());
  form.append("files", "/path/to/a/file.mp3");
  const { status, body } = await post(simulators.url, form);
  assertEquals(status, 422);
  assertEquals(body, {
    detail: [{
      loc: ["body", "files", 1],
      msg: "Expected UploadFile, received: <class 'str'>",
      type: "value_error",
    }],
  });
});

Deno.test("POST /v1/voices/add: labels that are not a JSON object get 422", async () => {
  await using simulators = await running();
  const form = new FormData();
  form.append("name", "Grandma");
  form.append("labels", "language=en");
  form.append("files", audioFile());
  const { status, body } = await post(simulators.url, form);
  assertEquals(status, 422);
  assertObjectMatch({ body }, {
    body: { detail: [{ loc: ["body", "labels"] }] },
  });
});

Deno.test("POST /v1/voices/add: a body that is not multipart gets 400", async () => {
  await using simulators = await running();
  const { status, body } = await post(simulators.url, "{}", {
    "content-type": "application/json",
  });
  assertEquals([status, body], [400, {
    detail: "There was an error parsing the body",
  }]);
});

Deno.test("authentication: no key and a key that starts with invalid get 401, any other passes", async () => {
  await using simulators = await running();
  const url = `${simulators.url}/elevenlabs/v1/voices`;
  const statuses: unknown[] = [];
  for (const key of [null, "", "invalid_key", "anything"]) {
    const response = await fetch(url, {
      headers: key === null ? {} : { "xi-api-key": key },
    });
    const body: unknown = await response.json();
    statuses.push(response.status);
    if (key === "invalid_key") {
      assertObjectMatch({ body }, {
        body: {
          detail: { code: "invalid_api_key", status: "invalid_api_key" },
        },
      });
    }
  }
  assertEquals(statuses, [401, 401, 401, 200]);
});

Deno.test("every answer: carries a request id, and errors repeat it in the body", async () => {
  await using simulators = await running();
  const response = await fetch(`${simulators.url}/elevenlabs/v1/voices/none`, {
    headers: { "xi-api-key": "k" },
  });
  const id = response.headers.get("x-request-id") ?? "";
  assertMatch(id, /^[0-9a-f]{32}$/);
  const body: unknown = await response.json();
  assertObjectMatch({ body }, { body: { detail: { request_id: id } } });
});

Deno.test("GET /v2/voices: finds a clone by its marker in description or labels, and nothing else", async () => {
  await using simulators = await running();
  const client = elevenLabs(simulators);
  await clone(simulators, JOB);
  await clone(simulators, crypto.randomUUID());
  const byMarker = await client.voices.search({
    search: `JOB:${JOB}`,
    voice_type: "personal",
    category: "cloned",
    sort: "created_at_unix",
    sort_direction: "desc",
    page_size: 100,
  }, ONE_TRY);
  assertEquals(byMarker.voices.map(({ labels }) => labels?.["job_id"]), [JOB]);
  assertEquals([byMarker.total_count, byMarker.has_more], [1, false]);
  const none = await client.voices.search(
    { search: crypto.randomUUID() },
    ONE_TRY,
  );
  assertEquals([none.voices, none.total_count], [[], 0]);
});

Deno.test("GET /v2/voices: pages give every voice once, in order, also when one is deleted in between", async () => {
  await using simulators = await running();
  const client = elevenLabs(simulators);
  const ids: string[] = [];
  for (let index = 0; index < 5; index += 1) {
    const added = await client.voices.add(
      { name: `Voice ${index}`, files: [audioFile("speech-12s.wav")] },
      ONE_TRY,
    );
    ids.push(added.voice_id);
  }
  const query = { voice_type: "personal", page_size: 2 };
  const first = await client.voices.search(query, ONE_TRY);
  assertEquals(first.voices.map(({ voice_id }) => voice_id), [ids[4], ids[3]]);
  assertEquals([first.has_more, first.total_count], [true, 5]);
  assertExists(first.next_page_token);
  await client.voices.delete(ids[3] ?? "", ONE_TRY);
  const second = await client.voices.search({
    ...query,
    next_page_token: first.next_page_token,
  }, ONE_TRY);
  assertEquals(second.voices.map(({ voice_id }) => voice_id), [ids[2], ids[1]]);
  assertExists(second.next_page_token);
  const third = await client.voices.search({
    ...query,
    next_page_token: second.next_page_token,
  }, ONE_TRY);
  assertEquals(third.voices.map(({ voice_id }) => voice_id), [ids[0]]);
  assertEquals(third.has_more, false);
});

Deno.test("GET /v2/voices: sorts by name and filters by type and category", async () => {
  await using simulators = await running();
  const client = elevenLabs(simulators);
  await client.voices.add({ name: "Zoe", files: [audioFile()] }, ONE_TRY);
  const all = await client.voices.search({
    sort: "name",
    sort_direction: "asc",
  }, ONE_TRY);
  assertEquals(all.voices.map(({ name }) => name), ["Adam", "Rachel", "Zoe"]);
  const premade = await client.voices.search({
    voice_type: "default",
    sort: "name",
    sort_direction: "desc",
  }, ONE_TRY);
  assertEquals(premade.voices.map(({ name }) => name), ["Rachel", "Adam"]);
  const cloned = await client.voices.search({ category: "cloned" }, ONE_TRY);
  assertEquals(cloned.voices.map(({ name }) => name), ["Zoe"]);
});

Deno.test("GET /v2/voices: a wrong query gets 422 that names the parameter", async () => {
  await using simulators = await running();
  const error = await failureOf(
    elevenLabs(simulators).voices.search({ page_size: 101 }, ONE_TRY),
  );
  assert(error instanceof ElevenLabs.UnprocessableEntityError);
  assertObjectMatch({ body: error.body }, {
    body: { detail: [{ loc: ["query", "page_size"] }] },
  });
  const token = await failureOf(
    elevenLabs(simulators).voices.search({ next_page_token: "?" }, ONE_TRY),
  );
  assert(token instanceof ElevenLabs.UnprocessableEntityError);
});

Deno.test("GET /v2/voices: a new voice is listed after the index delay; GET by id has it immediately", async () => {
  await using simulators = await running();
  const client = elevenLabs(simulators);
  const settings = simulators.providers.find(({ name }) =>
    name === "elevenlabs"
  );
  settings?.changeSettings({ search_lag_ms: 60_000 });
  const { voice_id } = await client.voices.add(
    { name: "Late", files: [audioFile()] },
    ONE_TRY,
  );
  const search = async () =>
    (await client.voices.search({ search: "Late" }, ONE_TRY)).voices.length;
  assertEquals(await search(), 0);
  assertEquals((await client.voices.get(voice_id, {}, ONE_TRY)).name, "Late");
  simulators.advanceClock(60_000);
  assertEquals(await search(), 1);
});

Deno.test("GET /v1/voices: lists premade and own voices with settings", async () => {
  await using simulators = await running();
  await clone(simulators, JOB);
  const { voices } = await elevenLabs(simulators).voices.getAll({}, ONE_TRY);
  assertEquals(voices.map(({ category }) => category), [
    "premade",
    "premade",
    "cloned",
  ]);
  assertEquals(voices.at(-1)?.settings?.stability, 0.5);
});

Deno.test("GET and DELETE /v1/voices/{id}: a deleted voice is 404, its ledger entry stays as deleted", async () => {
  await using simulators = await running();
  const client = elevenLabs(simulators);
  const { voice_id } = await client.voices.add(
    { name: "Grandma", files: [audioFile()] },
    ONE_TRY,
  );
  const voice = await client.voices.get(voice_id, {}, ONE_TRY);
  assertEquals([voice.voice_id, voice.category, voice.is_owner], [
    voice_id,
    "cloned",
    true,
  ]);
  assertEquals(await client.voices.delete(voice_id, ONE_TRY), { status: "ok" });
  for (
    const gone of [
      client.voices.get(voice_id, {}, ONE_TRY),
      client.voices.delete(voice_id, ONE_TRY),
    ]
  ) {
    const error = await failureOf(gone);
    assert(error instanceof ElevenLabsError);
    assertEquals(error.statusCode, 400);
    assertObjectMatch({ body: error.body }, {
      body: {
        detail: {
          code: "voice_not_found",
          message: `A voice with voice_id '${voice_id}' was not found.`,
        },
      },
    });
  }
  assertEquals(simulators.ledger.list().map(({ state }) => state), ["deleted"]);
});

Deno.test("voice settings: edits are kept on the voice, wrong values get 422 and change nothing", async () => {
  await using simulators = await running();
  const { voices } = elevenLabs(simulators);
  const { voice_id } = await voices.add(
    { name: "Grandma", files: [audioFile()] },
    ONE_TRY,
  );
  const edit = { stability: 0.3, similarity_boost: 0.9 };
  assertEquals(await voices.editSettings(voice_id, edit, ONE_TRY), {
    status: "ok",
  });
  const kept = {
    stability: 0.3,
    similarity_boost: 0.9,
    style: 0,
    use_speaker_boost: true,
    speed: 1,
  };
  assertEquals(await voices.getSettings(voice_id, ONE_TRY), kept);
  const error = await failureOf(
    voices.editSettings(voice_id, { stability: 1.5 }, ONE_TRY),
  );
  assert(error instanceof ElevenLabs.UnprocessableEntityError);
  assertEquals(await voices.getSettings(voice_id, ONE_TRY), kept);
  assertEquals((await voices.getDefaultSettings(ONE_TRY)).stability, 0.5);
});

Deno.test("POST /v1/voices/{id}/edit: changes name, description and labels and counts as an edit", async () => {
  await using simulators = await running();
  const client = elevenLabs(simulators);
  const { voice_id } = await client.voices.add(
    { name: "Grandma", files: [audioFile()] },
    ONE_TRY,
  );
  await client.voices.edit(voice_id, {
    name: "Grandpa",
    description: "renamed",
    labels: JSON.stringify({ age: "old" }),
    files: [audioFile("speech.ogg", "audio/ogg")],
  }, ONE_TRY);
  const voice = await client.voices.get(voice_id, {}, ONE_TRY);
  assertEquals([voice.name, voice.description, voice.labels], [
    "Grandpa",
    "renamed",
    { age: "old" },
  ]);
  assertEquals(voice.samples?.length, 2);
  const { voice_add_edit_counter } = await client.user.getSubscription(ONE_TRY);
  assertEquals(voice_add_edit_counter, 2);
});

Deno.test("voice limit: the clone over the limit gets 400 and costs nothing, a freed slot can be used", async () => {
  await using simulators = await running();
  const client = elevenLabs(simulators);
  const settings = simulators.providers.find(({ name }) =>
    name === "elevenlabs"
  );
  settings?.changeSettings({ voice_limit: 2 });
  // Ten at the same time for two slots: the limit must hold under concurrency.
  const results = await Promise.allSettled(
    Array.from({ length: 10 }, () => clone(simulators, crypto.randomUUID())),
  );
  const refused = results.filter(({ status }) => status === "rejected");
  assertEquals([results.length - refused.length, refused.length], [2, 8]);
  const error = await failureOf(clone(simulators, JOB));
  assert(error instanceof ElevenLabsError);
  assertEquals(error.statusCode, 400);
  assertObjectMatch({ body: error.body }, {
    body: { detail: { code: "voice_limit_reached" } },
  });
  const subscription = await client.user.getSubscription(ONE_TRY);
  assertEquals([
    subscription.voice_slots_used,
    subscription.voice_limit,
    subscription.voice_add_edit_counter,
  ], [2, 2, 2]);
  assertEquals(simulators.ledger.list().length, 2);
  await client.voices.delete(simulators.ledger.list()[0]?.id ?? "", ONE_TRY);
  await clone(simulators, JOB);
  assertEquals(simulators.ledger.list({ marker: JOB }).length, 1);
});

Deno.test("monthly add/edit limit and a plan without cloning: each refuses with its own error", async () => {
  await using simulators = await running();
  const settings = simulators.providers.find(({ name }) =>
    name === "elevenlabs"
  );
  const refusal = async (changes: Record<string, unknown>) => {
    await settings?.reset();
    settings?.changeSettings(changes);
    const error = await failureOf(clone(simulators, JOB));
    assert(error instanceof ElevenLabsError);
    return [error.statusCode, error.body];
  };
  assertObjectMatch(
    { got: await refusal({ max_voice_add_edits: 0, error_shape: "old" }) },
    { got: [400, { detail: { status: "voice_add_edit_limit_reached" } }] },
  );
  assertObjectMatch(
    { got: await refusal({ can_use_instant_voice_cloning: false }) },
    { got: [403, { detail: { code: "can_not_use_instant_voice_cloning" } }] },
  );
  assertEquals(simulators.ledger.list(), []);
});

Deno.test("unknown routes: 404 for a path, 405 for a method, with the messages of the real service", async () => {
  await using simulators = await running();
  const answers: unknown[] = [];
  for (
    const [method, path] of [
      ["GET", "/v9/nothing"],
      ["PUT", "/v2/voices"],
    ] as const
  ) {
    const response = await fetch(`${simulators.url}/elevenlabs${path}`, {
      method,
      headers: { "xi-api-key": "k" },
    });
    answers.push([response.status, await response.json()]);
  }
  assertEquals(answers, [
    [404, { detail: "Not Found" }],
    [405, { detail: "Method Not Allowed" }],
  ]);
});

Deno.test("x-simulated-id: a voice gets the id that existing rows have, and can speak", async () => {
  await using simulators = await running();
  const form = new FormData();
  form.append("name", "Grandpa Josef");
  form.append("files", audioFile());
  const { status, body } = await post(simulators.url, form, {
    "x-simulated-id": "seedVoiceOfGrandpa01",
  });
  assertEquals([status, body], [200, {
    voice_id: "seedVoiceOfGrandpa01",
    requires_verification: false,
  }]);
  const spoken = await fetch(
    `${simulators.url}/elevenlabs/v1/text-to-speech/seedVoiceOfGrandpa01`,
    {
      method: "POST",
      headers: { "xi-api-key": "sk_1" },
      body: JSON.stringify({ text: "Have you eaten?" }),
    },
  );
  await spoken.body?.cancel();
  assertEquals(spoken.status, 200);
});
