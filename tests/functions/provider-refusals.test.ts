/** Definite responses of the provider: the effect of each on the job, the journal and the bill. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import {
  ERROR_CATALOGUE,
  type ErrorCode,
} from "../../supabase/functions/_shared/failures/catalogue.ts";
import {
  type Recording,
  requestVoice,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { assertDoneOnce, jobFacts } from "../_support/job-facts.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import {
  readJob,
  sweepJob,
  waitForEvent,
  waitForJob,
  waitForLog,
} from "../_support/wait-for.ts";

const running = useStack();
let sharedUser: Promise<TestUser> | undefined;

/** A job of the one user of this file, for a separate recording. */
async function newJob(
  stack: TestStack,
  recording: Recording = "speech.ogg",
): Promise<{ user: TestUser; jobId: string }> {
  const user = await (sharedUser ??= signUp(stack));
  const inputUrl = await uploadRecording(user, { recording });
  return { user, jobId: await requestVoice(user, inputUrl) };
}

interface Refusal {
  /** The form of the body; `new` when absent. */
  shape?: "old";
  /** An error name of the simulated provider, and its status. */
  error: string;
  httpStatus: number;
  code: ErrorCode;
  /** The provider's message, which belongs only in the log. */
  words: string;
}

const REFUSALS: Refusal[] = [
  {
    error: "invalid_api_key",
    httpStatus: 401,
    code: "provider_unauthorized",
    words: "Invalid API key",
  },
  {
    error: "quota_exceeded",
    httpStatus: 401,
    code: "provider_quota_exceeded",
    words: "exceeds your quota",
  },
  {
    error: "voice_limit_reached",
    httpStatus: 400,
    code: "provider_limit_reached",
    words: "maximum amount of custom voices",
  },
  {
    error: "voice_limit_generic",
    httpStatus: 400,
    code: "provider_limit_reached",
    words: "maximum amount of custom voices",
  },
  {
    error: "voice_add_edit_limit_reached",
    httpStatus: 400,
    code: "provider_limit_reached",
    words: "monthly limit",
  },
  {
    error: "can_not_use_instant_voice_cloning",
    httpStatus: 403,
    code: "provider_limit_reached",
    words: "instant voice cloning",
  },
  {
    error: "content_against_policy",
    httpStatus: 403,
    code: "provider_content_refused",
    words: "Terms of Service",
  },
  {
    error: "invalid_content",
    httpStatus: 400,
    code: "provider_rejected_input",
    words: "File upload is corrupted",
  },
  {
    error: "validation_error",
    httpStatus: 422,
    code: "provider_rejected_input",
    words: "field required",
  },
  {
    shape: "old",
    error: "invalid_api_key",
    httpStatus: 401,
    code: "provider_unauthorized",
    words: "Invalid API key",
  },
  {
    shape: "old",
    error: "quota_exceeded",
    httpStatus: 401,
    code: "provider_quota_exceeded",
    words: "exceeds your quota",
  },
  {
    shape: "old",
    error: "voice_limit_reached",
    httpStatus: 400,
    code: "provider_limit_reached",
    words: "maximum amount of custom voices",
  },
];

for (const { shape = "new", error, httpStatus, code, words } of REFUSALS) {
  Deno.test(`provider: ${error} in the ${shape} form fails the job immediately with ${code}, and nothing is paid`, async () => {
    const stack = running();
    await stack.simulator.set({ error_shape: shape });
    await stack.simulator.fail({
      times: null,
      fault: { kind: "status", error },
    });
    const { user, jobId } = await newJob(stack);
    const job = await waitForJob(stack, user, jobId, "failed");

    assertEquals(job.error_code, code);
    assertEquals(job.error_message, ERROR_CATALOGUE[code].message);
    assert(!JSON.stringify(job).includes(words));
    const facts = await jobFacts(stack, jobId);
    assertEquals(facts.attempt, 1);
    assertEquals(facts.billableCalls, 1);
    assertEquals(facts.progress, 30);
    assertEquals(facts.events.slice(-3), ["submitted", "settled", "failed"]);
    assertEquals(facts.journal, [{
      attempt: 1,
      outcome: "rejected",
      http_status: httpStatus,
      error_code: code,
      provider_object_id: null,
    }]);
    assertEquals([facts.voices, facts.paid], [[], []]);
    const [line] = await waitForLog(stack, "process-ai-job", {
      job_id: jobId,
      event: "job_failed",
    });
    assertStringIncludes(line?.line ?? "", words);
  });
}

Deno.test("provider: a recording that it cannot decode fails the job with provider_rejected_input", async () => {
  const stack = running();
  const { user, jobId } = await newJob(stack, "text-named.mp3");
  const job = await waitForJob(stack, user, jobId, "failed");
  assertEquals(job.error_code, "provider_rejected_input");
  assertEquals((await jobFacts(stack, jobId)).paid, []);
});

Deno.test("provider: an account without a free voice slot fails the job, and one with a slot completes it", async () => {
  const stack = running();
  await stack.simulator.set({ voice_limit: 1 });
  const first = await newJob(stack);
  await waitForJob(stack, first.user, first.jobId, "completed");
  const second = await newJob(stack);
  const job = await waitForJob(stack, second.user, second.jobId, "failed");
  assertEquals(job.error_code, "provider_limit_reached");
  assertEquals((await stack.simulator.creations()).length, 1);
});

for (
  const [name, fault] of [
    ["429", { kind: "status", status: 429 }],
    ["429 rate_limit_exceeded", {
      kind: "status",
      error: "rate_limit_exceeded",
    }],
    ["429 system_busy in the old form", {
      kind: "status",
      error: "system_busy",
      shape: "old",
    }],
    ["429 with an HTML page", { kind: "html", status: 429 }],
  ] as const
) {
  Deno.test(`provider: after ${name} the job waits, is retried and completes, paid for once`, async () => {
    const stack = running();
    await stack.simulator.fail({ fault });
    const { user, jobId } = await newJob(stack);
    await waitForEvent(stack, jobId, "retried");

    const waiting = await jobFacts(stack, jobId);
    assertEquals(
      {
        status: waiting.status,
        attempt: waiting.attempt,
        progress: waiting.progress,
        code: waiting.errorCode,
        isPostponed: waiting.isPostponed,
        paid: waiting.paid,
      },
      {
        status: "pending",
        attempt: 1,
        progress: 0,
        code: "provider_rate_limited",
        isPostponed: true,
        paid: [],
      },
    );
    // Before it is due, the sweep does not dispatch it.
    await stack.sql`
      update public.ai_jobs set scheduled_at = now() + interval '1 minute' where id = ${jobId}`;
    await stack.sweep();
    assertEquals((await readJob(user, jobId)).status, "pending");

    await sweepJob(stack, jobId);
    await waitForJob(stack, user, jobId, "completed");
    const facts = await assertDoneOnce(stack, jobId);
    assertEquals(facts.attempt, 2);
    assertEquals(
      facts.journal.map(({ attempt, outcome, http_status }) => [
        attempt,
        outcome,
        http_status,
      ]),
      [[1, "rejected", 429], [2, "succeeded", null]],
    );
  });
}

for (
  const [name, retryAfter, low, high] of [
    ["without Retry-After the wait is the backoff", undefined, 1, 3],
    ["a Retry-After of 1,800 seconds is respected", 1_800, 1_790, 1_800],
    ["a Retry-After of two days is limited to an hour", 172_800, 3_590, 3_600],
  ] as const
) {
  Deno.test(`provider: 429 rate_limit_exceeded: ${name}`, async () => {
    const stack = running();
    await stack.simulator.fail({
      fault: {
        kind: "status",
        error: "rate_limit_exceeded",
        ...(retryAfter === undefined
          ? {}
          : { headers: { "Retry-After": String(retryAfter) } }),
      },
    });
    const { user, jobId } = await newJob(stack);
    await waitForEvent(stack, jobId, "retried");
    const [row] = await stack.sql<{ seconds: number }>`
      select extract(epoch from j.scheduled_at - e.created_at)::float8 as seconds
      from public.ai_jobs as j
      join public.ai_job_events as e on e.job_id = j.id and e.event = 'retried'
      where j.id = ${jobId}`;
    const seconds = row?.seconds ?? -1;
    assert(seconds > low && seconds <= high, `waits ${seconds} s`);
    await sweepJob(stack, jobId);
    await waitForJob(stack, user, jobId, "completed");
    assertEquals((await assertDoneOnce(stack, jobId)).attempt, 2);
  });
}

for (
  const [name, fault, seconds] of [
    ["too_many_concurrent_requests", {
      kind: "status",
      error: "too_many_concurrent_requests",
    }, 10],
    ["concurrent_limit_exceeded with Retry-After", {
      kind: "status",
      error: "concurrent_limit_exceeded",
      headers: { "Retry-After": "300" },
    }, 300],
  ] as const
) {
  Deno.test(`provider: 429 ${name} costs no attempt, however often; the job waits and completes, paid for once`, async () => {
    const stack = running();
    const { max_attempts } = await readJobPolicy(stack);
    const times = max_attempts + 2;
    await stack.simulator.fail({ times, fault });
    const { user, jobId } = await newJob(stack);
    for (let nth = 1; nth <= times; nth++) {
      await waitForEvent(stack, jobId, "snoozed", { nth });
      const [row] = await stack.sql<{ seconds: number }>`
        select extract(epoch from j.scheduled_at - e.created_at)::float8 as seconds
        from public.ai_jobs as j
        join public.ai_job_events as e on e.job_id = j.id and e.seq = j.event_seq
        where j.id = ${jobId}`;
      assert(Math.abs((row?.seconds ?? 0) - seconds) < 1, `${row?.seconds} s`);
      const { attempt, stage, errorCode } = await jobFacts(stack, jobId);
      assertEquals([attempt, stage, errorCode], [
        0,
        "waiting_for_provider",
        "provider_concurrency_limited",
      ]);
      await sweepJob(stack, jobId);
    }
    await waitForJob(stack, user, jobId, "completed");
    const facts = await assertDoneOnce(stack, jobId);
    assertEquals([facts.attempt, facts.billableCalls], [1, times + 1]);
    assertEquals(
      facts.journal.map(({ outcome, http_status, error_code }) => [
        outcome,
        http_status,
        error_code,
      ]),
      [
        ...Array.from({ length: times }, () => [
          "rejected",
          429,
          "provider_concurrency_limited",
        ]),
        ["succeeded", null, null],
      ],
    );
    const lines = await waitForLog(stack, "process-ai-job", {
      job_id: jobId,
      event: "provider_call_sent",
    }, times + 1);
    for (const { line } of lines) {
      const { operation, attempt, request_id } = JSON.parse(line);
      assertEquals([operation, attempt], ["create_voice", 1]);
      assertMatch(request_id, /^[0-9a-f-]{36}$/);
    }
  });
}

/** The retry policy of voice clones. */
async function readJobPolicy(
  stack: TestStack,
): Promise<{ max_attempts: number }> {
  const [row] = await stack.sql<{ max_attempts: number }>`
    select max_attempts from public.ai_job_types where job_type = 'voice_clone'`;
  assert(row !== undefined);
  return row;
}

Deno.test("provider: 429 without end fails the job when its attempts are used up, and nothing is paid", async () => {
  const stack = running();
  await stack.simulator.fail({
    times: null,
    fault: { kind: "status", error: "rate_limit_exceeded" },
  });
  const { user, jobId } = await newJob(stack);
  const { max_attempts } = await readJob(user, jobId);
  for (let attempt = 1; attempt < max_attempts; attempt++) {
    await waitForEvent(stack, jobId, "retried", { nth: attempt });
    await sweepJob(stack, jobId);
  }
  const job = await waitForJob(stack, user, jobId, "failed");
  assertEquals(job.error_code, "provider_rate_limited");
  assertEquals(
    job.error_message,
    ERROR_CATALOGUE.provider_rate_limited.message,
  );
  const facts = await jobFacts(stack, jobId);
  assertEquals(facts.attempt, max_attempts);
  assertEquals(facts.billableCalls, max_attempts);
  assertEquals(facts.paid, []);
  await sweepJob(stack, jobId);
  assertEquals((await jobFacts(stack, jobId)).events, facts.events);
});
