/**
 * Responses of the provider that do not show whether the paid work was done. In each case nothing is sent
 * again before the provider is queried, and finally there is one voice, paid for once.
 */
import { assert, assertEquals } from "@std/assert";
import { ERROR_CATALOGUE } from "../../supabase/functions/_shared/failures/catalogue.ts";
import {
  requestVoice,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { assertDoneOnce, jobFacts } from "../_support/job-facts.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import { sweepJob, waitForEvent, waitForJob } from "../_support/wait-for.ts";
import { whileTimeoutsAreShort } from "./_support/short-timeout.ts";

const running = useStack();
let sharedUser: TestUser | undefined;

Deno.test.beforeAll(async () => {
  sharedUser = await signUp(running());
});

/** A job of the one user of this file, for a separate recording. */
async function newJob(): Promise<{ user: TestUser; jobId: string }> {
  assert(sharedUser !== undefined);
  const inputUrl = await uploadRecording(sharedUser);
  return { user: sharedUser, jobId: await requestVoice(sharedUser, inputUrl) };
}

/** Backdates the open call so far that an empty look-up proves that nothing was created. */
async function expireListingLag(
  stack: TestStack,
  jobId: string,
): Promise<void> {
  await stack.sql`
    update public.ai_provider_calls
    set sent_at = sent_at - make_interval(secs => t.reconcile_seconds),
      unknown_since = unknown_since - make_interval(secs => t.reconcile_seconds)
    from public.ai_job_types as t
    where t.job_type = 'voice_clone' and job_id = ${jobId} and outcome in ('sent', 'unknown')`;
}

interface UnknownOutcome {
  name: string;
  fault: { kind: string } & Record<string, unknown>;
  /** What the journal records about the response. */
  code: string;
  httpStatus?: number;
}

/** The voice exists, but the response never arrives or cannot be read. */
const AFTER_CREATION: UnknownOutcome[] = [
  {
    name: "a 500 after the voice was created",
    fault: { kind: "status", status: 500, processed: "before" },
    code: "provider_unavailable",
    httpStatus: 500,
  },
  {
    name: "an HTML 502 after the voice was created",
    fault: { kind: "html", processed: "before" },
    code: "provider_unavailable",
    httpStatus: 502,
  },
  {
    name: "no answer in time after the voice was created",
    fault: { kind: "hang", processed: "before" },
    code: "provider_timeout",
  },
  {
    name: "a body that stalls",
    fault: { kind: "delay_body", ms: 60_000 },
    code: "provider_timeout",
  },
  {
    name: "a socket closed after the voice was created",
    fault: { kind: "close_after" },
    code: "provider_unavailable",
  },
  {
    name: "a socket closed within the body",
    fault: { kind: "close_in_body" },
    code: "provider_unavailable",
  },
  {
    name: "half a JSON",
    fault: { kind: "truncated_json" },
    code: "provider_answer_invalid",
  },
  {
    name: "an answer without the voice's id",
    fault: { kind: "missing_fields", fields: ["voice_id"] },
    code: "provider_answer_invalid",
  },
  {
    name: "a 408 after the voice was created",
    fault: { kind: "status", status: 408, processed: "before" },
    code: "provider_unavailable",
    httpStatus: 408,
  },
];

/** Nothing was created, but the response does not say so. */
const BEFORE_CREATION: UnknownOutcome[] = [
  {
    name: "a 500 before anything was created",
    fault: { kind: "status", status: 500 },
    code: "provider_unavailable",
    httpStatus: 500,
  },
  {
    name: "an HTML 502 before anything was created",
    fault: { kind: "html" },
    code: "provider_unavailable",
    httpStatus: 502,
  },
  {
    name: "no answer in time, and nothing created",
    fault: { kind: "hang" },
    code: "provider_timeout",
  },
  {
    name: "a socket closed before anything was created",
    fault: { kind: "close_before" },
    code: "provider_unavailable",
  },
];

/** Runs a job into the fault and checks its state afterwards, which is the same for all faults. */
async function failWithUnknownOutcome(
  stack: TestStack,
  { fault, code, httpStatus }: UnknownOutcome,
  paid: number,
): Promise<{ user: TestUser; jobId: string }> {
  await stack.simulator.fail({ fault });
  const fail = async () => {
    const made = await newJob();
    await waitForEvent(stack, made.jobId, "snoozed");
    return { ...made, facts: await jobFacts(stack, made.jobId) };
  };
  const { user, jobId, facts } = code === "provider_timeout"
    ? await whileTimeoutsAreShort(stack, fail)
    : await fail();
  assertEquals(
    { ...facts, paid: facts.paid.length, events: facts.events.slice(-3) },
    {
      status: "pending",
      stage: "reconciling",
      // A look-up does not use up the attempt.
      attempt: 0,
      progress: 30,
      billableCalls: 1,
      errorCode: null,
      errorMessage: null,
      resultData: null,
      isPostponed: true,
      events: ["submitted", "settled", "snoozed"],
      journal: [{
        attempt: 1,
        outcome: "unknown",
        http_status: httpStatus ?? null,
        error_code: code,
        provider_object_id: null,
      }],
      voices: [],
      paid,
    },
  );
  return { user, jobId };
}

for (const doubt of AFTER_CREATION) {
  Deno.test(`provider: ${doubt.name}: the voice is found and adopted, nothing is sent again`, async () => {
    const stack = running();
    const { user, jobId } = await failWithUnknownOutcome(stack, doubt, 1);
    await sweepJob(stack, jobId);
    await waitForJob(stack, user, jobId, "completed");

    const facts = await assertDoneOnce(stack, jobId);
    assertEquals(facts.attempt, 1);
    assertEquals(facts.billableCalls, 1);
    assertEquals(
      facts.journal.map(({ outcome, provider_object_id }) => [
        outcome,
        provider_object_id,
      ]),
      [["adopted", facts.paid[0] ?? null]],
    );
    const sent = await stack.simulator.requests("voices.add", { jobId });
    assertEquals(sent.length, 1);
  });
}

for (const doubt of BEFORE_CREATION) {
  Deno.test(`provider: ${doubt.name}: the provider is queried before a later attempt creates the one voice`, async () => {
    const stack = running();
    const { user, jobId } = await failWithUnknownOutcome(stack, doubt, 0);
    const sent = () => stack.simulator.requests("voices.add", { jobId });

    // While the provider's listing may lag, an empty look-up proves nothing.
    await sweepJob(stack, jobId);
    await waitForEvent(stack, jobId, "snoozed", { nth: 2 });
    assertEquals((await sent()).length, 1);
    assertEquals((await jobFacts(stack, jobId)).journal[0]?.outcome, "unknown");

    await expireListingLag(stack, jobId);
    await sweepJob(stack, jobId);
    await waitForEvent(stack, jobId, "retried");
    const afterQuery = await jobFacts(stack, jobId);
    assertEquals(
      [
        afterQuery.status,
        afterQuery.attempt,
        afterQuery.errorCode,
        afterQuery.isPostponed,
      ],
      ["pending", 1, "provider_unavailable", true],
    );
    assertEquals(afterQuery.journal[0]?.outcome, "absent");
    assertEquals((await sent()).length, 1);

    await sweepJob(stack, jobId);
    await waitForJob(stack, user, jobId, "completed");
    const facts = await assertDoneOnce(stack, jobId);
    assertEquals(facts.attempt, 2);
    assertEquals(
      facts.journal.map(({ attempt, outcome }) => [attempt, outcome]),
      [[1, "absent"], [2, "succeeded"]],
    );
    assertEquals((await sent()).length, 2);
  });
}

Deno.test("provider: a voice that its listing does not show yet is waited for and not created again", async () => {
  const stack = running();
  await stack.simulator.set({ search_lag_ms: 45_000 });
  const { user, jobId } = await failWithUnknownOutcome(stack, {
    name: "",
    fault: { kind: "close_after" },
    code: "provider_unavailable",
  }, 1);
  for (const nth of [2, 3]) {
    await sweepJob(stack, jobId);
    await waitForEvent(stack, jobId, "snoozed", { nth });
    assertEquals((await jobFacts(stack, jobId)).attempt, 0);
  }
  await stack.simulator.advanceClock(46_000);
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  const facts = await assertDoneOnce(stack, jobId);
  assertEquals(facts.journal.map(({ outcome }) => outcome), ["adopted"]);
});

Deno.test("provider: without the wait for the listing's lag, the same voice would be paid for twice", async () => {
  const stack = running();
  await stack.simulator.set({ search_lag_ms: 45_000 });
  await stack.sql`update public.ai_job_types set reconcile_seconds = 0`;
  try {
    const { user, jobId } = await failWithUnknownOutcome(stack, {
      name: "",
      fault: { kind: "close_after" },
      code: "provider_unavailable",
    }, 1);
    await sweepJob(stack, jobId);
    await waitForEvent(stack, jobId, "retried");
    await sweepJob(stack, jobId);
    await waitForJob(stack, user, jobId, "completed");
    assertEquals((await stack.simulator.creations(jobId)).length, 2);
  } finally {
    await stack.sql`update public.ai_job_types set reconcile_seconds = 60`;
  }
});

Deno.test("provider: a voice created after the first query is found by a later one", async () => {
  const stack = running();
  const { user, jobId } = await failWithUnknownOutcome(stack, {
    name: "",
    fault: { kind: "hang", processed: "after" },
    code: "provider_timeout",
  }, 0);
  await sweepJob(stack, jobId);
  await waitForEvent(stack, jobId, "snoozed", { nth: 2 });
  await stack.simulator.release();
  await stack.simulator.creationsOf(jobId, 1);

  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  const facts = await assertDoneOnce(stack, jobId);
  assertEquals(facts.journal.map(({ outcome }) => outcome), ["adopted"]);
});

/** A job whose call times out. `isSlow`: it was backdated before that. */
async function tryToBeSlow(stack: TestStack) {
  await stack.simulator.fail({ fault: { kind: "hang", processed: "after" } });
  const { user, jobId } = await newJob();
  await stack.simulator.requests("voices.add", { jobId, atLeast: 1 });
  const calls = await stack.sql`
    update public.ai_provider_calls
    set sent_at = sent_at - make_interval(secs => 2 * t.reconcile_seconds)
    from public.ai_job_types as t
    where t.job_type = 'voice_clone' and job_id = ${jobId} and outcome = 'sent' returning 1`;
  await waitForEvent(stack, jobId, "snoozed");
  assertEquals(await stack.simulator.creations(jobId), []);
  return { user, jobId, isSlow: calls.length === 1 };
}

/** A call that the provider works on for longer than its listing may lag, and than the client waits for it. */
function slowCall(
  stack: TestStack,
): Promise<{ user: TestUser; jobId: string }> {
  return whileTimeoutsAreShort(stack, async () => {
    for (let tries = 1;; tries++) {
      const { user, jobId, isSlow } = await tryToBeSlow(stack);
      if (isSlow) return { user, jobId };
      // A busy machine may backdate the call only after its timeout, when that proves nothing.
      assert(tries < 10, "the call is never open");
    }
  });
}

Deno.test("provider: a call slower than the listing's lag is not sent again after an empty first query", async () => {
  const stack = running();
  const { user, jobId } = await slowCall(stack);
  // The listing is empty, and the call was sent longer ago than reconcile_seconds, which proves nothing.
  await sweepJob(stack, jobId);
  await waitForEvent(stack, jobId, "snoozed", { nth: 2 });
  const waiting = await jobFacts(stack, jobId);
  assertEquals([waiting.status, waiting.attempt], ["pending", 0]);
  assertEquals(waiting.journal.map(({ outcome }) => outcome), ["unknown"]);

  await stack.simulator.release();
  await stack.simulator.creationsOf(jobId, 1);
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  const facts = await assertDoneOnce(stack, jobId);
  assertEquals(facts.journal.map(({ outcome }) => outcome), ["adopted"]);
  assertEquals(
    (await stack.simulator.requests("voices.add", { jobId })).length,
    1,
  );
});

Deno.test("provider: if the wait began when the call was sent, a slow call would be paid for twice", async () => {
  const stack = running();
  const { user, jobId } = await slowCall(stack);
  await stack.sql`
    update public.ai_provider_calls set unknown_since = sent_at where job_id = ${jobId} and outcome = 'unknown'`;
  await sweepJob(stack, jobId);
  await waitForEvent(stack, jobId, "retried");
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  await stack.simulator.release();
  assertEquals((await stack.simulator.creationsOf(jobId, 2)).length, 2);
});

Deno.test("provider: a failed query is repeated, and the voice is found", async () => {
  const stack = running();
  const { user, jobId } = await failWithUnknownOutcome(stack, {
    name: "",
    fault: { kind: "close_after" },
    code: "provider_unavailable",
  }, 1);
  const answers = [
    { kind: "status", status: 500 },
    { kind: "status", error: "rate_limit_exceeded" },
    { kind: "missing_fields", fields: ["voices"] },
  ];
  for (const [index, fault] of answers.entries()) {
    await stack.simulator.fail({ operation: "voices.search", fault });
    await sweepJob(stack, jobId);
    // The first two faults are transient; an invalid response costs an attempt.
    await (index < 2
      ? waitForEvent(stack, jobId, "snoozed", { nth: index + 2 })
      : waitForEvent(stack, jobId, "retried"));
    assertEquals((await jobFacts(stack, jobId)).journal[0]?.outcome, "unknown");
  }
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  const facts = await assertDoneOnce(stack, jobId);
  assertEquals(facts.attempt, 2);
  assertEquals(facts.journal.map(({ outcome }) => outcome), ["adopted"]);
});

Deno.test("provider: an outage of minutes parks no job, and costs no attempt", async () => {
  const stack = running();
  const { user, jobId } = await failWithUnknownOutcome(stack, {
    name: "",
    fault: { kind: "close_after" },
    code: "provider_unavailable",
  }, 1);
  const looks = 8;
  await stack.simulator.fail({
    operation: "voices.search",
    times: looks,
    fault: { kind: "status", status: 503 },
  });
  for (let look = 1; look <= looks; look++) {
    await sweepJob(stack, jobId);
    await waitForEvent(stack, jobId, "snoozed", { nth: look + 1 });
  }
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  const facts = await assertDoneOnce(stack, jobId);
  assertEquals(facts.attempt, 1);
});

for (
  const [name, fault, attempts, last] of [
    [
      "refuses the look-up",
      { kind: "status", error: "invalid_api_key" },
      1,
      "provider_unauthorized",
    ],
    [
      "answers look-ups with something else",
      { kind: "missing_fields", fields: ["voices"] },
      5,
      "provider_answer_invalid",
    ],
  ] as const
) {
  Deno.test(`provider: one that ${name} leaves the job parked as outcome_unknown, and is never called again`, async () => {
    const stack = running();
    const { user, jobId } = await failWithUnknownOutcome(stack, {
      name: "",
      fault: { kind: "close_after" },
      code: "provider_unavailable",
    }, 1);
    await stack.simulator.fail({
      operation: "voices.search",
      times: null,
      fault,
    });
    // Even when the listing would be conclusive by now.
    await expireListingLag(stack, jobId);
    for (let attempt = 1; attempt <= attempts; attempt++) {
      await sweepJob(stack, jobId);
      if (attempt < attempts) {
        await waitForEvent(stack, jobId, "retried", { nth: attempt });
      }
    }
    const job = await waitForJob(stack, user, jobId, "failed");
    assertEquals(job.error_code, "outcome_unknown");
    assertEquals(
      job.error_message,
      `${ERROR_CATALOGUE.outcome_unknown.message} ` +
        `Its call create_voice ended with provider_unavailable. Last: ${
          ERROR_CATALOGUE[last].message
        }`,
    );
    const facts = await jobFacts(stack, jobId);
    assertEquals(facts.attempt, attempts);
    assertEquals(facts.journal.map(({ outcome }) => outcome), ["unknown"]);
    assertEquals(facts.paid.length, 1);
    assertEquals(
      (await stack.simulator.requests("voices.add", { jobId })).length,
      1,
    );
  });
}
