import {
  assert,
  assertEquals,
  assertObjectMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { ElevenLabs, ElevenLabsError } from "elevenlabs";
import type { Simulators } from "../../../dev/simulators/server.ts";
import {
  clone,
  elevenLabs,
  failureOf,
  heldTimeouts,
  ONE_TRY,
  running,
  turn,
  until,
} from "../_support/running-simulators.ts";

const JOB = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";

function fail(
  { faults }: Simulators,
  fault: Record<string, unknown>,
  rule: Record<string, unknown> = {},
): void {
  faults.add({
    provider: "elevenlabs",
    operation: "voices.add",
    ...rule,
    fault,
  });
}

async function cloneError(simulators: Simulators): Promise<ElevenLabsError> {
  const error = await failureOf(clone(simulators, JOB));
  assert(error instanceof ElevenLabsError);
  return error;
}

/** What the client could not see: how often the provider was called, and what it created. */
function seen({ requests, ledger }: Simulators): unknown {
  return {
    requests: requests.list({ operation: "voices.add" }).map((
      { fault, status, outcome },
    ) => [fault, status, outcome]),
    paid: ledger.list({ marker: JOB }).length,
  };
}

for (
  const [name, status] of [
    ["invalid_api_key", 401],
    ["quota_exceeded", 401],
    ["voice_limit_reached", 400],
    ["voice_add_edit_limit_reached", 400],
    ["can_not_use_instant_voice_cloning", 403],
    ["content_against_policy", 403],
    ["invalid_content", 400],
    ["rate_limit_exceeded", 429],
    ["too_many_concurrent_requests", 429],
    ["concurrent_limit_exceeded", 429],
    ["system_busy", 429],
  ] as const
) {
  Deno.test(`fault status: ${name} comes with ${status} in the old and the new form, and nothing is paid`, async () => {
    await using simulators = await running();
    fail(simulators, { kind: "status", error: name, shape: "old" });
    fail(simulators, { kind: "status", error: name, shape: "new" });
    const old = await cloneError(simulators);
    const fresh = await cloneError(simulators);
    assertEquals([old.statusCode, fresh.statusCode], [status, status]);
    assertObjectMatch({ body: old.body }, {
      body: { detail: { status: name } },
    });
    assert(!JSON.stringify(old.body).includes('"code"'));
    assertObjectMatch({ body: fresh.body }, {
      body: { detail: { code: name, status: name } },
    });
    assertEquals(seen(simulators), {
      requests: [["status", status, "answered"], [
        "status",
        status,
        "answered",
      ]],
      paid: 0,
    });
    await clone(simulators, JOB);
    assertEquals(simulators.ledger.list().length, 1);
  });
}

Deno.test("fault status, fault html: with processed before, the object exists and was charged", async () => {
  await using simulators = await running();
  for (const [kind, status] of [["status", 500], ["html", 502]] as const) {
    for (const processed of ["before", "never"]) {
      fail(simulators, { kind, status, processed });
      const before = simulators.ledger.list().length;
      assertEquals((await cloneError(simulators)).statusCode, status);
      assertEquals(
        simulators.ledger.list().length - before,
        processed === "before" ? 1 : 0,
      );
    }
  }
});

Deno.test("fault status: validation_error is a 422 with an array", async () => {
  await using simulators = await running();
  fail(simulators, { kind: "status", error: "validation_error" });
  const error = await cloneError(simulators);
  assert(error instanceof ElevenLabs.UnprocessableEntityError);
  assertObjectMatch({ body: error.body }, {
    body: { detail: [{ loc: ["body", "name"] }, { loc: ["body", "files"] }] },
  });
});

Deno.test("fault status: status and error together, own body, Retry-After, and a string detail", async () => {
  await using simulators = await running();
  fail(simulators, { kind: "status", error: "voice_not_found", status: 404 });
  fail(simulators, {
    kind: "status",
    error: "rate_limit_exceeded",
    headers: { "Retry-After": "7" },
  });
  fail(simulators, { kind: "status", status: 500, body: { any: "thing" } });
  fail(simulators, { kind: "status", status: 503 });
  fail(simulators, { kind: "status", status: 502, body: '{"detail":' });
  const got: unknown[] = [];
  for (let call = 0; call < 5; call += 1) {
    const response = await fetch(
      `${simulators.url}/elevenlabs/v1/voices/add`,
      { method: "POST", headers: { "xi-api-key": "k" } },
    );
    const text = await response.text();
    got.push([
      response.status,
      response.headers.get("retry-after"),
      response.headers.get("content-type"),
      /"code":"(\w+)"/.exec(text)?.[1] ?? text,
    ]);
  }
  const json = "application/json";
  assertEquals(got, [
    [404, null, json, "voice_not_found"],
    [429, "7", json, "rate_limit_exceeded"],
    [500, null, json, '{"any":"thing"}'],
    [503, null, json, '{"detail":"Service Unavailable"}'],
    [502, null, json, '{"detail":'],
  ]);
});

Deno.test("fault html: a 502 with an HTML body, and nothing is paid", async () => {
  await using simulators = await running();
  fail(simulators, { kind: "html" });
  const error = await cloneError(simulators);
  assertEquals(error.statusCode, 502);
  assertStringIncludes(JSON.stringify(error.body), "<h1>502 Bad Gateway</h1>");
  assertEquals(seen(simulators), {
    requests: [["html", 502, "answered"]],
    paid: 0,
  });
});

Deno.test("fault html: with status 200 the SDK resolves with something that has no voice_id", async () => {
  await using simulators = await running();
  fail(simulators, { kind: "html", status: 200, body: "<p>maintenance</p>" });
  assertObjectMatch({ answer: await clone(simulators, JOB) }, {
    answer: { ok: false, error: { reason: "non-json" } },
  });
});

Deno.test("fault delay: the clone exists although the SDK has timed out", async () => {
  await using simulators = await running();
  using time = heldTimeouts();
  fail(simulators, { kind: "delay", ms: 120_000 });
  const failing = cloneError(simulators);
  await created(simulators);
  time.pass(60_000);
  const error = await failing;
  assertEquals([error.statusCode, error.message], [undefined, '"timeout"']);
  assertEquals(simulators.ledger.list({ marker: JOB }).length, 1);
});

Deno.test("fault delay: shorter than the timeout, the answer comes", async () => {
  await using simulators = await running();
  using time = heldTimeouts();
  fail(simulators, { kind: "delay", ms: 30_000 });
  const answer = clone(simulators, JOB);
  await created(simulators);
  time.pass(29_999);
  await roundTrip(simulators);
  assertEquals(simulators.requests.list()[0]?.outcome, "pending");
  time.pass(1);
  assertObjectMatch({ answer: await answer }, {
    answer: { requires_verification: false },
  });
});

Deno.test("fault delay: processed after the wait, the clone appears after the client has left", async () => {
  await using simulators = await running();
  using time = heldTimeouts();
  fail(simulators, { kind: "delay", ms: 120_000, processed: "after" });
  const failing = cloneError(simulators);
  await arrived(simulators);
  await turn();
  assertEquals(simulators.ledger.list(), []);
  time.pass(60_000);
  assertEquals((await failing).message, '"timeout"');
  await until(() => clientGone(simulators), "the client leaves");
  assertEquals(simulators.ledger.list(), []);
  time.pass(60_000);
  await created(simulators);
});

Deno.test("fault delay_body: the SDK's timeout does not cover the body, an abort signal does", async () => {
  await using simulators = await running();
  using time = heldTimeouts();
  fail(simulators, { kind: "delay_body", ms: 600_000 });
  const abort = new AbortController();
  let settled = false;
  const failing = failureOf(
    clone(simulators, JOB, { abortSignal: abort.signal }),
  ).finally(() => settled = true);
  await created(simulators);
  // Far past the SDK's time limit of a minute, long after the headers have arrived.
  await roundTrip(simulators);
  time.pass(300_000);
  assertEquals(settled, false);
  abort.abort();
  const error = await failing;
  assertEquals(error.message, "The user aborted a request");
});

Deno.test("fault delay_body: sends the first half, stalls, then sends the rest", async () => {
  await using simulators = await running();
  simulators.faults.add({
    provider: "elevenlabs",
    fault: { kind: "delay_body", ms: 50 },
  });
  const response = await fetch(`${simulators.url}/elevenlabs/v1/voices`, {
    headers: { "xi-api-key": "k" },
  });
  const sizes: number[] = [];
  for await (const part of response.body ?? []) sizes.push(part.length);
  assert(sizes.length >= 2);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  assertEquals(total, Number(response.headers.get("content-length")));
});

Deno.test("fault close_before: the connection breaks, nothing is created", async () => {
  await using simulators = await running();
  using _time = heldTimeouts();
  fail(simulators, { kind: "close_before" });
  const error = await cloneError(simulators);
  assertEquals([error.statusCode, error.message], [undefined, "fetch failed"]);
  assertEquals(seen(simulators), {
    requests: [["close_before", null, "closed"]],
    paid: 0,
  });
});

Deno.test("fault close_after: the connection breaks, the clone exists and is found by its marker", async () => {
  await using simulators = await running();
  using _time = heldTimeouts();
  fail(simulators, { kind: "close_after" });
  const error = await cloneError(simulators);
  assertEquals([error.statusCode, error.message], [undefined, "fetch failed"]);
  assertEquals(seen(simulators), {
    requests: [["close_after", null, "closed"]],
    paid: 1,
  });
  const { voices } = await elevenLabs(simulators).voices.search(
    { search: JOB },
    ONE_TRY,
  );
  assertEquals(
    voices.map(({ voice_id }) => voice_id),
    simulators.ledger.list().map(({ id }) => id),
  );
});

Deno.test("fault close_after: a raw socket receives no byte before the end", async () => {
  await using simulators = await running();
  simulators.faults.add({
    provider: "elevenlabs",
    operation: "voices.list",
    fault: { kind: "close_after" },
  });
  const ask = async (): Promise<number> => {
    using connection = await Deno.connect({
      hostname: "127.0.0.1",
      port: simulators.port,
    });
    await connection.write(new TextEncoder().encode(
      "GET /elevenlabs/v1/voices HTTP/1.1\r\nhost: x\r\nxi-api-key: k\r\nconnection: close\r\n\r\n",
    ));
    const answer = await new Response(connection.readable).bytes();
    return answer.length;
  };
  assertEquals(await ask().catch(() => 0), 0);
  assert(await ask() > 100);
});

Deno.test("fault close_in_body: the body is incomplete, the clone exists", async () => {
  await using simulators = await running();
  fail(simulators, { kind: "close_in_body" });
  const error = await cloneError(simulators);
  assertEquals(error.statusCode, undefined);
  assertStringIncludes(error.message, "body");
  assertEquals(seen(simulators), {
    requests: [["close_in_body", 200, "closed"]],
    paid: 1,
  });
});

Deno.test("fault truncated_json: a complete 200 that is half a JSON, the clone exists", async () => {
  await using simulators = await running();
  fail(simulators, { kind: "truncated_json" });
  const answer = await clone(simulators, JOB);
  assertObjectMatch({ answer }, {
    answer: { ok: false, error: { reason: "non-json", statusCode: 200 } },
  });
  assertEquals(seen(simulators), {
    requests: [["truncated_json", 200, "answered"]],
    paid: 1,
  });
});

Deno.test("fault missing_fields: the named fields or all are left out, the clone exists", async () => {
  await using simulators = await running();
  fail(simulators, { kind: "missing_fields", fields: ["voice_id"] });
  fail(simulators, { kind: "missing_fields" });
  assertEquals(await clone(simulators, JOB), { requires_verification: false });
  assertEquals(await clone(simulators, JOB), {});
  assertEquals(simulators.ledger.list().length, 2);
});

Deno.test("fault hang: never answers, and ends when the client leaves, with nothing created", async () => {
  await using simulators = await running();
  using _time = heldTimeouts();
  fail(simulators, { kind: "hang" });
  const abort = new AbortController();
  const failing = failureOf(
    clone(simulators, JOB, { abortSignal: abort.signal }),
  );
  await arrived(simulators);
  abort.abort();
  assertEquals((await failing).message, "The user aborted a request");
  await until(() => clientGone(simulators), "the client leaves");
  assertEquals(seen(simulators), {
    requests: [["hang", null, "client_gone"]],
    paid: 0,
  });
});

Deno.test("fault hang: released, it is processed and answered", async () => {
  await using simulators = await running();
  fail(simulators, { kind: "hang" });
  const answer = clone(simulators, JOB);
  await arrived(simulators);
  await until(() => simulators.release() > 0, "a request to release");
  assertObjectMatch({ answer: await answer }, {
    answer: { requires_verification: false },
  });
  assertEquals(simulators.ledger.list({ marker: JOB }).length, 1);
});

Deno.test("fault hang: processed before, the clone exists while the response is held", async () => {
  await using simulators = await running();
  fail(simulators, { kind: "hang", processed: "before" });
  const answer = clone(simulators, JOB);
  await created(simulators);
  await until(() => simulators.release() > 0, "a request to release");
  await answer;
  assertEquals(seen(simulators), {
    requests: [["hang", 200, "answered"]],
    paid: 1,
  });
});

Deno.test("fault hang: processed after, the clone appears on release although the client has left", async () => {
  await using simulators = await running();
  using _time = heldTimeouts();
  fail(simulators, { kind: "hang", processed: "after" });
  const abort = new AbortController();
  const failing = failureOf(
    clone(simulators, JOB, { abortSignal: abort.signal }),
  );
  await arrived(simulators);
  abort.abort();
  await failing;
  await until(() => clientGone(simulators), "the client leaves");
  assertEquals(simulators.ledger.list(), []);
  await until(() => simulators.release() > 0, "a request to release");
  await created(simulators);
});

Deno.test("reset: drops a hanging request with a broken connection", async () => {
  await using simulators = await running();
  using _time = heldTimeouts();
  fail(simulators, { kind: "hang", processed: "after" });
  const failing = failureOf(clone(simulators, JOB));
  await arrived(simulators);
  await simulators.reset();
  assertEquals((await failing).message, "fetch failed");
  assertEquals(simulators.ledger.list(), []);
});

// Before its own retries, which the product never uses, the package leaves the body of a response unread.
Deno.test(
  "SDK: with its own retries it sends a failed clone three times, with maxRetries 0 only once",
  {
    sanitizeResources: false,
  },
  async () => {
    await using simulators = await running();
    using time = heldTimeouts();
    fail(simulators, { kind: "html", status: 502 }, { times: null });
    await failureOf(clone(simulators, JOB));
    assertEquals(simulators.requests.list().length, 1);
    const failing = failureOf(
      elevenLabs(simulators).voices.add({ name: "Grandma", files: [] }),
    );
    let settled = false;
    failing.finally(() => settled = true);
    await until(() => {
      time.pass(100);
      return settled;
    }, "the SDK fails");
    await failing;
    assertEquals(simulators.requests.list().length, 4);
  },
);

Deno.test("rules: times, after and a marker decide which request fails", async () => {
  await using simulators = await running();
  const other = crypto.randomUUID();
  fail(simulators, { kind: "status", status: 500 }, { times: 2, after: 1 });
  fail(simulators, { kind: "status", status: 503 }, {
    times: null,
    match: { marker: other },
  });
  const outcome = (job: string) =>
    clone(simulators, job).then(
      () => 200,
      (error: unknown) =>
        error instanceof ElevenLabsError ? error.statusCode : error,
    );
  const outcomes: unknown[] = [];
  for (const job of [JOB, JOB, JOB, JOB, other, other]) {
    outcomes.push(await outcome(job));
  }
  assertEquals(outcomes, [200, 500, 500, 200, 503, 503]);
  assertEquals(
    simulators.faults.list().map(({ applied, remaining, passing }) => [
      applied,
      remaining,
      passing,
    ]),
    [[2, 0, 0], [2, null, 0]],
  );
});

Deno.test("rules: path and method match what operation does not name", async () => {
  await using simulators = await running();
  simulators.faults.add([
    {
      provider: "elevenlabs",
      path: "/elevenlabs/v1/user/*",
      fault: { kind: "status", status: 500 },
    },
    {
      provider: "elevenlabs",
      path: "/elevenlabs/v1/voices/add",
      method: "get",
      fault: { kind: "status", status: 503 },
    },
  ]);
  await clone(simulators, JOB);
  const { user, voices } = elevenLabs(simulators);
  await assertRejects(
    () => user.getSubscription(ONE_TRY),
    ElevenLabsError,
    "500",
  );
  await assertRejects(
    () => voices.get("add", {}, ONE_TRY),
    ElevenLabsError,
    "503",
  );
});

/** Waits for the first request to arrive. */
async function arrived({ requests }: Simulators): Promise<void> {
  await until(() => requests.list().length > 0, "a request arrives");
}

/** Waits until the clone exists and, if its response is held, until it is held. */
async function created({ ledger }: Simulators): Promise<void> {
  await until(() => ledger.list({ marker: JOB }).length > 0, "a voice exists");
  await turn();
}

/** Sends another request and waits for its response; by then every earlier request has had its effect. */
async function roundTrip(simulators: Simulators): Promise<void> {
  await elevenLabs(simulators).voices.getAll({}, ONE_TRY);
}

/** True when the simulator has seen the client of the first request leave. */
function clientGone({ requests }: Simulators): boolean {
  return requests.list()[0]?.outcome === "client_gone";
}
