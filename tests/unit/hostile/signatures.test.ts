/** Signatures with a flipped bit, cut, extended or combined with another body: each is refused. */
import { createClient } from "@supabase/supabase-js";
import { assert, assertEquals } from "@std/assert";
import fc from "../../_support/fast-check.ts";
import { Webhook } from "standardwebhooks";
import type { Database } from "../../../supabase/functions/_shared/database.types.ts";
import { dIdCallbackPath } from "../../../supabase/functions/_shared/providers/d-id/webhook.ts";
import { createWorkerHandler } from "../../../supabase/functions/_shared/worker/handler.ts";
import { createHandler as providerWebhook } from "../../../supabase/functions/provider-webhook/handler.ts";
import { COMPLETE_ENV } from "../../_support/fake-platform.ts";
import { FakeRepository } from "../../_support/fake-repository.ts";
import { refusalOf } from "../../_support/hostile-answers.ts";
import { hmacHex } from "../../_support/hmac.ts";
import { reportCases, tryCases } from "../../_support/try-cases.ts";
import { depsWithoutNetwork } from "../_support/in-process.ts";

const SECRET = "whsec_of-the-test-0123456789abcdef0123";
const JOB = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";
const SENT_AT = 1_767_225_600;

/** A delivery, as bytes that can be corrupted one by one. */
interface Delivery {
  path: string;
  headers: Record<string, string>;
  body: Uint8Array<ArrayBuffer>;
}

/** The calls to the database, by the names and values of their arguments. */
function receiver() {
  const databaseCalls: string[] = [];
  const supabase = createClient<Database>(
    "https://project.test",
    "sb_secret_0123456789",
    {
      auth: { persistSession: false, autoRefreshToken: false },
      global: {
        fetch: (_input, init) => {
          databaseCalls.push(String(init?.body));
          return Promise.resolve(Response.json("woken"));
        },
      },
    },
  );
  const { deps, outside } = depsWithoutNetwork({
    HEYGEN_WEBHOOK_SECRET: SECRET,
    DID_WEBHOOK_SECRET: SECRET,
    ELEVENLABS_WEBHOOK_SECRET: SECRET,
  });
  const handle = providerWebhook({ ...deps, supabase });
  return {
    databaseCalls,
    outside,
    send: async ({ path, headers, body }: Delivery): Promise<Response> =>
      await handle(
        new Request(
          `https://project.test/functions/v1/provider-webhook/${path}`,
          {
            method: "POST",
            headers,
            body,
          },
        ),
      ),
  };
}

const bytes = (text: string) => new TextEncoder().encode(text);

async function elevenLabs(): Promise<Delivery> {
  const body = JSON.stringify({
    type: "speech_to_text_transcription",
    data: { request_id: "r", webhook_metadata: { job_id: `job:${JOB}` } },
  });
  const signature = await hmacHex(SECRET, `${SENT_AT}.${body}`);
  return {
    path: "elevenlabs",
    headers: { "elevenlabs-signature": `t=${SENT_AT},v0=${signature}` },
    body: bytes(body),
  };
}

async function heyGen(): Promise<Delivery> {
  const body = JSON.stringify({
    event_type: "avatar_video.success",
    event_data: { video_id: "v", callback_id: `job:${JOB}` },
  });
  return {
    path: "heygen",
    headers: {
      "heygen-signature": await hmacHex(SECRET, body),
      "heygen-timestamp": String(SENT_AT),
      "heygen-event-id": "evt_1",
    },
    body: bytes(body),
  };
}

function dId(): Delivery {
  return {
    path: `d-id/${dIdCallbackPath(JOB, SECRET)}`,
    headers: {},
    body: bytes('{"id":"tlk_1","status":"done"}'),
  };
}

/** All texts that differ from this one in one bit, and can be sent. */
function* flipped(text: string): Generator<string> {
  const all = bytes(text);
  for (let at = 0; at < all.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const spoilt = all.slice();
      spoilt[at] = (spoilt[at] ?? 0) ^ (1 << bit);
      const changed = String.fromCharCode(...spoilt);
      // Excludes bytes that no header can contain, and leading or trailing space, which is trimmed.
      if (
        /^[\x21-\x7e\x80-\xff][\t\x20-\x7e\x80-\xff]*$/.test(changed) &&
        changed.trim() === changed
      ) yield changed;
    }
  }
}

function* flippedBytes(
  body: Uint8Array,
): Generator<Uint8Array<ArrayBuffer>> {
  for (let at = 0; at < body.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const spoilt = new Uint8Array(body);
      spoilt[at] = (spoilt[at] ?? 0) ^ (1 << bit);
      yield spoilt;
    }
  }
}

/** Every proper prefix of a text, and the text with a suffix. */
function* resized(text: string): Generator<string> {
  for (let length = 0; length < text.length; length++) {
    yield text.slice(0, length);
  }
  for (
    const more of ["0", "00", "=", ",", ";v0=", " x", text, "f".repeat(64)]
  ) {
    yield text + more;
  }
}

const with_ = (
  delivery: Delivery,
  header: string,
  value: string,
): Delivery => ({
  ...delivery,
  headers: { ...delivery.headers, [header]: value },
});

/** Sends all deliveries; each must be refused as a forgery without a call to the database. */
async function assertRefused(
  subject: string,
  deliveries: Iterable<Delivery>,
): Promise<void> {
  const { send, databaseCalls, outside } = receiver();
  let sent = 0;
  for (const delivery of deliveries) {
    const { code, status } = await refusalOf(await send(delivery));
    sent++;
    assert(
      code === "webhook_signature_invalid" && status === 401 ||
        code === "not_found" || code === "payload_too_large",
      `${subject}: ${code} for ${JSON.stringify(delivery.headers)}`,
    );
  }
  assertEquals(databaseCalls, []);
  assertEquals(outside, []);
  reportCases(subject, sent);
}

for (
  const { name, make, header } of [
    { name: "ElevenLabs", make: elevenLabs, header: "elevenlabs-signature" },
    { name: "HeyGen", make: heyGen, header: "heygen-signature" },
  ]
) {
  Deno.test(`provider-webhook: ${name}: the twin: a signed delivery is accepted, once`, async () => {
    const { send, databaseCalls } = receiver();
    const response = await send(await make());
    assertEquals(response.status, 200, await response.text());
    assertEquals(databaseCalls.length, 1);
  });

  Deno.test(`provider-webhook: ${name}: one bit of the signature or the body, flipped, is a forgery`, async () => {
    const right = await make();
    const signature = right.headers[header] ?? "";
    await assertRefused(
      `${name}, signature bits`,
      function* () {
        for (const value of flipped(signature)) {
          yield with_(right, header, value);
        }
      }(),
    );
    await assertRefused(
      `${name}, body bits`,
      function* () {
        for (const body of flippedBytes(right.body)) yield { ...right, body };
      }(),
    );
  });

  Deno.test(`provider-webhook: ${name}: a signature or body that is cut or extended is a forgery`, async () => {
    const right = await make();
    const signature = right.headers[header] ?? "";
    await assertRefused(
      `${name}, signature length`,
      function* () {
        for (const value of resized(signature)) {
          yield with_(right, header, value);
        }
      }(),
    );
    await assertRefused(
      `${name}, body length`,
      function* () {
        for (const body of resized(new TextDecoder().decode(right.body))) {
          yield { ...right, body: bytes(body) };
        }
      }(),
    );
  });

  Deno.test(`provider-webhook: ${name}: a signature fits no other body and no other secret`, async () => {
    const right = await make();
    const { send, databaseCalls } = receiver();
    await tryCases(
      `${name}, other bodies`,
      fc.oneof(fc.json(), fc.string(), fc.constant("")),
      2000,
      async (body) => {
        const { code } = await refusalOf(
          await send({ ...right, body: bytes(body) }),
        );
        assertEquals(code, "webhook_signature_invalid");
      },
    );
    await tryCases(
      `${name}, other secrets`,
      fc.string({ minLength: 1, maxLength: 60 }).filter((one) =>
        one !== SECRET
      ),
      1000,
      async (secret) => {
        const body = new TextDecoder().decode(right.body);
        const forged = name === "HeyGen"
          ? await hmacHex(secret, body)
          : `t=${SENT_AT},v0=${await hmacHex(secret, `${SENT_AT}.${body}`)}`;
        await refusalOf(await send(with_(right, header, forged)));
      },
    );
    assertEquals(databaseCalls, []);
  });
}

Deno.test("provider-webhook: HeyGen: a replay under another event id or time is recognized by its body", async () => {
  const right = await heyGen();
  const digestOf = (databaseCalls: string) =>
    /sha256:[0-9a-f]{64}/.exec(databaseCalls)?.[0];
  const { send, databaseCalls } = receiver();
  await (await send(right)).body?.cancel();
  const known = digestOf(databaseCalls[0] ?? "");
  assert(known !== undefined);
  await tryCases(
    "HeyGen, replays",
    fc.record({
      id: fc.stringMatching(/^[!-~]{1,40}$/),
      sentAt: fc.nat(4_000_000_000),
    }),
    500,
    async ({ id, sentAt }) => {
      databaseCalls.length = 0;
      const again = with_(right, "heygen-event-id", id);
      const response = await send(
        with_(again, "heygen-timestamp", String(sentAt)),
      );
      await response.body?.cancel();
      assertEquals(digestOf(databaseCalls[0] ?? ""), known);
      // The database decides whether the time is current.
      assert(databaseCalls[0]?.includes(`"p_sent_at_unix":${sentAt}`));
    },
  );
});

Deno.test("provider-webhook: D-ID: a flipped bit, cut or extension of the URL is a forgery", async () => {
  const right = await dId();
  const { send, databaseCalls } = receiver();
  assertEquals((await send(right)).status, 200);
  assertEquals(databaseCalls.length, 1);
  await assertRefused(
    "D-ID, address bits",
    function* () {
      for (const path of flipped(right.path)) {
        const url = new URL(`https://project.test/${path}`);
        // A trailing slash, a query or a fragment does not change the route.
        if (url.pathname.replace(/\/$/, "") !== `/${right.path}`) {
          yield { ...right, path };
        }
      }
    }(),
  );
  await assertRefused(
    "D-ID, address length",
    function* () {
      for (const path of resized(right.path)) yield { ...right, path };
    }(),
  );
});

Deno.test("provider-webhook: D-ID: only the digest of the body is sent to the database", async () => {
  const right = await dId();
  const { send, databaseCalls } = receiver();
  await tryCases(
    "D-ID, bodies",
    fc.oneof(fc.json(), fc.string()),
    1000,
    async (body) => {
      databaseCalls.length = 0;
      const response = await send({ ...right, body: bytes(body) });
      assertEquals(response.status, 200, await response.text());
      const params: unknown = JSON.parse(databaseCalls[0] ?? "");
      assert(typeof params === "object" && params !== null);
      assertEquals(Object.keys(params).sort(), [
        "p_event_ids",
        "p_job_id",
        "p_provider",
        "p_tolerance_seconds",
      ]);
      assert("p_job_id" in params && params.p_job_id === JOB);
    },
  );
});

Deno.test("provider-webhook: signed bodies of every form are accepted, and name a job or none", async () => {
  const { send, databaseCalls } = receiver();
  const shapes = fc.oneof(
    fc.json(),
    fc.record({
      event_data: fc.oneof(
        fc.jsonValue(),
        fc.record({ callback_id: fc.jsonValue(), video_id: fc.jsonValue() }),
      ),
      data: fc.oneof(
        fc.jsonValue(),
        fc.record({
          webhook_metadata: fc.oneof(fc.jsonValue(), fc.json()),
          request_id: fc.jsonValue(),
          transcription: fc.jsonValue(),
        }),
      ),
    }).map((value) => JSON.stringify(value)),
  );
  await tryCases(
    "signed webhook bodies",
    fc.tuple(shapes, fc.boolean()),
    3000,
    async ([body, isHeyGen]) => {
      databaseCalls.length = 0;
      const response = await send(
        isHeyGen
          ? {
            path: "heygen",
            headers: {
              "heygen-signature": await hmacHex(SECRET, body),
              "heygen-timestamp": String(SENT_AT),
              "heygen-event-id": "evt_1",
            },
            body: bytes(body),
          }
          : {
            path: "elevenlabs",
            headers: {
              "elevenlabs-signature": `t=${SENT_AT},v0=${await hmacHex(
                SECRET,
                `${SENT_AT}.${body}`,
              )}`,
            },
            body: bytes(body),
          },
      );
      assertEquals(response.status, 200, await response.text());
      const job = /"p_job_id":"([^"]*)"/.exec(databaseCalls[0] ?? "")?.[1];
      if (job !== undefined) assert(/^[0-9a-f-]{36}$/i.test(job), job);
    },
  );
});

Deno.test("process-ai-job: one bit of a dispatch's signature, id, time or body, flipped, is a forgery", async () => {
  const { deps, outside } = depsWithoutNetwork();
  const claimed: string[] = [];
  const handle = createWorkerHandler("process-ai-job", {
    ...deps,
    repository: new FakeRepository(),
    worker: {
      claim: () => {
        claimed.push("claimed");
        return Promise.resolve([]);
      },
    },
  });
  const body = JSON.stringify({
    type: "INSERT",
    table: "ai_jobs",
    schema: "public",
    record: { id: JOB },
  });
  const at = new Date(SENT_AT * 1000);
  const headers: Record<string, string> = {
    "webhook-id": "msg_1",
    "webhook-timestamp": String(SENT_AT),
    "webhook-signature": new Webhook(COMPLETE_ENV.DISPATCH_SECRET).sign(
      "msg_1",
      at,
      body,
    ),
  };
  const send = (init: { headers?: Record<string, string>; body?: BodyInit }) =>
    handle(
      new Request("https://project.test/functions/v1/process-ai-job", {
        method: "POST",
        headers,
        body,
        ...init,
      }),
    );
  assertEquals((await send({})).status, 202);
  assertEquals(claimed.length, 1);

  let sent = 0;
  const refuse = async (init: Parameters<typeof send>[0]) => {
    const response = await send(init);
    assert(
      response.status < 500 && response.status >= 400,
      JSON.stringify(init),
    );
    const { code } = await refusalOf(response);
    assert(
      code === "dispatch_signature_invalid" || code === "invalid_json",
      code,
    );
    sent++;
  };
  for (const name of Object.keys(headers)) {
    const value = headers[name] ?? "";
    for (const spoilt of [...flipped(value), ...resized(value)]) {
      // Base64 allows other last bits and padding, and a header may have several signatures.
      if (isSameSignature(value, spoilt)) continue;
      await refuse({ headers: { ...headers, [name]: spoilt } });
    }
  }
  for (const spoilt of flippedBytes(bytes(body))) {
    await refuse({ body: spoilt });
  }
  for (const spoilt of resized(body)) await refuse({ body: spoilt });
  assertEquals(claimed.length, 1, "no further dispatch was claimed");
  assertEquals(outside, []);
  reportCases("process-ai-job, signature, id, time and body", sent);
});

function isSameSignature(right: string, spoilt: string): boolean {
  if (!right.startsWith("v1,")) return false;
  return spoilt.split(" ").some((entry) => {
    if (!entry.startsWith("v1,")) return false;
    try {
      const mac = (text: string) =>
        atob(text.slice("v1,".length).replace(/=+$/, ""));
      return mac(entry) === mac(right);
    } catch {
      return false;
    }
  });
}
