/** The database's dispatch of process-ai-job: only a fresh, signed one has an effect, and only once. */
import { assert, assertEquals } from "@std/assert";
import { Webhook } from "standardwebhooks";
import { z } from "zod";
import {
  callFunction,
  requestVoice,
  uploadRecording,
} from "../_support/as-user.ts";
import { assertProblem } from "../_support/problem.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import { waitForJob } from "../_support/wait-for.ts";
import {
  claimedBy,
  dispatch,
  rowOf,
  secondsAgo,
  signed,
  waitingJob,
} from "./_support/signed-dispatch.ts";

const running = useStack();
const rowSchema = z.object({
  job: z.record(z.string(), z.unknown()),
  events: z.array(z.unknown()),
});

Deno.test("process-ai-job: an unsigned, forged or stale dispatch is refused, and the job is untouched", async () => {
  const stack = running();
  const { user, jobId } = await waitingJob(stack);
  const before = await rowOf(stack, jobId);
  const good = signed(stack, { jobIds: [jobId] });
  const without = (name: string) => {
    const { [name]: _gone, ...headers } = good.headers;
    return { body: good.body, headers };
  };
  const otherSecret = `whsec_${btoa("0123456789abcdef0123456789abcdef")}`;
  const refused: Record<
    string,
    { body: string; headers: Record<string, string> }
  > = {
    "not signed": { body: good.body, headers: {} },
    "a user's token instead": {
      body: good.body,
      headers: { authorization: `Bearer ${user.accessToken}` },
    },
    "the secret key instead": {
      body: good.body,
      headers: {
        authorization: `Bearer ${stack.secretKey}`,
        apikey: stack.secretKey,
      },
    },
    "another secret": signed(stack, { jobIds: [jobId], secret: otherSecret }),
    "no id": without("webhook-id"),
    "no timestamp": without("webhook-timestamp"),
    "no signature": without("webhook-signature"),
    "another id": {
      ...good,
      headers: { ...good.headers, "webhook-id": "msg_other" },
    },
    "another time": {
      ...good,
      headers: {
        ...good.headers,
        "webhook-timestamp": String(Math.floor(Date.now() / 1000) + 7),
      },
    },
    "another body": { ...good, body: good.body.replace("INSERT", "UPDATE") },
    "a space more": { ...good, body: `${good.body} ` },
    "the scheme's other version": {
      ...good,
      headers: {
        ...good.headers,
        "webhook-signature":
          good.headers["webhook-signature"]?.replace("v1,", "v2,") ?? "",
      },
    },
    "an empty signature": {
      ...good,
      headers: { ...good.headers, "webhook-signature": "v1," },
    },
  };
  for (const [name, request] of Object.entries(refused)) {
    const answer = await callFunction(stack, "process-ai-job", {
      method: "POST",
      ...request,
    });
    try {
      assertProblem(answer, {
        status: 401,
        code: "dispatch_signature_invalid",
      });
    } catch (error) {
      throw new Error(`${name}: ${error}`, { cause: error });
    }
  }
  for (const sentAt of [secondsAgo(310), secondsAgo(-310), new Date(0)]) {
    assertProblem(await dispatch(stack, { jobIds: [jobId], sentAt }), {
      status: 401,
      code: "dispatch_stale",
    });
  }
  assertEquals(await rowOf(stack, jobId), before);

  // The twin: the unaltered request, and an older one within the five minutes.
  const answer = await callFunction(stack, "process-ai-job", {
    method: "POST",
    ...good,
  });
  assertEquals(claimedBy(answer), [jobId]);
  await waitForJob(stack, user, jobId, "completed");
  assertEquals(
    claimedBy(
      await dispatch(stack, { jobIds: [jobId], sentAt: secondsAgo(280) }),
    ),
    [],
  );
});

Deno.test("process-ai-job: one valid signature among several suffices, so that the secret can be rotated", async () => {
  const stack = running();
  const { user, jobId } = await waitingJob(stack);
  const { body, headers } = signed(stack, { jobIds: [jobId] });
  const otherSignature = new Webhook(`whsec_${btoa("x".repeat(32))}`).sign(
    headers["webhook-id"] ?? "",
    new Date(),
    body,
  );
  const answer = await callFunction(stack, "process-ai-job", {
    method: "POST",
    body,
    headers: {
      ...headers,
      "webhook-signature": `${otherSignature} ${headers["webhook-signature"]}`,
    },
  });
  assertEquals(claimedBy(answer), [jobId]);
  await waitForJob(stack, user, jobId, "completed");
});

Deno.test("process-ai-job: a replayed dispatch is refused, and the job is untouched", async () => {
  const stack = running();
  const { user, jobId } = await waitingJob(stack);
  const request = { method: "POST", ...signed(stack, { jobIds: [jobId] }) };
  assertEquals(
    claimedBy(await callFunction(stack, "process-ai-job", request)),
    [jobId],
  );
  await waitForJob(stack, user, jobId, "completed");

  const before = await rowOf(stack, jobId);
  const replayed = { status: 409, code: "dispatch_replayed" };
  const again = await callFunction(stack, "process-ai-job", request);
  assertProblem(again, replayed);
  // Other ids under the same message id are refused too: the receipt is for the message.
  const messageId = request.headers["webhook-id"];
  assert(messageId !== undefined);
  const other = await waitingJob(stack);
  const otherBefore = await rowOf(stack, other.jobId);
  assertProblem(
    await dispatch(stack, { jobIds: [other.jobId], messageId }),
    replayed,
  );
  assertEquals(await rowOf(stack, jobId), before);
  assertEquals(await rowOf(stack, other.jobId), otherBefore);
});

Deno.test("process-ai-job: of twenty equal concurrent dispatches one is accepted, and the job runs once", async () => {
  const stack = running();
  const { user, jobId } = await waitingJob(stack);
  const request = { method: "POST", ...signed(stack, { jobIds: [jobId] }) };
  const answers = await Promise.all(
    Array.from(
      { length: 20 },
      () => callFunction(stack, "process-ai-job", request),
    ),
  );
  const statuses = answers.map(({ status }) => status).sort();
  assertEquals(statuses, [202, ...Array.from({ length: 19 }, () => 409)]);
  const job = await waitForJob(stack, user, jobId, "completed");
  assertEquals(job.attempt, 1);
  assertEquals((await stack.simulator.creations(jobId)).length, 1);
});

Deno.test("process-ai-job: of twenty different concurrent dispatches for one job, one claims it", async () => {
  const stack = running();
  const { user, jobId } = await waitingJob(stack);
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => dispatch(stack, { jobIds: [jobId] })),
  );
  assertEquals(answers.flatMap(claimedBy), [jobId]);
  const job = await waitForJob(stack, user, jobId, "completed");
  assertEquals(job.attempt, 1);
  assertEquals((await stack.simulator.creations(jobId)).length, 1);
});

/** The job's row and timeline without what a heartbeat of its worker may change meanwhile. */
async function withoutHeartbeat(
  stack: TestStack,
  jobId: string,
): Promise<unknown> {
  const { job: { lease_expires_at: _lease, updated_at: _at, ...job }, events } =
    rowSchema.parse(await rowOf(stack, jobId));
  return { job, events };
}

Deno.test("process-ai-job: a dispatch changes no job that is processing, finished, not due or unknown", async () => {
  const stack = running();
  const { user, jobId } = await waitingJob(stack);
  await stack.simulator.fail({ fault: { kind: "hang", processed: "after" } });
  assertEquals(claimedBy(await dispatch(stack, { jobIds: [jobId] })), [jobId]);
  await stack.simulator.requests("voices.add", { jobId, atLeast: 1 });
  const untouched = async (id: string, state: string) => {
    const before = await withoutHeartbeat(stack, id);
    const answer = await dispatch(stack, { jobIds: [id] });
    assertEquals(claimedBy(answer), [], state);
    assertEquals(await withoutHeartbeat(stack, id), before, state);
  };
  await untouched(jobId, "processing");
  await stack.simulator.release();
  await waitForJob(stack, user, jobId, "completed");
  await untouched(jobId, "completed");
  assertEquals((await stack.simulator.creations(jobId)).length, 1);

  await stack.simulator.fail({
    fault: { kind: "status", error: "voice_limit_reached" },
  });
  const failing = await requestVoice(user, await uploadRecording(user));
  await waitForJob(stack, user, failing, "failed");
  await untouched(failing, "failed");

  const later = await waitingJob(stack);
  await stack.sql`
    update public.ai_jobs set scheduled_at = now() + interval '1 hour' where id = ${later.jobId}`;
  await untouched(later.jobId, "not due");

  assertEquals(
    claimedBy(await dispatch(stack, { jobIds: [crypto.randomUUID()] })),
    [],
  );
});

Deno.test("process-ai-job: a signed body that is not a dispatch is refused, and nothing is claimed", async () => {
  const stack = running();
  const { jobId } = await waitingJob(stack);
  const before = await rowOf(stack, jobId);
  const good = {
    type: "INSERT",
    table: "ai_jobs",
    schema: "public",
    record: { id: jobId },
  };
  const bodies: [string, string][] = [
    ["type", JSON.stringify({ ...good, type: "DELETE" })],
    ["table", JSON.stringify({ ...good, table: "voices" })],
    ["schema", JSON.stringify({ ...good, schema: "private" })],
    ["record.id", JSON.stringify({ ...good, record: { id: "7" } })],
    ["record", JSON.stringify({ ...good, record: null })],
    ["job_ids.0", JSON.stringify({ ...good, job_ids: ["7"] })],
    [
      "job_ids",
      JSON.stringify({ ...good, job_ids: Array(101).fill(jobId) }),
    ],
    ["body", "null"],
  ];
  for (const [field, body] of bodies) {
    assertProblem(await dispatch(stack, { body }), {
      status: 400,
      code: "invalid_request",
      field,
    });
  }
  assertProblem(await dispatch(stack, { body: "{" }), {
    status: 400,
    code: "invalid_json",
  });
  assertEquals(await rowOf(stack, jobId), before);
});

Deno.test("process-ai-job: uses only the ids in the body", async () => {
  const stack = running();
  const { user, jobId } = await waitingJob(stack);
  const body = JSON.stringify({
    type: "UPDATE",
    table: "ai_jobs",
    schema: "public",
    record: {
      id: jobId,
      user_id: crypto.randomUUID(),
      job_type: "text_to_speech",
      input_url: "outputs/another/user.mp3",
      metadata: { voice_name: "Forged" },
      attempt: 99,
    },
    old_record: { status: "failed" },
  });
  assertEquals(claimedBy(await dispatch(stack, { body })), [jobId]);
  const job = await waitForJob(stack, user, jobId, "completed");
  assertEquals(job.result_data?.["voice_name"], "A voice");
  assertEquals(job.attempt, 1);
});
