/** If the database does not respond in time, the answer is 504 and nothing is half done. */
import { assert, assertEquals } from "@std/assert";
import { createAiJobResponseSchema } from "../../supabase/functions/_shared/contracts/jobs.ts";
import {
  type FunctionAnswer,
  signUp,
  uploadRecording,
} from "../_support/as-user.ts";
import { assertProblem } from "../_support/problem.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import {
  timeline,
  waitForEvent,
  waitForJob,
  waitForLog,
} from "../_support/wait-for.ts";

const running = useStack({ env: { REQUEST_TIMEOUT: "2" } });

/** Runs `work` while no session can read or write jobs or objects. */
async function whileLocked<T>(
  stack: TestStack,
  work: () => Promise<T>,
): Promise<T> {
  await using connection = stack.connect();
  // In an object, because `begin` would await each member of an array that `work` returns.
  const { result } = await connection.sql.begin(async (sql) => {
    await sql`lock table public.ai_jobs, storage.objects in access exclusive mode`;
    return { result: await work() };
  });
  return result;
}

const late = { status: 504, code: "request_timeout" };

/** So often no machine is too busy to answer one request in time. */
const MAX_TRIES = 30;

/** Repeats a request that a busy machine does not answer within the short limit of this file. */
async function untilServed(
  call: () => Promise<FunctionAnswer>,
): Promise<FunctionAnswer> {
  let answer = await call();
  for (let tries = 1; answer.status === late.status; tries++) {
    assert(tries < MAX_TRIES, "the request is never answered in time");
    answer = await call();
  }
  return answer;
}

Deno.test("endpoints: a request that exceeds its time limit is answered with 504 without further delay", async () => {
  const stack = running();
  const user = await signUp(stack);
  const path = (await uploadRecording(user)).slice("voice-samples/".length);
  // They come while the lock is held. Without the limit, the database would end the wait, and the code be another.
  const answers = await whileLocked(stack, () =>
    Promise.all([
      user.call("get-ai-job", { query: `?id=${crypto.randomUUID()}` }),
      user.call("create-upload-url", {
        body: {
          bucket: "voice-samples",
          file_name: "a.mp3",
          content_type: "audio/mpeg",
          size_bytes: 1,
        },
      }),
      user.call("create-download-url", {
        body: { bucket: "voice-samples", path },
      }),
    ]));
  for (const answer of answers) assertProblem(answer, late);
  // The twin: the same, once the lock is gone.
  const { status } = await untilServed(() =>
    user.call("create-download-url", {
      body: { bucket: "voice-samples", path },
    })
  );
  assertEquals(status, 200);
});

Deno.test("create-ai-job: a 504 leaves one complete job or none, and the same Idempotency-Key creates no second", async () => {
  const stack = running();
  const user = await signUp(stack);
  const request = {
    body: {
      job_type: "voice_clone",
      input_url: await uploadRecording(user),
      metadata: { voice_name: "A voice" },
    },
    headers: { "idempotency-key": crypto.randomUUID() },
  };
  const answer = await whileLocked(
    stack,
    () => user.call("create-ai-job", request),
  );
  assertProblem(answer, late);

  const again = await untilServed(() => user.call("create-ai-job", request));
  assert([200, 202].includes(again.status), JSON.stringify(again.body));
  const { job_id } = createAiJobResponseSchema.parse(again.body);
  await waitForJob(stack, user, job_id, "completed");
  const { data: jobs } = await user.client.from("ai_jobs").select("id");
  assertEquals(jobs, [{ id: job_id }]);
  assertEquals((await stack.simulator.creations()).length, 1);
});

Deno.test("process-ai-job: a job whose claim succeeds after the 504 is still processed, once", async () => {
  const stack = running();
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  await stack.pauseNet();
  const { data, error } = await user.client.from("ai_jobs").insert({
    job_type: "voice_clone",
    input_url: inputUrl,
    metadata: { voice_name: "A voice" },
  }).select("id").single();
  assertEquals(error, null);
  const jobId = data?.id ?? "";
  await whileLocked(stack, async () => {
    await stack.resumeNet();
    await waitForLog(stack, "process-ai-job", { status: 504 });
  });
  const job = await waitForJob(stack, user, jobId, "completed");
  assertEquals(job.attempt, 1);
  assertEquals(timeline(await waitForEvent(stack, jobId, "completed")), [
    "created",
    "claimed",
    "progress",
    "submitted",
    "settled",
    "completed",
  ]);
  assertEquals((await stack.simulator.creations()).length, 1);
});
