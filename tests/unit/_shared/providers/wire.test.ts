import { assert, assertEquals, assertRejects } from "@std/assert";
import { z } from "zod";
import { ProviderFailure } from "../../../../supabase/functions/_shared/failures/provider-failure.ts";
import { createDIdWire } from "../../../../supabase/functions/_shared/providers/d-id/client.ts";
import { createElevenLabsWire } from "../../../../supabase/functions/_shared/providers/elevenlabs/client.ts";
import { createHeyGenWire } from "../../../../supabase/functions/_shared/providers/heygen/client.ts";
import {
  createWire,
  type ProviderAccess,
  type Wire,
} from "../../../../supabase/functions/_shared/providers/wire.ts";

const never = new AbortController().signal;

const accessTo = (respond: typeof fetch): ProviderAccess => ({
  apiKey: "key-of-the-test-1234",
  baseUrl: "https://provider.test/base/",
  timeoutSeconds: 60,
  fetch: respond,
});

const WIRES: Record<string, (access: ProviderAccess) => Wire> = {
  elevenlabs: createElevenLabsWire,
  "d-id": (access) => createDIdWire({ ...access, keyEncoding: "none" }),
  heygen: createHeyGenWire,
};

/** A wire of a fictitious provider whose responses have at most ten bytes of JSON. */
const wireTo = (respond: typeof fetch) =>
  createWire(accessTo(respond), {
    keyVariable: "SOME_API_KEY",
    authorize: (key) => ({ authorization: key }),
    readError: () => ({}),
    maxJsonBytes: 10,
  });

const answering = (
  body: BodyInit | null,
  init: ResponseInit = {},
): typeof fetch =>
() => Promise.resolve(new Response(body, init));

function failureOf(work: Promise<unknown>): Promise<ProviderFailure> {
  return assertRejects(() => work, ProviderFailure);
}

for (const [name, open] of Object.entries(WIRES)) {
  for (
    const [how, headers, seconds] of [
      ["in seconds", { "retry-after": "17" }, 17],
      ["as a date", {
        "retry-after": "Mon, 23 Nov 2026 10:02:05 GMT",
        date: "Mon, 23 Nov 2026 10:00:00 GMT",
      }, 125],
    ] as const
  ) {
    Deno.test(`${name}: Retry-After ${how} is read from a refusal and from a server error`, async () => {
      for (const status of [429, 503]) {
        const wire = open(accessTo(answering(null, { status, headers })));
        const failure = await failureOf(wire.remove("/x", never));
        assertEquals(failure.retryAfterSeconds, seconds);
      }
    });
  }

  for (const status of [404, 410]) {
    Deno.test(`${name}: a ${status} means gone, for reading, querying and removing`, async () => {
      const wire = open(accessTo(answering("{}", { status })));
      assertEquals(await wire.has("/x", never), false);
      await wire.remove("/x", never);
      const failure = await failureOf(
        wire.readMade("/x", z.unknown(), never),
      );
      assertEquals(
        [failure.code, failure.certainty, failure.isRetryable],
        ["provider_answer_invalid", "unknown", true],
      );
    });
  }

  Deno.test(`${name}: a 409, a 425 and a 500 never mean gone`, async () => {
    for (const status of [409, 425, 500]) {
      const wire = open(accessTo(answering("{}", { status })));
      await failureOf(wire.has("/x", never));
      await failureOf(wire.remove("/x", never));
    }
  });
}

Deno.test("elevenlabs: a 400 with a not-found code means gone, any other 400 does not", async () => {
  const wireFor = (code: string) =>
    createElevenLabsWire(
      accessTo(
        answering(JSON.stringify({ detail: { code } }), { status: 400 }),
      ),
    );
  assertEquals(await wireFor("voice_not_found").has("/x", never), false);
  await failureOf(wireFor("invalid_voice").has("/x", never));
});

Deno.test("send: the path is appended to the base URL, and the key is sent to no other host", async () => {
  const requests: Request[] = [];
  const wire = wireTo((input, init) => {
    requests.push(new Request(input, init));
    return Promise.resolve(new Response("{}"));
  });
  await wire.json(
    { method: "GET", path: "/a/b", query: { q: "ä &" } },
    z.unknown(),
    never,
  );
  const [request] = requests;
  assert(request !== undefined);
  assertEquals(request.url, "https://provider.test/base/a/b?q=%C3%A4+%26");
  assertEquals(request.redirect, "manual");
  assertEquals(request.headers.get("authorization"), "key-of-the-test-1234");
});

Deno.test("send: a redirect is not followed, and its outcome is unknown", async () => {
  const wire = wireTo(
    answering(null, {
      status: 307,
      headers: { location: "https://elsewhere.test/" },
    }),
  );
  const failure = await failureOf(
    wire.send({ method: "POST", path: "/x" }, never),
  );
  assertEquals([failure.code, failure.certainty], [
    "provider_unavailable",
    "unknown",
  ]);
});

Deno.test("json: a response of exactly the maximum is read, one byte more is final and unknown", async () => {
  const ask = (text: string) =>
    wireTo(answering(text)).json(
      { method: "GET", path: "/x" },
      z.string(),
      never,
    );
  assertEquals(await ask('"12345678"'), "12345678");
  const failure = await failureOf(ask('"123456789"'));
  assertEquals(
    [failure.code, failure.certainty, failure.isRetryable],
    ["provider_answer_too_large", "unknown", false],
  );
});

Deno.test("send: of an error with a too long body only the status is read, and its transfer ends", async () => {
  let isCancelled = false;
  const endless = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull: (stream) => stream.enqueue(new Uint8Array(1024)),
    cancel() {
      isCancelled = true;
    },
  });
  const failure = await failureOf(
    wireTo(answering(endless, { status: 402 })).remove("/x", never),
  );
  assertEquals([failure.code, failure.certainty, isCancelled], [
    "provider_quota_exceeded",
    "rejected",
    true,
  ]);
});

for (
  const [how, body] of [["JSON", '{"why":"x"}'], ["text", "<p>busy</p>"]]
) {
  Deno.test(`send: an error's body that is ${how} is logged`, async () => {
    const failure = await failureOf(
      wireTo(answering(body ?? "", { status: 500 })).remove("/x", never),
    );
    assertEquals(failure.cause, how === "JSON" ? { why: "x" } : body);
  });
}

Deno.test("send: the caller's abort is a timeout for any reason, also while the body arrives", async () => {
  const caller = new AbortController();
  const stalled = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(stream) {
      caller.signal.addEventListener(
        "abort",
        () => stream.error(caller.signal.reason),
      );
    },
  });
  const reading = failureOf(
    wireTo(answering(stalled)).json(
      { method: "GET", path: "/x" },
      z.unknown(),
      caller.signal,
    ),
  );
  caller.abort(new Error("the owner cancelled"));
  const failure = await reading;
  assertEquals([failure.code, failure.certainty], [
    "provider_timeout",
    "unknown",
  ]);
});

Deno.test("send: without a key nothing is sent, and the log names the missing variable", async () => {
  const wire = createWire({
    ...accessTo(() => Promise.reject(new Error("sent"))),
    apiKey: undefined,
  }, {
    keyVariable: "SOME_API_KEY",
    authorize: () => ({}),
    readError: () => ({}),
  });
  const failure = await failureOf(wire.has("/x", never));
  assertEquals([failure.code, failure.certainty, failure.isRetryable], [
    "provider_unauthorized",
    "rejected",
    false,
  ]);
  assert(failure.cause instanceof Error);
  assertEquals(failure.cause.message, "SOME_API_KEY is not set");
});
