import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Simulators } from "../../../../dev/simulators/server.ts";
import type { ErrorCode } from "../../../../supabase/functions/_shared/failures/catalogue.ts";
import { ProviderFailure } from "../../../../supabase/functions/_shared/failures/provider-failure.ts";
import type {
  AvatarVideoRequest,
  AvatarVideos,
} from "../../../../supabase/functions/_shared/providers/avatar-videos.ts";
import { createDIdTalks } from "../../../../supabase/functions/_shared/providers/d-id/talks.ts";
import { createHeyGenVideos } from "../../../../supabase/functions/_shared/providers/heygen/videos.ts";
import { running } from "../../_support/running-simulators.ts";

const JOB = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";
const OTHER = "9c1d7f04-1c8b-4b8e-8f53-2f9b0a6f7e22";
const signal = () => AbortSignal.timeout(20_000);

type Name = "d-id" | "heygen";
const NAMES: readonly Name[] = ["d-id", "heygen"];
const CREATE = { "d-id": "talks.create", heygen: "videos.create" } as const;

function videos(
  name: Name,
  { url }: Pick<Simulators, "url">,
  apiKey: string | undefined = "key-of-the-test-1234",
  timeoutSeconds = 10,
): AvatarVideos {
  const options = { apiKey, baseUrl: `${url}/${name}`, timeoutSeconds, fetch };
  return name === "d-id"
    ? createDIdTalks({ ...options, keyEncoding: "none" })
    : createHeyGenVideos(options);
}

function portrait(job: string) {
  const url = new URL(
    "../../../fixtures/portraits/face.jpg",
    import.meta.url,
  );
  return {
    bytes: new Blob([Deno.readFileSync(url)]),
    mimeType: "image/jpeg",
    name: `job-${job}.jpg`,
  };
}

async function requestOf(
  provider: AvatarVideos,
  job = JOB,
  text = "Hello, it is me.",
): Promise<AvatarVideoRequest> {
  return {
    photo: await provider.uploadPhoto(portrait(job), signal()),
    speech: { kind: "text", text, voiceId: "v", voiceProvider: "microsoft" },
    marker: `job:${job}`,
    idempotencyKey: `job:${job}`,
  };
}

async function failureOf(run: Promise<unknown>): Promise<ProviderFailure> {
  return await assertRejects(() => run, ProviderFailure);
}

for (const name of NAMES) {
  Deno.test(`${name}: a video is submitted, polled while it renders, and read when it is done`, async () => {
    await using simulators = await running();
    const provider = videos(name, simulators);
    const id = await provider.create(await requestOf(provider), signal());
    assertEquals(await provider.read(id, signal()), { status: "rendering" });
    simulators.advanceClock(800);
    const done = await provider.read(id, signal());
    assert(done.status === "done");
    assertEquals(done.durationSeconds, 6.034);
    const film = await fetch(done.videoUrl);
    assertEquals(film.headers.get("content-type"), "video/mp4");
    await film.body?.cancel();
  });

  Deno.test(`${name}: found by its marker among others, on a later page; null when there is none`, async () => {
    await using simulators = await running();
    const provider = videos(name, simulators);
    const id = await provider.create(await requestOf(provider), signal());
    const prepared = await requestOf(provider, OTHER);
    for (let n = 0; n < 101; n++) {
      const marker = `job:${crypto.randomUUID()}`;
      await provider.create({
        ...prepared,
        marker,
        // With the same key HeyGen would return the first video.
        idempotencyKey: marker,
      }, signal());
      simulators.advanceClock(1000);
    }
    assertEquals(await provider.findByMarker(`job:${JOB}`, signal()), id);
    assertEquals(
      await provider.findByMarker(`job:${crypto.randomUUID()}`, signal()),
      null,
    );
  });

  Deno.test(`${name}: a request on a reused connection that the provider closes is sent once`, async () => {
    await using simulators = await running();
    const provider = videos(name, simulators);
    const prepared = await requestOf(provider);
    simulators.faults.add({
      provider: name,
      operation: CREATE[name],
      fault: { kind: "close_after" },
    });
    const failure = await failureOf(provider.create(prepared, signal()));
    assertEquals([failure.certainty, failure.code], [
      "unknown",
      "provider_unavailable",
    ]);
    assertEquals(simulators.ledger.list({ marker: JOB }).length, 1);
    assertEquals(
      simulators.requests.list({ provider: name, operation: CREATE[name] })
        .length,
      1,
    );
  });

  Deno.test(`${name}: a removed video is gone, a second removal succeeds, and reading it is retryable`, async () => {
    await using simulators = await running();
    const provider = videos(name, simulators);
    const id = await provider.create(await requestOf(provider), signal());
    if (name === "d-id") {
      const early = await failureOf(provider.remove(id, signal()));
      assertEquals(early.isRetryable, true);
    }
    simulators.advanceClock(800);
    await provider.remove(id, signal());
    await provider.remove(id, signal());
    assertEquals(simulators.ledger.list()[0]?.state, "deleted");
    const failure = await failureOf(provider.read(id, signal()));
    assertEquals([failure.code, failure.isRetryable], [
      "provider_answer_invalid",
      true,
    ]);
  });

  Deno.test(`${name}: without a key nothing is sent; a wrong one is a definite refusal`, async () => {
    await using simulators = await running();
    const keyless = name === "d-id"
      ? createDIdTalks({
        apiKey: undefined,
        keyEncoding: "none",
        baseUrl: `${simulators.url}/d-id`,
        timeoutSeconds: 5,
        fetch,
      })
      : createHeyGenVideos({
        apiKey: undefined,
        baseUrl: `${simulators.url}/heygen`,
        timeoutSeconds: 5,
        fetch,
      });
    const missing = await failureOf(keyless.read("x", signal()));
    assertEquals([missing.code, missing.certainty], [
      "provider_unauthorized",
      "rejected",
    ]);
    assertEquals(simulators.requests.list().length, 0);
    const wrong = await failureOf(
      videos(name, simulators, "invalid").read("x", signal()),
    );
    assertEquals([wrong.code, wrong.certainty], [
      "provider_unauthorized",
      "rejected",
    ]);
  });

  for (
    const [fault, code, certainty] of [
      [{ kind: "html", status: 502 }, "provider_unavailable", "unknown"],
      [{ kind: "truncated_json" }, "provider_answer_invalid", "unknown"],
      [{ kind: "missing_fields" }, "provider_answer_invalid", "unknown"],
      [{ kind: "close_before" }, "provider_unavailable", "unknown"],
      [{ kind: "close_in_body" }, "provider_unavailable", "unknown"],
      [{ kind: "hang" }, "provider_timeout", "unknown"],
      [{ kind: "delay_body", ms: 60_000 }, "provider_timeout", "unknown"],
      [{ kind: "status", status: 408 }, "provider_unavailable", "unknown"],
      [{ kind: "status", status: 409 }, "provider_unavailable", "unknown"],
      [{ kind: "status", status: 301 }, "provider_unavailable", "unknown"],
      [{ kind: "status", status: 422 }, "provider_rejected_input", "rejected"],
      [
        { kind: "status", status: 429, headers: { "retry-after": "17" } },
        "provider_rate_limited",
        "rejected",
      ],
    ] as const
  ) {
    Deno.test(`${name}: a submission that meets ${JSON.stringify(fault)} is ${code}, ${certainty}`, async () => {
      await using simulators = await running();
      const isStalled = fault.kind === "hang" || fault.kind === "delay_body";
      const provider = videos(
        name,
        simulators,
        undefined,
        isStalled ? 1 : undefined,
      );
      const prepared = await requestOf(provider);
      simulators.faults.add({
        provider: name,
        operation: CREATE[name],
        fault,
      });
      const failure = await failureOf(provider.create(prepared, signal()));
      assertEquals([failure.code, failure.certainty], [code, certainty]);
      if (code === "provider_rate_limited") {
        assertEquals(failure.retryAfterSeconds, 17);
      }
      simulators.release();
    });
  }
}

const ERRORS: Record<
  Name,
  Record<string, [ErrorCode, "rejected" | "unknown"]>
> = {
  "d-id": {
    invalid_actor_url: ["provider_rejected_input", "rejected"],
    unauthenticated: ["provider_unauthorized", "rejected"],
    insufficient_credits: ["provider_quota_exceeded", "rejected"],
    no_permission: ["provider_limit_reached", "rejected"],
    unsupported_mime_type: ["provider_rejected_input", "rejected"],
    image_moderation: ["provider_content_refused", "rejected"],
    text_moderation: ["provider_content_refused", "rejected"],
    audio_moderation: ["provider_content_refused", "rejected"],
    celebrity_recognized: ["provider_content_refused", "rejected"],
    too_many_requests: ["provider_rate_limited", "rejected"],
    internal: ["provider_unavailable", "unknown"],
    endpoint_timed_out: ["provider_unavailable", "unknown"],
  },
  heygen: {
    invalid_parameter: ["provider_rejected_input", "rejected"],
    invalid_parameter_upper: ["provider_rejected_input", "rejected"],
    download_failed: ["provider_rejected_input", "rejected"],
    blocked_words: ["provider_content_refused", "rejected"],
    resource_limit_exceeded: ["provider_limit_reached", "rejected"],
    unauthorized: ["provider_unauthorized", "rejected"],
    insufficient_credit: ["provider_quota_exceeded", "rejected"],
    forbidden: ["provider_unauthorized", "rejected"],
    payload_too_large: ["provider_rejected_input", "rejected"],
    request_in_progress: ["provider_unavailable", "unknown"],
    rate_limit_exceeded: ["provider_rate_limited", "rejected"],
    internal: ["provider_unavailable", "unknown"],
  },
};

for (const name of NAMES) {
  for (const [error, [code, certainty]] of Object.entries(ERRORS[name])) {
    Deno.test(`${name}: its error ${error} is ${code}, ${certainty}`, async () => {
      await using simulators = await running();
      const provider = videos(name, simulators);
      const prepared = await requestOf(provider);
      simulators.faults.add({
        provider: name,
        operation: CREATE[name],
        fault: { kind: "status", error },
      });
      const failure = await failureOf(provider.create(prepared, signal()));
      assertEquals([failure.code, failure.certainty], [code, certainty]);
      assertEquals(simulators.ledger.list(), []);
    });
  }
}

Deno.test("d-id: a list without any of our fields cannot prove that a talk does not exist", async () => {
  await using simulators = await running();
  const provider = videos("d-id", simulators);
  await provider.create(await requestOf(provider), signal());
  simulators.faults.add({
    provider: "d-id",
    operation: "talks.list",
    fault: {
      kind: "status",
      status: 200,
      body: { talks: [{ id: "tlk_1", status: "done" }] },
    },
  });
  const failure = await failureOf(
    provider.findByMarker(`job:${OTHER}`, signal()),
  );
  assertEquals([failure.code, failure.certainty], [
    "provider_answer_invalid",
    "unknown",
  ]);
});

Deno.test("d-id: found by its photo's name if the list shows neither user_data nor name", async () => {
  await using simulators = await running();
  const provider = videos("d-id", simulators);
  const id = await provider.create(await requestOf(provider), signal());
  const [, dId] = simulators.providers;
  dId?.changeSettings({ list_members: "documented" });
  assertEquals(await provider.findByMarker(`job:${JOB}`, signal()), id);
});

Deno.test("d-id: a plain-text key is encoded if the setting says so", async () => {
  await using simulators = await running();
  const provider = createDIdTalks({
    apiKey: "user:secret",
    keyEncoding: "base64",
    baseUrl: `${simulators.url}/d-id`,
    timeoutSeconds: 5,
    fetch,
  });
  await provider.create(await requestOf(provider), signal());
  assertEquals(
    simulators.ledger.list()[0]?.api_key_tail,
    btoa("user:secret").slice(-4),
  );
});

Deno.test("heygen: two requests with one key create one video, even with different content", async () => {
  await using simulators = await running();
  const provider = videos("heygen", simulators);
  const prepared = await requestOf(provider);
  const first = await provider.create(prepared, signal());
  const second = await provider.create({
    ...prepared,
    speech: {
      kind: "text",
      text: "Something else.",
      voiceId: "v",
      voiceProvider: "microsoft",
    },
  }, signal());
  assertEquals(second, first);
  assertEquals(simulators.ledger.list({ marker: JOB }).length, 1);
  const next = { ...prepared, idempotencyKey: `${prepared.idempotencyKey}:1` };
  assert(await provider.create(next, signal()) !== first, "another key");
  simulators.advanceClock(24 * 3_600_000);
  assert(await provider.create(prepared, signal()) !== first, "a day later");
});

Deno.test("fetch: Deno sends a text body twice on a closed connection, and a Blob once", async () => {
  await using simulators = await running();
  const sendAs = async (body: string | Blob) => {
    const url = `${simulators.url}/heygen/v3/videos`;
    const headers = { "x-api-key": "k", "content-type": "application/json" };
    // A connection that the next request reuses.
    await (await fetch(url, { headers })).body?.cancel();
    simulators.faults.clear();
    simulators.faults.add({
      provider: "heygen",
      operation: "videos.create",
      times: null,
      fault: { kind: "close_after" },
    });
    const before = simulators.requests.list({ operation: "videos.create" })
      .length;
    await assertRejects(() => fetch(url, { method: "POST", headers, body }));
    return simulators.requests.list({ operation: "videos.create" }).length -
      before;
  };
  assert(await sendAs("{}") > 1, "Deno no longer sends texts again");
  assertEquals(await sendAs(new Blob(["{}"])), 1);
});
