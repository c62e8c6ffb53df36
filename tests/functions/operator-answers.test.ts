/**
 * Operators' answers about parked jobs: an id that is not the job's object is refused, and a wrong id that is recorded
 * nevertheless parks the job again.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { createAiJobResponseSchema } from "../../supabase/functions/_shared/contracts/jobs.ts";
import { OPS_RESPONSES } from "../../supabase/functions/_shared/contracts/ops.ts";
import { signUp, type TestUser, uploadRecording } from "../_support/as-user.ts";
import { uploadPortrait } from "../_support/avatar-jobs.ts";
import { signUpOperator } from "../_support/operators.ts";
import { assertProblem } from "../_support/problem.ts";
import type { SimulatedProvider } from "../_support/simulator-control.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import {
  sweepJob,
  waitForEvent,
  waitForJob,
  waitUntil,
} from "../_support/wait-for.ts";

const running = useStack();

/** A job type at a provider, with the names of its paid call, of the search for it, and of the read of one object. */
interface Subject {
  provider: Exclude<SimulatedProvider, "upstash">;
  create: string;
  list?: string;
  get: string;
  hasMarker: boolean;
  body(user: TestUser): Promise<Record<string, unknown>>;
}

const video = async (user: TestUser, provider: string) => ({
  job_type: "avatar_video",
  input_url: await uploadPortrait(user),
  metadata: {
    provider,
    text: "Hello, it is me.",
    voice_id: "en-US-JennyNeural",
    name: "Grandpa",
  },
});
const SUBJECTS: Readonly<Record<string, Subject>> = {
  voice_clone: {
    provider: "elevenlabs",
    create: "voices.add",
    list: "voices.search",
    get: "voices.get",
    hasMarker: true,
    body: async (user) => ({
      job_type: "voice_clone",
      input_url: await uploadRecording(user),
      metadata: { voice_name: "Grandma" },
    }),
  },
  text_to_speech: {
    provider: "elevenlabs",
    create: "speech",
    list: "history.list",
    get: "history.list",
    hasMarker: false,
    body: () =>
      Promise.resolve({
        job_type: "text_to_speech",
        metadata: {
          text: `Good night, ${crypto.randomUUID()}.`,
          voice_id: "pNInz6obpgDQGcFmaJgB",
        },
      }),
  },
  transcription: {
    provider: "elevenlabs",
    create: "transcripts",
    get: "transcripts.get",
    hasMarker: false,
    body: async (user) => ({
      job_type: "transcription",
      input_url: await uploadRecording(user, { bucket: "recordings" }),
      metadata: {},
    }),
  },
  "avatar_video at d-id": {
    provider: "d-id",
    create: "talks.create",
    list: "talks.list",
    get: "talks.get",
    hasMarker: true,
    body: (user) => video(user, "d-id"),
  },
  "avatar_video at heygen": {
    provider: "heygen",
    create: "videos.create",
    list: "videos.list",
    get: "videos.get",
    hasMarker: true,
    body: (user) => video(user, "heygen"),
  },
};

/** The ids of everything that has been created. */
async function creations(stack: TestStack): Promise<string[]> {
  return (await stack.simulator.creations()).map(({ id }) => id);
}

/** A parked job whose object exists: the response was lost, and the search is refused. */
async function park(stack: TestStack, subject: Subject) {
  const { provider, create, list } = subject;
  const before = await creations(stack);
  await stack.simulator.fail(
    { provider, operation: create, fault: { kind: "close_after" } },
    ...list === undefined ? [] : [{
      provider,
      operation: list,
      times: null,
      fault: { kind: "status", status: 401 },
    }],
  );
  const user = await signUp(stack);
  const answer = await user.call("create-ai-job", {
    body: await subject.body(user),
  });
  assertEquals(answer.status, 202, JSON.stringify(answer.body));
  const { job_id: jobId } = createAiJobResponseSchema.parse(answer.body);
  await waitForEvent(stack, jobId, "snoozed");
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "failed");
  await stack.simulator.clearFaults();
  const made = (await creations(stack))
    .filter((id) => !before.includes(id));
  assertEquals(made.length, 1);
  return { jobId, id: made[0] ?? "" };
}

/** The ids of a job's calls with an unknown outcome, as the console lists them. */
async function callsOf(
  operator: TestUser,
  jobId: string,
): Promise<string[]> {
  const { body } = await operator.call("ops", { body: { action: "parked" } });
  return OPS_RESPONSES.parked.parse(body).jobs
    .filter(({ job_id }) => job_id === jobId)
    .flatMap(({ calls }) => calls.map(({ call_id }) => call_id));
}

async function standing(stack: TestStack, jobId: string) {
  const [row] = await stack.sql<
    { error_code: string | null; spend: string; call: string | null }
  >`
    select j.error_code, j.spend, c.error_code as call from public.ai_jobs as j
    join public.ai_provider_calls as c on c.job_id = j.id where j.id = ${jobId}`;
  return row;
}

/** Lets the job poll until it is completed: what it found may not be rendered yet. */
async function complete(stack: TestStack, jobId: string): Promise<void> {
  await waitUntil("the job completes", async () => {
    await sweepJob(stack, jobId);
    const [job] = await stack.sql<{ status: string }>`
      select status from public.ai_jobs where id = ${jobId}`;
    return job?.status === "completed";
  });
}

for (const [name, subject] of Object.entries(SUBJECTS)) {
  Deno.test(`answers: ${name}: only its own object is accepted, and then it is not paid for again`, async () => {
    const stack = running();
    const operator = await signUpOperator(stack);
    const other = await park(stack, subject);
    const { jobId, id } = await park(stack, subject);
    const [mine] = await callsOf(operator, jobId);
    const [others] = await callsOf(operator, other.jobId);
    const resolve = (body: Record<string, unknown>) =>
      operator.call("ops", {
        body: { action: "resolve", job_id: jobId, call_id: mine, ...body },
      });
    const made = (provider_object_id: string, more = {}) =>
      resolve({ was_made: true, provider_object_id, ...more });

    for (const more of [{}, { is_unchecked: true }]) {
      assertProblem(await made("nothing-has-this-id", more), {
        status: 409,
        code: "provider_object_missing",
        field: "provider_object_id",
      });
      if (name !== "transcription") {
        assertProblem(await made(other.id, more), {
          status: 409,
          code: "provider_object_mismatch",
          field: "provider_object_id",
        });
      }
      if (subject.hasMarker) {
        const answer = await resolve({ was_made: false, ...more });
        assertProblem(answer, {
          status: 409,
          code: "provider_object_found",
          field: "was_made",
        });
        assertStringIncludes(JSON.stringify(answer.body), id);
      }
    }
    await stack.simulator.fail({
      provider: subject.provider,
      operation: subject.get,
      fault: { kind: "status", status: 503 },
    });
    assertProblem(await made(id), {
      status: 503,
      code: "provider_not_checked",
    });
    assertEquals((await standing(stack, jobId))?.spend, "unknown");

    assertProblem(await made(id, { call_id: others }), {
      status: 409,
      code: "job_not_parked",
      field: "call_id",
    });
    assertEquals((await made(id)).status, 200);
    assertProblem(await made(id), {
      status: 409,
      code: "job_not_parked",
      field: "call_id",
    });
    await complete(stack, jobId);
    const [calls] = await stack.sql<{ n: number }>`
      select count(*)::integer as n from public.ai_provider_calls where job_id = ${jobId}`;
    assertEquals(calls?.n, 1, "one paid call");
    assertProblem(
      await operator.call("ops", {
        body: { action: "take_back", job_id: jobId },
      }),
      { status: 409, code: "job_not_parked", field: "job_id" },
    );
  });

  Deno.test(`answers: ${name}: an id that the provider does not have parks the job again, and is corrected`, async () => {
    const stack = running();
    const operator = await signUpOperator(stack);
    const { jobId, id } = await park(stack, subject);
    // As in the SQL editor, where nothing asks the provider.
    await stack
      .sql`select public.resolve_unknown_ai_job(${jobId}, true, ${`wrong-${crypto.randomUUID()}`})`;
    await stack.sql`
      update public.ai_provider_calls
      set settled_at = settled_at - interval '61 seconds',
        -- A transcript may be in the making for a while.
        sent_at = sent_at - make_interval(secs => ${
      name === "transcription" ? 901 : 0
    })
      where job_id = ${jobId}`;
    // A worker may have read the object before that, too early to park the job, and waits.
    await waitUntil("the job is parked again", async () => {
      await sweepJob(stack, jobId);
      return (await standing(stack, jobId))?.call === "provider_object_missing";
    });
    await waitForEvent(stack, jobId, "failed", { nth: 2 });
    assertEquals(await standing(stack, jobId), {
      error_code: "outcome_unknown",
      spend: "unknown",
      call: "provider_object_missing",
    });
    const parked = OPS_RESPONSES.parked.parse(
      (await operator.call("ops", { body: { action: "parked" } })).body,
    );
    assert(parked.jobs.some(({ job_id }) => job_id === jobId));

    const answer = await operator.call("ops", {
      body: {
        action: "resolve",
        job_id: jobId,
        was_made: true,
        provider_object_id: id,
      },
    });
    assertEquals(answer.status, 200, JSON.stringify(answer.body));
    await complete(stack, jobId);
  });
}

Deno.test("answers: a transcript that is still being made is waited for, and not parked again", async () => {
  const stack = running();
  const subject = SUBJECTS["transcription"];
  assert(subject !== undefined);
  // The lost calls of the other tests count as failures in a row, since an operator's answer ends no count.
  await stack
    .sql`update public.ai_providers set breaker_failures = 0 where provider = 'elevenlabs'`;
  const { jobId, id } = await park(stack, subject);
  await stack.simulator.fail({
    provider: "elevenlabs",
    operation: "transcripts.get",
    times: 2,
    fault: { kind: "status", status: 404 },
  });
  await stack.sql`
    update public.ai_providers set paused_at = now() where provider = 'elevenlabs'`;
  await stack.sql`select public.resolve_unknown_ai_job(${jobId}, true, ${id})`;
  await stack.sql`
    update public.ai_provider_calls set settled_at = settled_at - interval '61 seconds' where job_id = ${jobId}`;
  await stack.sql`
    update public.ai_providers set paused_at = null where provider = 'elevenlabs'`;
  await complete(stack, jobId);
  const stages = await stack.sql<{ stage: string }>`
    select data ->> 'stage' as stage from public.ai_job_events
    where job_id = ${jobId} and event = 'snoozed' order by seq desc limit 2`;
  assertEquals(stages.map(({ stage }) => stage), [
    "transcribing",
    "transcribing",
  ]);
});

Deno.test("answers: one that is recorded unchecked says so, and can be taken back before the job runs", async () => {
  const stack = running();
  const operator = await signUpOperator(stack);
  const subject = SUBJECTS["avatar_video at heygen"];
  assert(subject !== undefined);
  const { jobId, id } = await park(stack, subject);
  const [call_id] = await callsOf(operator, jobId);
  await stack
    .sql`update public.ai_providers set paused_at = now() where provider = 'heygen'`;
  await stack.simulator.fail({
    provider: "heygen",
    operation: "videos.get",
    times: null,
    fault: { kind: "status", status: 503 },
  });
  const act = (body: Record<string, unknown>) =>
    operator.call("ops", { body: { job_id: jobId, ...body } });
  const resolved = await act({
    action: "resolve",
    was_made: true,
    provider_object_id: id,
    is_unchecked: true,
  });
  assertEquals([resolved.status, Object(resolved.body).status], [
    200,
    "pending",
  ]);
  const { job } = OPS_RESPONSES.job.parse((await act({ action: "job" })).body);
  assertEquals(job.is_answer_revocable, true);
  const taken = await act({ action: "take_back" });
  assertEquals([taken.status, Object(taken.body).status], [200, "failed"]);
  const { actions } = OPS_RESPONSES.actions.parse(
    (await operator.call("ops", { body: { action: "actions", limit: 2 } }))
      .body,
  );
  assertEquals(actions.map(({ action, details }) => [action, details]), [
    ["take_back", { job_id: jobId, provider_object_id: id }],
    ["resolve", {
      job_id: jobId,
      call_id,
      was_made: true,
      provider_object_id: id,
      is_unchecked: true,
    }],
  ]);
});
