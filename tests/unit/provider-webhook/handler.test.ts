/** Long webhooks: read only with a plausible signature, hashed as they arrive, and few at a time. */
import { createHmac } from "node:crypto";
import { createClient } from "@supabase/supabase-js";
import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Database } from "../../../supabase/functions/_shared/database.types.ts";
import { createHandler } from "../../../supabase/functions/provider-webhook/handler.ts";
import { refusalOf } from "../../_support/hostile-answers.ts";
import { depsWithoutNetwork } from "../_support/in-process.ts";

const SECRET = "whsec_of-the-test-0123456789abcdef0123";
const JOB = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";
const SENT_AT = 1_767_225_600;
const MIB = 1_048_576;

/** The function, and its calls to the database. */
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
  const { deps } = depsWithoutNetwork({
    HEYGEN_WEBHOOK_SECRET: SECRET,
    DID_WEBHOOK_SECRET: SECRET,
    ELEVENLABS_WEBHOOK_SECRET: SECRET,
  });
  const handle = createHandler({ ...deps, supabase });
  return {
    databaseCalls,
    send: (
      body: BodyInit,
      headers: Record<string, string>,
      provider = "elevenlabs",
    ) =>
      handle(
        new Request(
          `https://project.test/functions/v1/provider-webhook/${provider}`,
          { method: "POST", headers, body },
        ),
      ),
  };
}

const UNSIGNED = {
  "elevenlabs-signature": `t=${SENT_AT},v0=${"0".repeat(64)}`,
};

/** A body of which no byte has arrived yet. */
function stalled() {
  const state = { isRead: false, isCancelled: false };
  let push: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (controller) => {
      push = controller;
    },
    pull: () => {
      state.isRead = true;
    },
    cancel: () => {
      state.isCancelled = true;
    },
  }, { highWaterMark: 0 });
  return {
    body,
    state,
    end: () => {
      push.enqueue(new Uint8Array([0x7b, 0x7d]));
      push.close();
    },
  };
}

Deno.test("provider-webhook: a body whose declared length is too long is 413, and no byte of it is read", async () => {
  const { send } = receiver();
  const { body, state } = stalled();
  const answer = await send(body, {
    ...UNSIGNED,
    "content-length": String(16 * MIB + 1),
  });
  assertEquals((await refusalOf(answer)).code, "payload_too_large");
  assertEquals(state.isRead, false);
});

Deno.test("provider-webhook: a long body from HeyGen or D-ID is 413", async () => {
  const { send } = receiver();
  const mac = createHmac("sha256", SECRET).update(`d-id-webhook:${JOB}`);
  for (
    const [provider, headers] of [
      ["heygen", {
        "heygen-signature": "0".repeat(64),
        "heygen-timestamp": String(SENT_AT),
        "heygen-event-id": "evt_1",
      }],
      [`d-id/${JOB}/${mac.digest("hex")}`, {}],
    ] as const
  ) {
    const answer = await send(new Uint8Array(262_145), headers, provider);
    assertEquals((await refusalOf(answer)).code, "payload_too_large");
  }
});

Deno.test("provider-webhook: a transcript of 15 MiB is verified and parsed without keeping its chunks", async () => {
  const { databaseCalls, send } = receiver();
  const before =
    '{"type":"speech_to_text_transcription","data":{"request_id":"r","transcription":{"text":"[{\\"","words":[';
  const after =
    `{}],"transcription_id":"t"},"webhook_metadata":{"job_id":"${JOB}"}}}`;
  function* texts() {
    yield before;
    for (let word = 0; word < 15; word++) {
      yield `{"text":"${String(word).padEnd(MIB - 14, ']"}'.at(0))}"},`;
    }
    yield after;
  }
  const mac = createHmac("sha256", SECRET).update(`${SENT_AT}.`);
  for (const text of texts()) mac.update(text);

  // The next chunk overwrites each one, so that code which keeps a chunk fails the test.
  const buffer = new Uint8Array(MIB);
  const all = texts();
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      const { value } = all.next();
      if (value === undefined) return controller.close();
      const { written } = new TextEncoder().encodeInto(value, buffer);
      controller.enqueue(buffer.subarray(0, written));
    },
  }, { highWaterMark: 0 });
  const answer = await send(body, {
    "elevenlabs-signature": `t=${SENT_AT},v0=${mac.digest("hex")}`,
  });
  assertEquals([answer.status, await answer.json()], [200, {
    status: "woken",
  }]);
  assertStringIncludes(databaseCalls[0] ?? "", `"p_job_id":"${JOB}"`);
  assertStringIncludes(databaseCalls[0] ?? "", '"p_provider_job_id":"t"');
  assertStringIncludes(databaseCalls[0] ?? "", '"p_submission_id":"r"');
});

Deno.test("provider-webhook: four bodies of 16 MiB are read at a time, and short ones at the same time", async () => {
  const { send } = receiver();
  const long = { ...UNSIGNED, "content-length": String(16 * MIB) };
  const held = Array.from({ length: 4 }, stalled);
  const answers = held.map(({ body }) => send(body, long));

  const fifth = stalled();
  const refused = await send(fifth.body, long);
  assertEquals(refused.status, 503);
  await refused.body?.cancel();
  assertEquals(refused.headers.get("retry-after"), "5");
  assertEquals(fifth.state.isRead, false);
  const short = await send("{}", UNSIGNED);
  assertEquals((await refusalOf(short)).code, "webhook_signature_invalid");

  held[0]?.end();
  await (await answers[0])?.body?.cancel();
  const sixth = stalled();
  const admitted = send(sixth.body, long);
  for (const { end } of [...held.slice(1), sixth]) end();
  for (const answer of [...answers.slice(1), admitted]) {
    assertEquals(
      (await refusalOf(await answer)).code,
      "webhook_signature_invalid",
    );
  }
});
