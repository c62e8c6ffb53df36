import { assert, assertEquals, assertObjectMatch } from "@std/assert";
import { Webhook } from "standardwebhooks";
import { readEnv } from "../../../../supabase/functions/_shared/config/env.ts";
import { AppError } from "../../../../supabase/functions/_shared/failures/app-error.ts";
import type { ErrorCode } from "../../../../supabase/functions/_shared/failures/catalogue.ts";
import type { Completion } from "../../../../supabase/functions/_shared/jobs/outcome.ts";
import { createWorker } from "../../../../supabase/functions/_shared/jobs/worker.ts";
import { createLogger } from "../../../../supabase/functions/_shared/platform/log.ts";
import { createWorkerHandler } from "../../../../supabase/functions/_shared/worker/handler.ts";
import { COMPLETE_ENV, fakePlatform } from "../../../_support/fake-platform.ts";
import { FakeRepository } from "../../../_support/fake-repository.ts";

const SENT_AT = new Date("2026-01-01T00:00:00Z");

function deployed() {
  const platform = fakePlatform();
  const repository = new FakeRepository();
  const gate = Promise.withResolvers<Completion>();
  const handle = createWorkerHandler("process-ai-job", {
    platform,
    env: readEnv({ env: () => COMPLETE_ENV }),
    repository,
    worker: createWorker({
      platform,
      repository,
      processors: new Map([
        ["voice_clone", { jobType: "voice_clone", run: () => gate.promise }],
      ]),
      results: {
        find: () => Promise.resolve(null),
        remember: () => Promise.resolve(),
      },
      dependencyOf: () => Promise.resolve(null),
      concurrency: 5,
      wallClockMs: 150_000,
      removeLostFiles: () => Promise.resolve(0),
      onShutdown: platform.onShutdown,
      waitUntil: platform.waitUntil,
      log: createLogger(platform, { level: "debug", secrets: [] }),
    }),
  });
  return {
    platform,
    repository,
    /** Makes every job end, also those that are claimed later. */
    finish: () => gate.resolve({ resultData: { voice_id: "voice-1" } }),
    /** Ends every job and all background work. */
    [Symbol.asyncDispose]: async () => {
      gate.resolve({ resultData: { voice_id: "voice-1" } });
      await platform.background();
    },
    /** A signed dispatch; `change` is applied to the request after signing. */
    dispatch: (
      body: string,
      change: { body?: string; headers?: Record<string, string> } = {},
      id = "msg_1",
    ) =>
      handle(
        new Request("https://project.test/functions/v1/process-ai-job", {
          method: "POST",
          body: change.body ?? body,
          headers: {
            "content-type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": String(SENT_AT.getTime() / 1000),
            "webhook-signature": new Webhook(COMPLETE_ENV.DISPATCH_SECRET)
              .sign(id, SENT_AT, body),
            ...change.headers,
          },
        }),
      ),
  };
}

/** The body that the database sends, for these jobs. */
function bodyFor(...ids: string[]): string {
  return JSON.stringify({
    type: "INSERT",
    table: "ai_jobs",
    schema: "public",
    record: { id: ids[0] },
    old_record: null,
    job_ids: ids,
  });
}

const codeOf = async (response: Response): Promise<ErrorCode> =>
  (await response.json()).code;

Deno.test("createWorkerHandler: responds 202 with the claimed jobs while they run, and keeps the isolate alive", async () => {
  await using isolate = deployed();
  const { dispatch, repository, platform, finish } = isolate;
  const row = repository.insert();
  const response = await dispatch(bodyFor(row.id));
  assertEquals([response.status, await response.json()], [
    202,
    { claimed: [row.id] },
  ]);
  assertEquals(row.status, "processing");
  finish();
  await platform.background();
  assertEquals(row.status, "completed");
});

Deno.test("createWorkerHandler: log lines of the jobs have the request's id", async () => {
  await using isolate = deployed();
  const { dispatch, repository, platform, finish } = isolate;
  finish();
  const response = await dispatch(bodyFor(repository.insert().id), {
    headers: { "x-request-id": "dispatch-0001" },
  });
  await response.body?.cancel();
  await platform.background();
  const line = platform.logged().find(({ event }) => event === "job_completed");
  assertObjectMatch(line ?? {}, { request_id: "dispatch-0001", attempt: 1 });
});

Deno.test("createWorkerHandler: the queue decides what is claimed, not the body", async () => {
  await using isolate = deployed();
  const { dispatch, repository, platform, finish } = isolate;
  finish();
  const [first, named] = [repository.insert(), repository.insert()];
  const body = JSON.parse(bodyFor(named.id));
  body.record = { id: named.id, job_type: "pdf_render", status: "completed" };
  const response = await dispatch(JSON.stringify(body));
  assertEquals((await response.json()).claimed, [first.id, named.id]);
  await platform.background();
  assertEquals(named.completion?.resultData, { voice_id: "voice-1" });
  assertEquals(first.status, "completed");
});

Deno.test("createWorkerHandler: a job that is named in the body does not overtake longer waiting ones", async () => {
  await using isolate = deployed();
  const { dispatch, repository } = isolate;
  const waiting = Array.from({ length: 5 }, () => repository.insert());
  const named = repository.insert();
  const response = await dispatch(bodyFor(named.id));
  assertEquals(
    (await response.json()).claimed,
    waiting.map((row) => row.id),
  );
  assertEquals(named.status, "pending");
});

Deno.test("createWorkerHandler: the id of a missing job, or of one that is not due, is ignored", async () => {
  await using isolate = deployed();
  const { dispatch, repository } = isolate;
  const taken = repository.insert();
  repository.claim(taken);
  const response = await dispatch(bodyFor(taken.id, crypto.randomUUID()));
  assertEquals([response.status, await response.json()], [202, {
    claimed: [],
  }]);
});

for (
  const [why, change, code] of [
    ["an altered body", {
      body: bodyFor("00000000-0000-4000-8000-00000000000b"),
    }, "dispatch_signature_invalid"],
    ["another signature", {
      headers: { "webhook-signature": "v1,c2lnbmF0dXJl" },
    }, "dispatch_signature_invalid"],
    ["an empty signature", {
      headers: { "webhook-signature": "" },
    }, "dispatch_signature_invalid"],
    ["the service's key in place of a signature", {
      headers: {
        "webhook-signature": "",
        authorization: "Bearer sb_secret_0123456789",
        apikey: "sb_secret_0123456789",
      },
    }, "dispatch_signature_invalid"],
  ] as const
) {
  Deno.test(`createWorkerHandler: a dispatch with ${why} is refused before anything is read`, async () => {
    await using isolate = deployed();
    const { dispatch, repository, platform } = isolate;
    const row = repository.insert();
    const response = await dispatch(bodyFor(row.id), change);
    assertEquals([response.status, await codeOf(response)], [401, code]);
    assertEquals([row.status, repository.effects], ["pending", []]);
    await platform.background();

    const twin = await dispatch(bodyFor(row.id));
    assertEquals([twin.status, row.status], [202, "processing"]);
  });
}

Deno.test("createWorkerHandler: a replayed dispatch is refused and claims nothing", async () => {
  await using isolate = deployed();
  const { dispatch, repository } = isolate;
  const row = repository.insert();
  await dispatch(bodyFor(row.id));
  const other = repository.insert();
  const response = await dispatch(bodyFor(other.id));
  assertEquals([response.status, await codeOf(response)], [
    409,
    "dispatch_replayed",
  ]);
  assertEquals(other.status, "pending");
  assertEquals((await dispatch(bodyFor(other.id), {}, "msg_2")).status, 202);
  assertEquals(other.status, "processing");
});

for (
  const [why, body, code] of [
    ["no JSON", "not json", "invalid_json"],
    [
      "another table",
      bodyFor().replace("ai_jobs", "voices"),
      "invalid_request",
    ],
    ["no id", bodyFor(), "invalid_request"],
    ["an invalid id", bodyFor("1 or true"), "invalid_request"],
  ] as const
) {
  Deno.test(`createWorkerHandler: a correctly signed body with ${why} is refused`, async () => {
    await using isolate = deployed();
    const { dispatch, repository } = isolate;
    const row = repository.insert();
    const response = await dispatch(body);
    assertEquals([response.status, await codeOf(response)], [400, code]);
    assertEquals([row.status, repository.effects], ["pending", []]);
  });
}

Deno.test("createWorkerHandler: an unavailable queue is a 503, and the dispatch may be repeated", async () => {
  await using isolate = deployed();
  const { dispatch, repository } = isolate;
  const row = repository.insert();
  repository.interrupt = () => {
    throw new AppError("service_unavailable");
  };
  const response = await dispatch(bodyFor(row.id));
  assertEquals(response.status, 503);
  assert(response.headers.has("retry-after"));
  repository.interrupt = () => {};
  assertEquals((await dispatch(bodyFor(row.id))).status, 202);
});
