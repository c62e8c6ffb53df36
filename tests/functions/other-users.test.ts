/** A user can neither see nor change anything that belongs to another. */
import { assert, assertEquals } from "@std/assert";
import { requestVoice, signUp, uploadRecording } from "../_support/as-user.ts";
import { assertProblem } from "../_support/problem.ts";
import { useStack } from "../_support/stack.ts";
import { waitForJob } from "../_support/wait-for.ts";

const running = useStack();

async function adaAndEve() {
  const stack = running();
  const ada = await signUp(stack);
  const eve = await signUp(stack);
  const inputUrl = await uploadRecording(ada);
  const jobId = await requestVoice(ada, inputUrl);
  await waitForJob(stack, ada, jobId, "completed");
  return { stack, ada, eve, inputUrl, jobId };
}

Deno.test("another user: sees no job, timeline, voice, journal or cache", async () => {
  const { ada, eve, jobId } = await adaAndEve();
  assertProblem(await eve.call("get-ai-job", { query: `?id=${jobId}` }), {
    status: 404,
    code: "not_found",
  });
  const seen = async (user: typeof eve) => {
    const counts = await Promise.all([
      user.client.from("ai_jobs").select("*"),
      user.client.from("ai_job_events").select("*"),
      user.client.from("voices").select("*"),
      user.client.from("ai_provider_calls").select("*"),
      user.client.from("ai_result_cache").select("*"),
    ]);
    return counts.map(({ data, error }) => error?.code ?? data?.length);
  };
  assertEquals(await seen(eve), [0, 0, 0, 0, 0]);
  // The twin: the owner sees each of them.
  assertEquals(await seen(ada), [1, 6, 1, 1, 1]);
  assertEquals(
    (await ada.call("get-ai-job", { query: `?id=${jobId}` })).status,
    200,
  );
});

Deno.test("another user: gets 403 for a foreign path, with or without an object", async () => {
  const { ada, eve, inputUrl } = await adaAndEve();
  const path = inputUrl.slice("voice-samples/".length);
  const forbidden = { status: 403, code: "path_not_allowed", field: "path" };
  for (const named of [path, `${ada.id}/nothing/there.mp3`]) {
    const body = { bucket: "voice-samples", path: named };
    assertProblem(await eve.call("create-download-url", { body }), forbidden);
  }
  // Only the owner can see the difference.
  const ask = async (named: string) =>
    (await ada.call("create-download-url", {
      body: { bucket: "voice-samples", path: named },
    })).status;
  assertEquals(
    [await ask(path), await ask(`${ada.id}/nothing/there.mp3`)],
    [200, 404],
  );
});

Deno.test("another user: cannot use a foreign recording, by the function or by a plain insert", async () => {
  const { stack, ada, eve, inputUrl } = await adaAndEve();
  const job = {
    job_type: "voice_clone",
    input_url: inputUrl,
    metadata: { voice_name: "Stolen" },
  };
  assertProblem(await eve.call("create-ai-job", { body: job }), {
    status: 403,
    code: "path_not_allowed",
    field: "input_url",
  });
  const [before] = await stack.sql`
    select count(*) as jobs, (select count(*) from net._http_response) as sent from public.ai_jobs`;
  const insert = async (row: typeof job & { user_id?: string }) => {
    const { error } = await eve.client.from("ai_jobs").insert(row);
    return [error?.code, error?.details];
  };
  assertEquals(await insert(job), ["AJ015", "input_url"]);
  const nothing = `voice-samples/${ada.id}/nothing.mp3`;
  assertEquals(await insert({ ...job, input_url: nothing }), [
    "AJ015",
    "input_url",
  ]);
  const [asAda] = await insert({ ...job, user_id: ada.id });
  assertEquals(asAda, "42501");
  const [after] = await stack.sql`
    select count(*) as jobs, (select count(*) from net._http_response) as sent from public.ai_jobs`;
  assertEquals(after, before);

  // The twin: with a recording of her own the same insert starts a job.
  const own = await uploadRecording(eve);
  const { data } = await eve.client.from("ai_jobs").insert({
    ...job,
    input_url: own,
  }).select("id").single();
  await waitForJob(stack, eve, data?.id ?? "", "completed");
});

Deno.test("an owner: cannot write what only the job engine may write", async () => {
  const { stack, ada, inputUrl, jobId } = await adaAndEve();
  const own = {
    job_type: "voice_clone",
    input_url: inputUrl,
    metadata: { voice_name: "Mine" },
  };
  const forbidden: Record<string, unknown>[] = [
    { status: "completed" },
    { result_data: { voice_id: "x", voice_name: "y" } },
    { max_attempts: 100 },
    { priority: -1 },
    { provider: "internal" },
    { billable_calls: 0 },
    { input_hash: "0".repeat(64) },
  ];
  for (const change of forbidden) {
    const { error } = await ada.client.from("ai_jobs").insert({
      ...own,
      ...change,
    });
    assertEquals(error?.code, "42501", JSON.stringify(change));
  }
  const { client } = ada;
  const { data: call } = await client.from("ai_provider_calls").select("id")
    .eq("job_id", jobId).single();
  const attempts = {
    "cancel": client.from("ai_jobs").update({ status: "cancelled" })
      .eq("id", jobId),
    "remove the job": client.from("ai_jobs").delete().eq("id", jobId),
    "rename the voice": client.from("voices").update({ name: "Hers" })
      .eq("job_id", jobId),
    "write an event": client.from("ai_job_events").insert({
      job_id: jobId,
      seq: 99,
      user_id: ada.id,
      event: "completed",
      attempt: 1,
    }),
    "rewrite the journal": client.from("ai_provider_calls")
      .update({ outcome: "absent" }).eq("id", call?.id ?? ""),
    "claim": client.rpc("claim_ai_jobs", { p_limit: 10 }),
    "complete": client.rpc("complete_ai_jobs", {
      p_jobs: [{
        job_id: jobId,
        lease_token: crypto.randomUUID(),
        result_data: {},
      }],
    }),
    "fill the cache": client.from("ai_result_cache").insert({
      cache_key: `ai_job:${"0".repeat(64)}`,
      user_id: ada.id,
      value: { job_id: jobId },
      expires_at: "2100-01-01T00:00:00Z",
    }),
  };
  for (const [name, attempt] of Object.entries(attempts)) {
    const { error } = await attempt;
    assertEquals(error?.code, "42501", name);
  }
  const [{ jobs } = { jobs: 0 }] = await stack.sql<{ jobs: number }>`
    select count(*)::int as jobs from public.ai_jobs where user_id = ${ada.id}`;
  assertEquals(jobs, 1);
});

Deno.test("an owner: a job that names another user's result does not get it", async () => {
  const { stack, eve, jobId } = await adaAndEve();
  const { data, error } = await eve.client.from("ai_jobs").insert({
    job_type: "voice_clone",
    input_url: await uploadRecording(eve),
    metadata: { voice_name: "A voice" },
    cached_from_job_id: jobId,
  }).select("id,status,result_data,cached_from_job_id").single();
  assertEquals(error, null);
  assert(data !== null);
  assertEquals(
    [data.status, data.result_data, data.cached_from_job_id],
    ["pending", null, null],
  );
  const job = await waitForJob(stack, eve, data.id, "completed");
  assertEquals((await stack.simulator.creations(job.id)).length, 1);
});
