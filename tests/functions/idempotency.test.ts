/** Idempotency-Key: a request that is sent again, for any reason, creates one job. */
import { assert, assertEquals } from "@std/assert";
import { createAiJobResponseSchema } from "../../supabase/functions/_shared/contracts/jobs.ts";
import { signUp, type TestUser, uploadRecording } from "../_support/as-user.ts";
import { assertDoneOnce } from "../_support/job-facts.ts";
import { assertProblem } from "../_support/problem.ts";
import { useStack } from "../_support/stack.ts";
import { waitForJob, waitUntil } from "../_support/wait-for.ts";

const running = useStack();

async function create(
  user: TestUser,
  inputUrl: string,
  key: string,
  metadata: Record<string, unknown> = { voice_name: "A voice" },
) {
  const { status, body } = await user.call("create-ai-job", {
    body: { job_type: "voice_clone", input_url: inputUrl, metadata },
    headers: { "idempotency-key": key },
  });
  return { status, body: createAiJobResponseSchema.parse(body) };
}

async function jobIds(user: TestUser): Promise<string[]> {
  const { data, error } = await user.client.from("ai_jobs").select("id").order(
    "created_at",
  );
  assertEquals(error, null);
  return data?.map(({ id }) => id) ?? [];
}

Deno.test("Idempotency-Key: the same request again is 200 with the same job, while it runs and when it is done", async () => {
  const stack = running();
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  const key = crypto.randomUUID();
  await stack.simulator.fail({ fault: { kind: "hang", processed: "after" } });
  const first = await create(user, inputUrl, key);
  assertEquals(first.status, 202);
  const { job_id } = first.body;
  await stack.simulator.requests("voices.add", { jobId: job_id, atLeast: 1 });

  const meanwhile = await create(user, inputUrl, key);
  assertEquals(
    [meanwhile.status, meanwhile.body.job_id, meanwhile.body.status],
    [200, job_id, "processing"],
  );
  await stack.simulator.release();
  const job = await waitForJob(stack, user, job_id, "completed");
  const after = await create(user, inputUrl, key);
  assertEquals(
    [after.status, after.body.job_id, after.body.result_data],
    [200, job_id, job.result_data],
  );
  // The same request and key, although the body is formatted differently and the key is quoted as in the header's
  // draft.
  const otherwise = await create(
    user,
    `${stack.apiUrl}/storage/v1/object/${inputUrl}`,
    `"${key}"`,
    { stability: 0.5, voice_name: " A voice " },
  );
  assertEquals([otherwise.status, otherwise.body.job_id], [200, job_id]);
  assertEquals(await jobIds(user), [job_id]);
  await assertDoneOnce(stack, job_id);
});

Deno.test("Idempotency-Key: another request under the same key is 422, and creates no job", async () => {
  const stack = running();
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  const other = await uploadRecording(user);
  const key = crypto.randomUUID();
  const { body } = await create(user, inputUrl, key);
  const reused = {
    status: 422,
    code: "idempotency_key_reused",
    field: "idempotency_key",
  } as const;
  for (
    const [input_url, metadata] of [
      [inputUrl, { voice_name: "Another voice" }],
      [inputUrl, { voice_name: "A voice", stability: 0.4 }],
      [inputUrl, { voice_name: "A voice", labels: { a: "b" } }],
      [other, { voice_name: "A voice" }],
    ]
  ) {
    assertProblem(
      await user.call("create-ai-job", {
        body: { job_type: "voice_clone", input_url, metadata },
        headers: { "idempotency-key": key },
      }),
      reused,
    );
  }
  assertEquals(await jobIds(user), [body.job_id]);
  await waitForJob(stack, user, body.job_id, "completed");
});

Deno.test("Idempotency-Key: of twenty parallel equal requests one creates the job and the others return it", async () => {
  const stack = running();
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  const key = crypto.randomUUID();
  const answers = await Promise.all(
    Array.from({ length: 20 }, () =>
      user.call("create-ai-job", {
        body: {
          job_type: "voice_clone",
          input_url: inputUrl,
          metadata: { voice_name: "A voice" },
        },
        headers: { "idempotency-key": key },
      })),
  );
  const [jobId, ...others] = await jobIds(user);
  assert(jobId !== undefined);
  assertEquals(others, []);
  assertEquals(answers.filter(({ status }) => status === 202).length, 1);
  for (const answer of answers) {
    assertEquals(createAiJobResponseSchema.parse(answer.body).job_id, jobId);
  }
  await waitForJob(stack, user, jobId, "completed");
  await assertDoneOnce(stack, jobId);
});

Deno.test("Idempotency-Key: a request during another insert with its key waits, and returns its job", async () => {
  const stack = running();
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  const key = crypto.randomUUID();
  // The same request as create-ai-job inserts it, with the defaults that it fills in.
  const { body: model } = await create(user, inputUrl, crypto.randomUUID());
  await using connection = stack.connect();
  const { waiting, jobId } = await connection.sql.begin(async (sql) => {
    const [job] = await sql<{ id: string }[]>`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata, idempotency_key)
      select j.user_id, j.job_type, j.input_url, j.metadata, ${key} from public.ai_jobs as j
      where j.id = ${model.job_id} returning id`;
    const waiting = create(user, inputUrl, key);
    await waitUntil("the request waits at the key", async () => {
      const blocked = await stack.sql`
        select 1 from pg_stat_activity where wait_event = 'transactionid' and query ilike '%create_ai_job%'`;
      return blocked.length > 0;
    });
    return { waiting, jobId: job?.id };
  });
  const { status, body } = await waiting;
  assertEquals([status, body.job_id], [200, jobId]);
  assertEquals(await jobIds(user), [model.job_id, jobId]);
  await waitForJob(stack, user, body.job_id, "completed");
});

Deno.test("Idempotency-Key: without one, two parallel equal requests create two jobs", async () => {
  const stack = running();
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  const request = {
    body: {
      job_type: "voice_clone",
      input_url: inputUrl,
      metadata: { voice_name: "A voice" },
    },
  };
  await Promise.all([1, 2].map(() => user.call("create-ai-job", request)));
  const ids = await jobIds(user);
  assertEquals(ids.length, 2);
  for (const id of ids) await waitForJob(stack, user, id, "completed");
});

Deno.test("Idempotency-Key: another user under the same key gets a job of their own", async () => {
  const stack = running();
  const ada = await signUp(stack);
  const eve = await signUp(stack);
  const key = crypto.randomUUID();
  const hers = await create(ada, await uploadRecording(ada), key);
  const theirs = await create(eve, await uploadRecording(eve), key);
  assertEquals([hers.status, theirs.status], [202, 202]);
  assert(hers.body.job_id !== theirs.body.job_id);
  await waitForJob(stack, ada, hers.body.job_id, "completed");
  await waitForJob(stack, eve, theirs.body.job_id, "completed");
  assertEquals(await jobIds(eve), [theirs.body.job_id]);
});

Deno.test("Idempotency-Key: a repeated request is answered even after its recording or job type was deleted", async () => {
  const stack = running();
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  const key = crypto.randomUUID();
  const { body } = await create(user, inputUrl, key);
  await waitForJob(stack, user, body.job_id, "completed");

  await stack.sql`update public.ai_job_types set is_enabled = false`;
  try {
    const again = await create(user, inputUrl, key);
    assertEquals([again.status, again.body.job_id], [200, body.job_id]);
  } finally {
    await stack.sql`update public.ai_job_types set is_enabled = true`;
  }
  const { error } = await user.client.storage.from("voice-samples").remove([
    inputUrl.slice("voice-samples/".length),
  ]);
  assertEquals(error, null);
  const again = await create(user, inputUrl, key);
  assertEquals([again.status, again.body.job_id], [200, body.job_id]);
  // The twin: without the key the missing recording is noticed.
  assertProblem(
    await user.call("create-ai-job", {
      body: {
        job_type: "voice_clone",
        input_url: inputUrl,
        metadata: { voice_name: "A voice" },
      },
    }),
    { status: 400, code: "input_not_found", field: "input_url" },
  );
});

Deno.test("Idempotency-Key: a key that was refused is free again", async () => {
  const stack = running();
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  const key = crypto.randomUUID();
  assertProblem(
    await user.call("create-ai-job", {
      body: {
        job_type: "voice_clone",
        input_url: `voice-samples/${user.id}/none.mp3`,
        metadata: { voice_name: "A voice" },
      },
      headers: { "idempotency-key": key },
    }),
    { status: 400, code: "input_not_found", field: "input_url" },
  );
  const { status, body } = await create(user, inputUrl, key);
  assertEquals(status, 202);
  await waitForJob(stack, user, body.job_id, "completed");
});

Deno.test("Idempotency-Key: a plain insert of another request under a used key is AJ030, and no job", async () => {
  const stack = running();
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  const key = crypto.randomUUID();
  const { body } = await create(user, inputUrl, key);
  const { error } = await user.client.from("ai_jobs").insert({
    job_type: "voice_clone",
    input_url: inputUrl,
    metadata: { voice_name: "A voice" },
    idempotency_key: key,
  });
  assertEquals(error?.code, "AJ030");
  assertEquals(await jobIds(user), [body.job_id]);
  await waitForJob(stack, user, body.job_id, "completed");
});
