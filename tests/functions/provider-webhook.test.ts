/** Webhooks of providers: lost, late, duplicate, forged or out of order, they only change when a job polls. */
import { assert, assertEquals, assertObjectMatch } from "@std/assert";
import {
  callFunction,
  type FunctionAnswer,
  signUp,
  type TestUser,
} from "../_support/as-user.ts";
import {
  assertVideoOnce,
  requestVideo,
  uploadPortrait,
} from "../_support/avatar-jobs.ts";
import { jobFacts } from "../_support/job-facts.ts";
import { sendHead } from "../_support/raw-client.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import {
  readJob,
  sweepJob,
  waitForEvent,
  waitForJob,
  waitForLog,
} from "../_support/wait-for.ts";

const SECRET = "whsec_of-the-test-0123456789abcdef0123";
const running = useStack({
  env: {
    HEYGEN_WEBHOOK_SECRET: SECRET,
    DID_WEBHOOK_SECRET: SECRET,
    ELEVENLABS_WEBHOOK_SECRET: SECRET,
  },
});

let sharedUser: TestUser | undefined;
Deno.test.beforeAll(async () => {
  sharedUser = await signUp(running());
});

async function hmac(secret: string, text: string): Promise<string> {
  const encode = (value: string) => new TextEncoder().encode(value);
  const key = await crypto.subtle.importKey(
    "raw",
    encode(secret),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  const mac = new Uint8Array(
    await crypto.subtle.sign("HMAC", key, encode(text)),
  );
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const now = () => Math.floor(Date.now() / 1000);

/** HeyGen's signed event about a job. */
async function heyGenDelivery(
  jobId: string,
  options: {
    event?: string;
    eventId?: string;
    sentAt?: number;
    secret?: string;
    more?: Record<string, unknown>;
  } = {},
): Promise<{ body: string; headers: Record<string, string> }> {
  const body = JSON.stringify({
    event_type: options.event ?? "avatar_video.success",
    event_data: {
      video_id: "any",
      callback_id: `job:${jobId}`,
      ...options.more,
    },
  });
  return {
    body,
    headers: {
      "heygen-signature": await hmac(options.secret ?? SECRET, body),
      "heygen-timestamp": String(options.sentAt ?? now()),
      "heygen-event-id": options.eventId ?? `evt_${crypto.randomUUID()}`,
    },
  };
}

function deliver(
  stack: TestStack,
  path: string,
  { body, headers }: { body: string; headers: Record<string, string> },
): Promise<FunctionAnswer> {
  return callFunction(stack, `provider-webhook/${path}`, { body, headers });
}

async function dIdPath(jobId: string): Promise<string> {
  return `d-id/${jobId}/${await hmac(SECRET, `d-id-webhook:${jobId}`)}`;
}

/** A job that waits for a render of one minute, and its user. */
async function waitingVideo(
  provider: "d-id" | "heygen",
  settings: Record<string, unknown> = {},
): Promise<{ user: TestUser; jobId: string }> {
  assert(sharedUser !== undefined);
  const stack = running();
  await stack.simulator.set(
    { render_ms: 60_000, webhooks: "lost", ...settings },
    provider,
  );
  const jobId = await requestVideo(
    sharedUser,
    await uploadPortrait(sharedUser),
    {
      provider,
    },
  );
  await waitForEvent(stack, jobId, "snoozed");
  return { user: sharedUser, jobId };
}

/** A job without its times. */
async function pictureOf(stack: TestStack, jobId: string): Promise<unknown> {
  const { isPostponed: _, ...facts } = await jobFacts(stack, jobId);
  return facts;
}

Deno.test("webhook: duplicates and replays wake the job once, also under another event id", async () => {
  const stack = running();
  const { user, jobId } = await waitingVideo("heygen");
  await stack.simulator.advanceClock(60_000);
  const delivery = await heyGenDelivery(jobId);
  const first = await deliver(stack, "heygen", delivery);
  assertEquals([first.status, first.body], [200, { status: "woken" }]);
  await waitForJob(stack, user, jobId, "completed");
  const picture = await pictureOf(stack, jobId);

  const again = await deliver(stack, "heygen", delivery);
  assertEquals([again.status, again.body], [200, { status: "replayed" }]);
  const renamed = await deliver(stack, "heygen", {
    ...delivery,
    headers: { ...delivery.headers, "heygen-event-id": "evt_another" },
  });
  assertEquals(renamed.body, { status: "replayed" });
  assertEquals(await pictureOf(stack, jobId), picture);
  await assertVideoOnce(stack, jobId);
});

Deno.test("webhook: both deliveries at the same moment wake the job once", async () => {
  const stack = running();
  const { user, jobId } = await waitingVideo("heygen");
  await stack.simulator.advanceClock(60_000);
  const delivery = await heyGenDelivery(jobId);
  const answers = await Promise.all(
    Array.from({ length: 6 }, () => deliver(stack, "heygen", delivery)),
  );
  assertEquals(
    answers.map(({ body }) => JSON.stringify(body)).sort(),
    [
      ...Array.from({ length: 5 }, () => '{"status":"replayed"}'),
      '{"status":"woken"}',
    ],
  );
  await waitForJob(stack, user, jobId, "completed");
  await assertVideoOnce(stack, jobId);
});

Deno.test("webhook: after an early, false report of completion the job polls and continues to wait", async () => {
  const stack = running();
  const { user, jobId } = await waitingVideo("d-id");
  const answer = await deliver(stack, await dIdPath(jobId), {
    body: JSON.stringify({
      id: "tlk_forged",
      status: "done",
      result_url: "https://example.com/forged.mp4",
    }),
    headers: {},
  });
  assertEquals(answer.body, { status: "woken" });
  await waitForEvent(stack, jobId, "snoozed", { nth: 2 });
  const job = await readJob(user, jobId);
  assertEquals([job.status, job.stage, job.output_url], [
    "pending",
    "rendering",
    null,
  ]);
  await stack.simulator.advanceClock(60_000);
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  await assertVideoOnce(stack, jobId);
});

Deno.test("webhook: events in the wrong order change nothing: the job reads the provider's state", async () => {
  const stack = running();
  const { user, jobId } = await waitingVideo("heygen");
  await stack.simulator.advanceClock(60_000);
  await deliver(
    stack,
    "heygen",
    await heyGenDelivery(jobId, {
      event: "avatar_video.fail",
      more: { msg: "no" },
    }),
  );
  await waitForJob(stack, user, jobId, "completed");
  const late = await deliver(stack, "heygen", await heyGenDelivery(jobId));
  assertEquals(late.body, { status: "nothing_waits" });
  await assertVideoOnce(stack, jobId);
});

Deno.test("webhook: if it is lost, the sweep completes the job", async () => {
  const stack = running();
  const { user, jobId } = await waitingVideo("d-id");
  await stack.simulator.advanceClock(60_000);
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  await assertVideoOnce(stack, jobId);
});

Deno.test("webhook: after the job was cancelled or completed it changes nothing", async () => {
  const stack = running();
  const { user, jobId } = await waitingVideo("d-id");
  await user.call("cancel-ai-job", { body: { job_id: jobId } });
  const picture = await pictureOf(stack, jobId);
  const answer = await deliver(stack, await dIdPath(jobId), {
    body: '{"status":"done"}',
    headers: {},
  });
  assertEquals(answer.body, { status: "nothing_waits" });
  assertEquals(await pictureOf(stack, jobId), picture);
});

Deno.test("webhook: it wakes no job that waits for anything but its provider", async () => {
  const stack = running();
  const { jobId } = await waitingVideo("d-id");
  // Another provider's signature does not reach it,
  const foreign = await deliver(stack, "heygen", await heyGenDelivery(jobId));
  assertEquals(foreign.body, { status: "nothing_waits" });
  // and a job that a failure delayed keeps its backoff.
  await stack
    .sql`update public.ai_jobs set last_event = 'retried' where id = ${jobId}`;
  const answer = await deliver(stack, await dIdPath(jobId), {
    body: "{}",
    headers: {},
  });
  assertEquals(answer.body, { status: "nothing_waits" });
});

for (
  const [what, make] of [
    [
      "with another's secret",
      (jobId: string) => heyGenDelivery(jobId, { secret: "whsec_guessed" }),
    ],
    ["with a body that was changed", async (jobId: string) => {
      const delivery = await heyGenDelivery(jobId);
      return { ...delivery, body: delivery.body.replace("success", "fail") };
    }],
    ["without a signature", async (jobId: string) => ({
      ...await heyGenDelivery(jobId),
      headers: {},
    })],
    [
      "six minutes old",
      (jobId: string) => heyGenDelivery(jobId, { sentAt: now() - 360 }),
    ],
    [
      "six minutes ahead",
      (jobId: string) => heyGenDelivery(jobId, { sentAt: now() + 360 }),
    ],
  ] as const
) {
  Deno.test(`webhook: HeyGen's ${what} is 401 and changes nothing`, async () => {
    const stack = running();
    const { jobId } = await waitingVideo("heygen");
    const picture = await pictureOf(stack, jobId);
    const receipts = () =>
      stack
        .sql`select event_id from private.provider_webhook_receipts order by event_id`;
    const before = await receipts();
    const answer = await deliver(stack, "heygen", await make(jobId));
    assertEquals(answer.status, 401);
    assertObjectMatch({ body: answer.body }, {
      body: {
        code: what.startsWith("six")
          ? "webhook_stale"
          : "webhook_signature_invalid",
      },
    });
    assertEquals(await pictureOf(stack, jobId), picture);
    assertEquals(await receipts(), before);
    assert((await jobFacts(stack, jobId)).isPostponed);
  });
}

Deno.test("webhook: D-ID's is refused with a wrong token, and the right token is not logged", async () => {
  const stack = running();
  const { jobId } = await waitingVideo("d-id");
  const { jobId: other } = await waitingVideo("d-id");
  const [, , token = ""] = (await dIdPath(other)).split("/");
  for (
    const [path, status] of [
      [`d-id/${jobId}/${token}`, 401],
      [`d-id/${jobId}/${"0".repeat(64)}`, 401],
      [`d-id/${jobId}`, 404],
      ["d-id", 404],
    ] as const
  ) {
    const answer = await deliver(stack, path, {
      body: '{"status":"done"}',
      headers: {},
    });
    assertEquals(answer.status, status, path);
  }
  assert((await jobFacts(stack, jobId)).isPostponed);
  await deliver(stack, await dIdPath(other), { body: "{}", headers: {} });
  const lines = await waitForLog(stack, "provider-webhook", {
    job_id: other,
    receipt: "woken",
  });
  assertEquals(lines.filter(({ line }) => line.includes(token)), []);
  const [row] = await stack.sql<{ count: number }>`
    select count(*)::int from public.ai_jobs where to_jsonb(ai_jobs)::text like ${`%${token}%`}`;
  assertEquals(row?.count, 0, "the token is stored nowhere");
});

Deno.test("webhook: ElevenLabs' wakes the job that its metadata names, and is refused unsigned or an hour old", async () => {
  const stack = running();
  const { jobId } = await waitingVideo("d-id");
  // As if it were a waiting transcription: the webhook depends only on the provider's name.
  await stack
    .sql`update public.ai_jobs set provider = 'elevenlabs' where id = ${jobId}`;
  const body = JSON.stringify({
    type: "speech_to_text_transcription",
    data: { request_id: "r", webhook_metadata: { job_id: jobId } },
  });
  const signed = async (time: number) => ({
    body,
    headers: {
      "elevenlabs-signature": `t=${time},v0=${await hmac(
        SECRET,
        `${time}.${body}`,
      )}`,
    },
  });
  const unsigned = await deliver(stack, "elevenlabs", { body, headers: {} });
  assertEquals(unsigned.status, 401);
  const old = await deliver(stack, "elevenlabs", await signed(now() - 3600));
  assertEquals(old.status, 401);
  const good = await deliver(stack, "elevenlabs", await signed(now()));
  assertEquals(good.body, { status: "woken" });
});

Deno.test("webhook: an unknown provider is 404, GET is 405, OPTIONS is 200, and a flood of bytes is 413", async () => {
  const stack = running();
  const nobody = await deliver(stack, "nobody", { body: "{}", headers: {} });
  assertEquals(nobody.status, 404);
  const get = await callFunction(stack, "provider-webhook/heygen");
  assertEquals(get.status, 405);
  const probe = await callFunction(stack, "provider-webhook/heygen", {
    method: "OPTIONS",
  });
  assertEquals(probe.status, 200);
  const flood = async (bytes: number, headers: Record<string, string>) => {
    using client = await sendHead(
      `${stack.apiUrl}/functions/v1/provider-webhook/heygen`,
      "POST",
      { "content-length": "17000000", ...headers },
    );
    await client.send(new Uint8Array(bytes));
    return await client.status();
  };
  assertEquals(await flood(0, {}), 401, "unsigned, no byte is waited for");
  const signature = {
    "heygen-timestamp": String(now()),
    "heygen-event-id": "flood",
    "heygen-signature": "0".repeat(64),
  };
  assertEquals(await flood(400_000, signature), 413);
});

Deno.test("webhook: an event about an unknown job gets 200, so that the provider stops sending it", async () => {
  const stack = running();
  const body = JSON.stringify({ event_type: "batch.finished", n: now() });
  const answer = await deliver(stack, "heygen", {
    body,
    headers: {
      "heygen-signature": await hmac(SECRET, body),
      "heygen-timestamp": String(now()),
      "heygen-event-id": crypto.randomUUID(),
    },
  });
  assertEquals([answer.status, answer.body], [200, {
    status: "nothing_waits",
  }]);
});

for (const webhooks of ["doubled", "early", "forged"] as const) {
  Deno.test(`webhook: with webhooks ${webhooks} one video is created`, async () => {
    const stack = running();
    for (const provider of ["d-id", "heygen"] as const) {
      const { user, jobId } = await waitingVideo(provider, {
        render_ms: 60_000,
        webhooks,
        // An early one is sent with half of the render to go.
        webhook_delay_ms: webhooks === "early" ? 30_000 : 0,
        ...(provider === "heygen"
          ? {
            webhook_endpoint: {
              url: `${stack.apiUrl}/functions/v1/provider-webhook/heygen`,
              secret: SECRET,
            },
          }
          : {}),
      });
      await stack.simulator.advanceClock(30_000);
      if (webhooks === "early") {
        await waitForEvent(stack, jobId, "snoozed", { nth: 2 });
      }
      await stack.simulator.advanceClock(30_000);
      // Early and forged webhooks do not complete it; the sweep does.
      if (webhooks !== "doubled") await sweepJob(stack, jobId);
      await waitForJob(stack, user, jobId, "completed");
      await assertVideoOnce(stack, jobId);
    }
  });
}
