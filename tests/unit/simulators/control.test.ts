import {
  assert,
  assertEquals,
  assertGreater,
  assertObjectMatch,
} from "@std/assert";
import { z } from "zod";
import {
  audioFile,
  clone,
  control,
  elevenLabs,
  failureOf,
  heldTimeouts,
  ONE_TRY,
  running,
  until,
} from "../_support/running-simulators.ts";

const JOB = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";

Deno.test("GET /_control/health: names the providers", async () => {
  await using simulators = await running();
  const { status, body } = await control(simulators, "GET", "/health");
  const { ok, providers } = z.object({
    ok: z.boolean(),
    providers: z.array(z.string()),
  }).parse(body);
  assertEquals([status, ok], [200, true]);
  for (const name of ["elevenlabs", "d-id", "heygen", "upstash"]) {
    assert(providers.includes(name), name);
  }
});

Deno.test("GET /_control/ledger: counts per operation and marker, optionally filtered", async () => {
  await using simulators = await running();
  const other = crypto.randomUUID();
  await clone(simulators, JOB);
  await clone(simulators, JOB);
  await clone(simulators, other);
  const voice = simulators.ledger.list()[0]?.id ?? "";
  await elevenLabs(simulators).voices.delete(voice, ONE_TRY);
  const all = await control(simulators, "GET", "/ledger");
  assertObjectMatch(all, {
    body: {
      entries: [
        { seq: 1, state: "deleted", marker: JOB, id: voice },
        { seq: 2, state: "created", marker: JOB },
        { seq: 3, state: "created", marker: other },
      ],
      counts: {
        total: 3,
        created: 2,
        deleted: 1,
        by_operation: { "elevenlabs.voices.add": 3 },
        by_marker: { [JOB]: 2, [other]: 1 },
      },
      reached: true,
    },
  });
  const one = await control(
    simulators,
    "GET",
    `/ledger?provider=elevenlabs&marker=${other.toUpperCase()}`,
  );
  assertObjectMatch(one, {
    body: { entries: [{ seq: 3 }], counts: { total: 1 } },
  });
  const none = await control(simulators, "GET", "/ledger?provider=upstash");
  assertObjectMatch(none, { body: { entries: [], counts: { total: 0 } } });
});

Deno.test("GET /_control/requests: lists every request except those to the control API, with status and fault", async () => {
  await using simulators = await running();
  await control(simulators, "POST", "/faults", {
    provider: "elevenlabs",
    operation: "voices.search",
    fault: { kind: "html", status: 503 },
  });
  await clone(simulators, JOB);
  for (const path of ["/elevenlabs/v2/voices?search=x", "/elsewhere"]) {
    await (await fetch(simulators.url + path, {
      headers: { "xi-api-key": "k" },
    })).text();
  }
  assertObjectMatch(await control(simulators, "GET", "/requests"), {
    status: 200,
    body: {
      entries: [
        {
          provider: "elevenlabs",
          operation: "voices.add",
          method: "POST",
          path: "/elevenlabs/v1/voices/add",
          marker: JOB,
          status: 200,
          fault: null,
          outcome: "answered",
        },
        { operation: "voices.search", status: 503, fault: "html" },
        { provider: null, operation: null, path: "/elsewhere", status: 404 },
      ],
    },
  });
  assertEquals(simulators.requests.list().length, 3);
  assertObjectMatch(
    await control(simulators, "GET", "/requests?operation=voices.search"),
    { body: { entries: [{ seq: 2 }] } },
  );
});

Deno.test("GET /_control/ledger and /requests: wait until there are enough entries, or report a timeout", async () => {
  await using simulators = await running();
  const waiting = control(
    simulators,
    "GET",
    `/ledger?marker=${JOB}&at_least=1&within_ms=10000`,
  );
  await clone(simulators, JOB);
  assertObjectMatch(await waiting, {
    body: { reached: true, counts: { total: 1 } },
  });
  assertObjectMatch(
    await control(simulators, "GET", "/requests?at_least=2&within_ms=20"),
    { body: { reached: false, entries: [{ seq: 1 }] } },
  );
});

Deno.test("POST /_control/faults: accepts one rule or an array, GET lists them, DELETE removes them", async () => {
  await using simulators = await running();
  const rule = {
    provider: "elevenlabs",
    operation: "voices.add",
    fault: { kind: "close_after" },
  };
  const listed = {
    id: 1,
    provider: "elevenlabs",
    operation: "voices.add",
    path: null,
    method: null,
    marker: null,
    remaining: 1,
    passing: 0,
    applied: 0,
    fault: { kind: "close_after" },
  };
  assertEquals(await control(simulators, "POST", "/faults", rule), {
    status: 201,
    body: { rules: [listed] },
  });
  const more = await control(simulators, "POST", "/faults", [
    { ...rule, times: null, after: 3, match: { marker: JOB } },
    { provider: "upstash", method: "post", fault: { kind: "hang" } },
  ]);
  assertObjectMatch(more, {
    status: 201,
    body: {
      rules: [
        { id: 2, remaining: null, passing: 3, marker: JOB },
        { id: 3, method: "POST", fault: { kind: "hang", processed: "never" } },
      ],
    },
  });
  assertObjectMatch(await control(simulators, "GET", "/faults"), {
    body: { rules: [{ id: 1 }, { id: 2 }, { id: 3 }] },
  });
  assertEquals(await control(simulators, "DELETE", "/faults"), {
    status: 200,
    body: { rules: [] },
  });
  assertEquals(simulators.faults.list(), []);
});

for (
  const [given, fields] of [
    [{ provider: "elevenlabs", fault: { kind: "explode" } }, ["fault.kind"]],
    [{ provider: "elevenlabs" }, ["fault"]],
    [{ provider: "acme", fault: { kind: "hang" } }, ["provider"]],
    [{ provider: "elevenlabs", fault: { kind: "delay" } }, ["fault.ms"]],
    [
      { provider: "elevenlabs", fault: { kind: "delay", ms: 1, msec: 2 } },
      ["fault.msec"],
    ],
    [
      { provider: "elevenlabs", time: 2, fault: { kind: "hang" } },
      ["time"],
    ],
    [
      { provider: "elevenlabs", times: 0, fault: { kind: "hang" } },
      ["times"],
    ],
    [
      {
        provider: "elevenlabs",
        operation: "voices.sing",
        fault: { kind: "hang" },
      },
      ["operation"],
    ],
    [
      {
        provider: "elevenlabs",
        match: { marker: "not-a-uuid" },
        fault: { kind: "hang" },
      },
      ["match.marker"],
    ],
    [{ provider: "elevenlabs", fault: { kind: "status" } }, ["fault.status"]],
    [
      { provider: "elevenlabs", fault: { kind: "status", error: "nope" } },
      ["fault.error"],
    ],
    [{ provider: "elevenlabs", fault: { kind: "lie" } }, ["fault.kind"]],
    [
      [
        { provider: "upstash", fault: { kind: "hang" } },
        { provider: "upstash", fault: { kind: "delay", ms: -1 } },
      ],
      ["1.fault.ms"],
    ],
  ] as const
) {
  Deno.test(`POST /_control/faults: ${JSON.stringify(given)} is refused naming ${fields}`, async () => {
    await using simulators = await running();
    const { status, body } = await control(
      simulators,
      "POST",
      "/faults",
      given,
    );
    assertEquals(status, 400);
    assertObjectMatch({ body }, {
      body: {
        error: "invalid_request",
        issues: fields.map((field) => ({ field })),
      },
    });
    assertEquals(simulators.faults.list(), []);
  });
}

Deno.test("control API: a body that is not JSON, an unknown route and an unknown query are refused", async () => {
  await using simulators = await running();
  const response = await fetch(`${simulators.url}/_control/faults`, {
    method: "POST",
    body: "{",
  });
  assertEquals([response.status, await response.json()], [400, {
    error: "invalid_request",
    issues: [{ field: "", message: "the body is not JSON" }],
  }]);
  assertEquals((await control(simulators, "GET", "/nothing")).status, 404);
  assertObjectMatch(await control(simulators, "GET", "/ledger?job=1"), {
    status: 400,
    body: { issues: [{ field: "job" }] },
  });
});

Deno.test("POST /_control/settings: changes the named settings, refuses others with the field's name", async () => {
  await using simulators = await running();
  const changed = await control(simulators, "POST", "/settings", {
    elevenlabs: { voice_limit: 1, error_shape: "old" },
  });
  assertObjectMatch(changed, {
    status: 200,
    body: {
      elevenlabs: { voice_limit: 1, error_shape: "old", search_lag_ms: 0 },
      upstash: {},
    },
  });
  for (
    const [given, field] of [
      [{ elevenlabs: { voice_limit: -1 } }, "elevenlabs.voice_limit"],
      [{ elevenlabs: { voices: 1 } }, "elevenlabs.voices"],
      [{ upstash: { speed: 1 } }, "upstash.speed"],
      [{ acme: {} }, "acme"],
    ] as const
  ) {
    assertObjectMatch(
      await control(simulators, "POST", "/settings", given),
      { status: 400, body: { issues: [{ field }] } },
    );
  }
  assertEquals(await control(simulators, "GET", "/settings"), changed);
});

Deno.test("POST /_control/clock: only advances the time", async () => {
  await using simulators = await running();
  const before = Date.now();
  const { body } = await control(simulators, "POST", "/clock", {
    advance_ms: 86_400_000,
  });
  const { now } = z.object({ now: z.iso.datetime() }).parse(body);
  assertGreater(new Date(now).getTime(), before + 86_400_000 - 1);
  assertObjectMatch(
    await control(simulators, "POST", "/clock", { advance_ms: -1 }),
    { status: 400, body: { issues: [{ field: "advance_ms" }] } },
  );
});

Deno.test("POST /_control/reset: resets voices, ledger, requests, faults, settings, Redis and the clock", async () => {
  await using simulators = await running();
  const redis = (command: unknown[]) =>
    fetch(`${simulators.url}/upstash`, {
      method: "POST",
      headers: { authorization: "Bearer t" },
      body: JSON.stringify(command),
    }).then((response) => response.json());
  await clone(simulators, JOB);
  await redis(["set", "k", "v"]);
  await control(simulators, "POST", "/settings", {
    elevenlabs: { voice_limit: 1 },
  });
  await control(simulators, "POST", "/faults", {
    provider: "elevenlabs",
    times: null,
    fault: { kind: "status", status: 500 },
  });
  await control(simulators, "POST", "/clock", { advance_ms: 3_600_000 });
  assertEquals(await control(simulators, "POST", "/reset"), {
    status: 200,
    body: { ok: true },
  });
  assertObjectMatch(await control(simulators, "GET", "/ledger"), {
    body: { entries: [], counts: { total: 0 } },
  });
  assertObjectMatch(await control(simulators, "GET", "/requests"), {
    body: { entries: [] },
  });
  assertObjectMatch(await control(simulators, "GET", "/settings"), {
    body: { elevenlabs: { voice_limit: 660 } },
  });
  assertEquals(await redis(["get", "k"]), { result: null });
  const { voices } = await elevenLabs(simulators).voices.search({
    voice_type: "personal",
  }, ONE_TRY);
  assertEquals(voices, []);
  await clone(simulators, JOB);
  const [entry] = simulators.ledger.list();
  assertEquals(entry?.seq, 1);
  assertGreater(Date.now() + 60_000, new Date(entry?.at ?? "").getTime());
});

Deno.test("POST /_control/release: returns how many requests it released", async () => {
  await using simulators = await running();
  simulators.faults.add({
    provider: "elevenlabs",
    times: 2,
    fault: { kind: "hang" },
  });
  const answers = [clone(simulators, JOB), clone(simulators, JOB)];
  await simulators.requests.waitFor({}, 2, 10_000);
  assertObjectMatch(await control(simulators, "POST", "/release"), {
    body: { released: 2 },
  });
  await Promise.all(answers);
  assertObjectMatch(await control(simulators, "POST", "/release"), {
    body: { released: 0 },
  });
});

Deno.test("POST /_control/reset: a clone that is being decoded does not appear afterwards", async () => {
  await using simulators = await running();
  const answer = clone(simulators, JOB, {
    files: [audioFile("speech.webm", "audio/webm")],
  });
  await simulators.requests.waitFor({}, 1, 10_000);
  await control(simulators, "POST", "/reset");
  await answer;
  assertEquals(simulators.ledger.list(), []);
  const { total_count } = await elevenLabs(simulators).voices.search({
    voice_type: "personal",
  }, ONE_TRY);
  assertEquals(total_count, 0);
});

Deno.test("POST /_control/reset: aborts a request that would hang later", async () => {
  await using simulators = await running();
  using _time = heldTimeouts();
  simulators.faults.add({
    provider: "elevenlabs",
    fault: { kind: "hang", processed: "before" },
  });
  const failing = failureOf(clone(simulators, JOB, {
    files: [audioFile("speech.ogg", "audio/ogg")],
  }));
  await until(() => simulators.requests.list().length > 0, "a request arrives");
  let reset = false;
  simulators.reset().then(() => reset = true);
  await until(() => reset, "the reset is done");
  assertEquals((await failing).message, "fetch failed");
});
