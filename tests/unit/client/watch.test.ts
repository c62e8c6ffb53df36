/** Watching jobs, and errors, with a project in memory. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AiJobsError,
  isAiJobsError,
  NotSignedIn,
  RequestInvalid,
} from "../../../client/mod.ts";
import { FakeProject } from "../../_support/fake-project.ts";
import { VirtualTime } from "../../_support/virtual-time.ts";

Deno.test("watch: an ended job ends it, also when its last event is already known", async () => {
  const project = new FakeProject();
  const id = project.add();
  project.complete(id);
  const after = (seq: number) =>
    Array.fromAsync(project.jobs.watch(id, { after: seq }));
  assertEquals((await after(0)).map(({ seq }) => seq), [1, 2]);
  assertEquals((await after(1)).map(({ seq }) => seq), [2]);
  assertEquals(await after(2), []);
});

Deno.test("watch: closing the client ends all watches, without another request", async () => {
  const project = new FakeProject({ pollMs: 60_000 });
  const id = project.add();
  const events = project.jobs.watch(id);
  assertEquals((await events.next()).value?.seq, 1);
  const all = project.jobs.watchAll();
  assertEquals((await all.next()).value?.seq, 1);
  const next = [events.next(), all.next()];
  const { length } = project.requests;
  project.jobs.close();
  assertEquals((await Promise.all(next)).map(({ done }) => done), [true, true]);
  assertEquals(project.requests.length, length);
});

Deno.test("watchAll: hundreds of jobs that change at the same time are each reported once", async () => {
  const project = new FakeProject();
  const events = project.jobs.watchAll();
  const ids = Array.from({ length: 600 }, () => project.add());
  const seen: string[] = [];
  for (const _ of ids) {
    const { value } = await events.next();
    seen.push(value?.job_id ?? "");
  }
  assertEquals(seen.sort(), ids.sort());
  project.jobs.close();
  assertEquals((await events.next()).done, true);
});

Deno.test("watchAll: on a device with a fast clock it reports new events, and no earlier ones", async () => {
  const project = new FakeProject({ aheadMs: -60_000 });
  const old = project.add();
  project.write(old, "failed", { status: "failed" });
  const events = project.jobs.watchAll();
  const first = events.next();
  const isRead = async () => {
    while (project.count("rest/v1/ai_jobs?") < 2) {
      await new Promise((tick) => setTimeout(tick));
    }
  };
  await isRead();
  const id = project.add();
  project.write(old, "retry_requested", { status: "pending" });
  const seen = [(await first).value, (await events.next()).value]
    .map((event) => `${event?.job_id} ${event?.event}`);
  assertEquals(seen.sort(), [`${id} created`, `${old} retry_requested`].sort());
  project.jobs.close();
  assertEquals((await events.next()).done, true);
});

Deno.test("wait: a closed client rejects with an AbortError instead of polling the job", async () => {
  const project = new FakeProject();
  const id = project.add();
  const waiting = project.jobs.job(id).wait();
  while (project.count("ai_job_events") < 2) {
    await new Promise((tick) => setTimeout(tick));
  }
  project.jobs.close();
  const error = await assertRejects(() => waiting, Error);
  assertEquals(error.name, "AbortError");
  const { length } = project.requests;
  await assertRejects(() => project.jobs.job(id).wait(), Error, "Aborted");
  assertEquals(project.requests.length, length);
});

Deno.test("wait: an outage after the job's end delays its result and is not an error", async () => {
  using time = new VirtualTime();
  const project = new FakeProject();
  const id = project.add();
  project.complete(id);
  project.intercept = (path) =>
    path.includes("get-ai-job") && project.count("get-ai-job") < 7
      ? Response.json({ code: "service_unavailable" }, { status: 503 })
      : undefined;
  const { result } = await time.passUntil(
    project.jobs.job<"voice_clone">(id).wait(),
  );
  assertEquals(result.voice_name, "Grandma");
  assert(project.count("get-ai-job") >= 7);
});

Deno.test("client: a request without a response times out after 30 s and is sent again", async () => {
  using time = new VirtualTime();
  const project = new FakeProject();
  const id = project.add();
  project.complete(id);
  const silent = new Set(["ai_job_events", "get-ai-job", "create-ai-job"]);
  project.intercept = (path) => {
    const name = [...silent].find((one) => path.includes(one));
    return name !== undefined && silent.delete(name)
      ? new Promise<Response>(() => {})
      : undefined;
  };
  const job = await time.passUntil(project.jobs.job(id).wait());
  assertEquals(job.status, "completed");
  assert(time.elapsedMs >= 60_000);
  const created = await time.passUntil(
    project.jobs.create({ job_type: "voice_clone", input_url: "uploads/a" }),
  );
  assertEquals([created.status, project.count("create-ai-job")], [
    "pending",
    2,
  ]);
  assertEquals(silent.size, 0);
});

Deno.test("client: whether to retry after a limit is the caller's decision", async () => {
  const project = new FakeProject();
  project.intercept = () =>
    Response.json({ code: "active_jobs_exceeded" }, {
      status: 429,
      headers: { "retry-after": "7" },
    });
  const error = await project.jobs.cancel("1").catch((error) => error);
  assert(isAiJobsError(error));
  assertEquals([error.name, error.retryable, error.retryAfterMs], [
    "LimitReached",
    true,
    7000,
  ]);
  assertEquals(project.requests.length, 1);
});

Deno.test("client: every class of error occurs, with the code, the request's id and whether to repeat", async () => {
  const project = new FakeProject();
  const seen: unknown[] = [];
  for (
    const status of [400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503, 546]
  ) {
    project.intercept = () =>
      Response.json({
        code: `code_${status}`,
        detail: "Because.",
        request_id: "r1",
        errors: [{ field: "a", message: "is wrong" }],
      }, { status });
    // The retry of a job is never repeated, so no time passes.
    const error = await project.jobs.retry("1").catch((error) => error);
    assert(error instanceof AiJobsError);
    assertEquals(
      [error.code, error.requestId, error.message],
      [`code_${status}`, "r1", "Because."],
    );
    seen.push([status, error.name, error.retryable]);
  }
  const invalid = [400, 403, 413, 415, 422].map((status) =>
    [status, "RequestInvalid", false] as const
  );
  assertEquals(
    seen,
    [
      ...invalid,
      [401, "NotSignedIn", false],
      [404, "NotFound", false],
      [409, "Conflict", false],
      [429, "LimitReached", true],
      ...[500, 503, 546].map((status) => [status, "ServiceUnavailable", true]),
    ].sort(([one], [other]) => Number(one) - Number(other)),
  );
  project.intercept = () => Promise.reject(new TypeError("offline"));
  const lost = await project.jobs.retry("1").catch((error) => error);
  assert(isAiJobsError(lost));
  assertEquals([lost.name, lost.code, lost.retryable], [
    "NetworkError",
    "network_error",
    true,
  ]);
  project.intercept = () => new Response("<html>");
  const odd = await project.jobs.retry("1").catch((error) => error);
  assertEquals([odd.name, odd.code], ["ServiceUnavailable", "answer_invalid"]);
});

Deno.test("watch: after a few reads that the table refuses, the error is NotSignedIn", async () => {
  using time = new VirtualTime();
  const project = new FakeProject();
  const id = project.add();
  project.intercept = (path) =>
    path.includes("ai_job_events")
      ? Response.json({ code: "PGRST303" }, { status: 401 })
      : undefined;
  const error = await time.passUntil(
    project.jobs.job(id).wait().catch((error) => error),
  );
  assertEquals([error.name, error.code], ["NotSignedIn", "unauthenticated"]);
  assertEquals(project.count("ai_job_events"), 4);
});

Deno.test("wait, watchAll: a read that the tables refuse for good is an error, and is not repeated", async () => {
  using time = new VirtualTime();
  const project = new FakeProject();
  for (
    const [status, code, name] of [
      [400, "22P02", "RequestInvalid"],
      [403, "42501", "RequestInvalid"],
      [404, "PGRST205", "NotFound"],
    ] as const
  ) {
    project.requests.length = 0;
    project.intercept = (path) =>
      path.includes("/rest/v1/")
        ? Response.json({ code, message: "Because." }, { status })
        : undefined;
    const reads = [
      () => project.jobs.job("undefined").wait(),
      () => project.jobs.watchAll().next(),
    ];
    for (const read of reads) {
      const error = await time.passUntil(
        Promise.race([
          read().catch((error) => error),
          new Promise((resolve) => setTimeout(resolve, 600_000)),
        ]),
      );
      assert(isAiJobsError(error), "it settles");
      assertEquals([error.name, error.code, error.message], [
        name,
        code,
        "Because.",
      ]);
    }
    assertEquals(project.requests.length, 2);
  }
});

Deno.test("wait: a read that the tables refuse only for now is repeated", async () => {
  using time = new VirtualTime();
  const project = new FakeProject();
  const id = project.add();
  project.complete(id);
  const later = (status: number) =>
    Response.json({ message: "Later." }, { status });
  const html = { headers: { "content-type": "text/html" } };
  const refusals = [
    ...[408, 429, 500, 504].map(later),
    // Postgrest-js itself repeats a request three times after 503.
    ...[503, 503, 503, 503].map(later),
    // The sign-in page of a network, and other answers that are not from the Data API.
    new Response("<html>Sign in to the Wi-Fi</html>", html),
    Response.json({ login: true }),
    new Response(null, { status: 204 }),
  ];
  project.intercept = (path) =>
    path.includes("ai_job_events") ? refusals.shift() : undefined;
  const job = await time.passUntil(project.jobs.job(id).wait());
  assertEquals([job.status, refusals], ["completed", []]);
});

Deno.test("client: each refusal of a session by the platform says with one code to sign in", async () => {
  const project = new FakeProject();
  for (
    const code of [
      "UNAUTHORIZED_NO_AUTH_HEADER",
      "UNAUTHORIZED_INVALID_JWT_FORMAT",
      "UNAUTHORIZED_ASYMMETRIC_JWT",
    ]
  ) {
    project.intercept = () =>
      Response.json({ code, message: "Invalid JWT" }, { status: 401 });
    const error = await project.jobs.list().catch((error) => error);
    assert(error instanceof NotSignedIn);
    assertEquals(
      [error.code, error.message],
      ["unauthenticated", "Sign in first, or refresh the session."],
    );
  }
});

Deno.test("upload: bytes or nothing instead of a file are refused before anything is sent", async () => {
  const project = new FakeProject();
  for (const file of [new Uint8Array(10), new ArrayBuffer(10), undefined]) {
    for (const options of [{}, { contentType: "audio/mpeg" }]) {
      // As JavaScript would call it: the types refuse these values.
      const error: unknown = await Promise.resolve(
        Reflect.apply(project.jobs.upload, project.jobs, [file, options]),
      ).catch((error: unknown) => error);
      assert(error instanceof RequestInvalid);
      assertEquals(
        [error.message, error.code, error.fieldErrors("file")],
        ["file: must be a Blob or File", "invalid_request", [
          "must be a Blob or File",
        ]],
      );
    }
  }
  assertEquals(project.requests.length, 0);
});

Deno.test("list: an undefined filter is ignored", async () => {
  const project = new FakeProject();
  const id = project.add();
  const { jobs } = await project.jobs.list({ status: undefined, limit: 5 });
  assertEquals(jobs.map((job) => job.id), [id]);
  assertEquals(project.requests, ["/functions/v1/list-ai-jobs?limit=5"]);
});

Deno.test("client: every limit is LimitReached, temporary or not; another conflict is not", async () => {
  const project = new FakeProject();
  const refusedWith = async (status: number, code: string) => {
    project.intercept = () => Response.json({ code }, { status });
    const error = await project.jobs.cancel("1").catch((error) => error);
    return [error.name, error.code];
  };
  assertEquals(await refusedWith(429, "daily_jobs_exceeded"), [
    "LimitReached",
    "daily_jobs_exceeded",
  ]);
  assertEquals(await refusedWith(409, "voices_exceeded"), [
    "LimitReached",
    "voices_exceeded",
  ]);
  assertEquals(await refusedWith(409, "job_not_cancellable"), [
    "Conflict",
    "job_not_cancellable",
  ]);
});

Deno.test("client: an account that is too new is LimitReached, another 403 RequestInvalid", async () => {
  const project = new FakeProject();
  for (
    const [code, name] of [
      ["account_not_established", "LimitReached"],
      ["path_not_allowed", "RequestInvalid"],
    ] as const
  ) {
    project.intercept = () => Response.json({ code }, { status: 403 });
    const error = await project.jobs.cancel("1").catch((error) => error);
    assertEquals([error.name, error.code], [name, code]);
  }
});
