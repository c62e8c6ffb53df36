/** Avatar videos at both providers: from a photo to a video in Storage, paid for once under any failure. */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertObjectMatch,
  assertStringIncludes,
} from "@std/assert";
import { ALL_FORMATS, BufferSource, Input } from "mediabunny";
import { z } from "zod";
import { avatarVideoResultSchema } from "../../supabase/functions/_shared/contracts/avatar-video.ts";
import {
  readRecording,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import {
  assertVideoOnce,
  AVATAR_PROVIDERS,
  requestVideo,
  uploadPortrait,
} from "../_support/avatar-jobs.ts";
import { jobFacts } from "../_support/job-facts.ts";
import { mp3 } from "../_support/made-recordings.ts";
import { assertProblem, problemSchema } from "../_support/problem.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import {
  readJob,
  sweepJob,
  timeline,
  waitForEvent,
  waitForJob,
} from "../_support/wait-for.ts";
import { whileTimeoutsAreShort } from "./_support/short-timeout.ts";

const running = useStack();
/** The text of the simulated speech. */
const SPOKEN_SECONDS = 6.034;

/** The length of a job's video, which its owner downloads from the signed URL. */
async function filmSeconds(user: TestUser, jobId: string): Promise<number> {
  const answer = await user.call("get-ai-job", { query: `?id=${jobId}` });
  const { output_url } = z.object({ output_url: z.url() }).parse(answer.body);
  const film = await fetch(output_url);
  assertEquals(film.headers.get("content-type"), "video/mp4");
  using input = new Input({
    formats: ALL_FORMATS,
    source: new BufferSource(await film.bytes()),
  });
  return await input.computeDuration();
}

let sharedUser: TestUser | undefined;
Deno.test.beforeAll(async () => {
  sharedUser = await signUp(running());
});

/** A video of the one user of this file, from a separate photo. */
async function newVideo(
  metadata: Record<string, unknown>,
): Promise<{ user: TestUser; jobId: string }> {
  assert(sharedUser !== undefined);
  const photo = await uploadPortrait(sharedUser);
  return {
    user: sharedUser,
    jobId: await requestVideo(sharedUser, photo, metadata),
  };
}

/** Makes the provider finish immediately and send no webhook, so that a job needs only one claim. */
async function withInstantProvider(
  stack: TestStack,
  provider: "d-id" | "heygen",
  settings: Record<string, unknown> = {},
): Promise<void> {
  await stack.simulator.set(
    { render_ms: 0, webhooks: "lost", ...settings },
    provider,
  );
}

async function expireListingLag(
  stack: TestStack,
  jobId: string,
): Promise<void> {
  await stack.sql`
    update public.ai_provider_calls
    set sent_at = sent_at - make_interval(secs => t.reconcile_seconds),
      unknown_since = unknown_since - make_interval(secs => t.reconcile_seconds)
    from public.ai_job_types as t
    where t.job_type = 'avatar_video' and job_id = ${jobId} and outcome in ('sent', 'unknown')`;
}

for (const { provider, create, list, get } of AVATAR_PROVIDERS) {
  const ask = (stack: TestStack, operation: string, jobId: string) =>
    stack.simulator.requests(operation, { provider, jobId });

  Deno.test(`${provider}: a photo and a text become a video that the owner can download, woken by the webhook`, async () => {
    const stack = running();
    await stack.simulator.set({
      render_ms: 60_000,
      ...(provider === "heygen"
        ? {
          webhook_endpoint: {
            url: `${stack.apiUrl}/functions/v1/provider-webhook/heygen`,
            secret: "whsec_simulated-by-the-embedded-stack",
          },
        }
        : {}),
    }, provider);
    const { user, jobId } = await newVideo({ provider, name: "Grandma" });
    await waitForEvent(stack, jobId, "snoozed");
    await stack.simulator.advanceClock(60_000);
    const job = await waitForJob(stack, user, jobId, "completed");

    const facts = await assertVideoOnce(stack, jobId);
    assertEquals(
      facts.events.filter((event) =>
        ["claimed", "submitted", "snoozed", "completed"].includes(event)
      ),
      ["claimed", "submitted", "snoozed", "claimed", "completed"],
    );
    assertEquals(facts.attempt, 1);
    assertEquals([job.provider, job.spend], [provider, "incurred"]);
    assertEquals(job.output_url, `outputs/${user.id}/${jobId}/video.mp4`);
    const result = avatarVideoResultSchema.parse(job.result_data);
    assertEquals([result.provider, result.duration_seconds], [
      provider,
      SPOKEN_SECONDS,
    ]);

    const { data: avatar } = await user.client.from("avatars").select()
      .eq("job_id", jobId).single();
    assertObjectMatch({ avatar }, {
      avatar: {
        name: "Grandma",
        provider,
        provider_video_id: result.provider_video_id,
        video_url: job.output_url,
        duration_seconds: SPOKEN_SECONDS,
      },
    });

    assertAlmostEquals(await filmSeconds(user, jobId), SPOKEN_SECONDS, 0.1);
  });

  Deno.test(`${provider}: a photo speaks a recording of its owner`, async () => {
    const stack = running();
    await withInstantProvider(stack, provider);
    assert(sharedUser !== undefined);
    const audio_url = await uploadRecording(sharedUser, {
      recording: "speech-12s.wav",
    });
    const { user, jobId } = await newVideo({ provider, audio_url });
    const job = await waitForJob(stack, user, jobId, "completed");
    await assertVideoOnce(stack, jobId);
    const result = avatarVideoResultSchema.parse(job.result_data);
    assertAlmostEquals(result.duration_seconds ?? 0, 12, 0.1);
    assertAlmostEquals(await filmSeconds(user, jobId), 12, 0.1);
    const [creation] = await stack.simulator.creations(jobId);
    assert(!JSON.stringify(creation?.request).includes("Hello"));
    assertEquals(
      JSON.stringify(creation?.request).includes("audio"),
      true,
    );
  });

  for (
    const [what, fault] of [
      ["a socket closed after submission", { kind: "close_after" }],
      ["a 504 after submission", {
        kind: "status",
        status: 504,
        body: { message: "Endpoint request timed out" },
        processed: "before",
      }],
      ["half a JSON", { kind: "truncated_json" }],
      ["a timeout after submission", {
        kind: "hang",
        processed: "before",
      }],
    ] as const
  ) {
    Deno.test(`${provider}: ${what}: the video is found and used, and nothing is submitted again`, async () => {
      const stack = running();
      await withInstantProvider(
        stack,
        provider,
        provider === "d-id" ? { list_members: "documented" } : {},
      );
      await stack.simulator.fail({ provider, operation: create, fault });
      const lose = async () => {
        const made = await newVideo({ provider });
        await waitForEvent(stack, made.jobId, "snoozed");
        return made;
      };
      const { user, jobId } = fault.kind === "hang"
        ? await whileTimeoutsAreShort(stack, lose)
        : await lose();
      const doubt = await jobFacts(stack, jobId);
      const isClear = fault.kind === "truncated_json";
      assertEquals([doubt.stage, doubt.attempt], [
        provider === "heygen" && !isClear
          ? "waiting_for_recovery"
          : "reconciling",
        0,
      ]);
      assertEquals(doubt.journal.map(({ outcome }) => outcome), ["unknown"]);

      await sweepJob(stack, jobId);
      await waitForJob(stack, user, jobId, "completed");
      const facts = await assertVideoOnce(stack, jobId);
      assertEquals(facts.journal.map(({ outcome }) => outcome), ["adopted"]);
      assertEquals((await ask(stack, create, jobId)).length, 1);
    });
  }

  Deno.test(`${provider}: a submission that never arrived is sent again in a new attempt when the list is conclusive`, async () => {
    const stack = running();
    await withInstantProvider(stack, provider);
    await stack.simulator.fail({
      provider,
      operation: create,
      fault: { kind: "close_before" },
    });
    const { user, jobId } = await newVideo({ provider });
    await waitForEvent(stack, jobId, "snoozed");
    if (provider === "d-id") {
      await sweepJob(stack, jobId);
      await waitForEvent(stack, jobId, "snoozed", { nth: 2 });
      assertEquals((await ask(stack, create, jobId)).length, 1);
    }

    await expireListingLag(stack, jobId);
    await sweepJob(stack, jobId);
    await waitForEvent(stack, jobId, "retried");
    assertEquals((await jobFacts(stack, jobId)).journal[0]?.outcome, "absent");
    await sweepJob(stack, jobId);
    await waitForJob(stack, user, jobId, "completed");
    await assertVideoOnce(stack, jobId);
    assertEquals((await ask(stack, create, jobId)).length, 2);
  });

  Deno.test(`${provider}: a failed render and a refused one end the job with different codes`, async () => {
    const stack = running();
    const cases = provider === "d-id"
      ? {
        error: "provider_render_failed",
        rejected: "provider_content_refused",
      }
      : {
        failed: "provider_render_failed",
        refused: "provider_content_refused",
      };
    for (const [outcome, code] of Object.entries(cases)) {
      await withInstantProvider(stack, provider, { outcome });
      const { user, jobId } = await newVideo({ provider });
      const job = await waitForJob(stack, user, jobId, "failed");
      assertEquals([job.error_code, job.attempt], [code, 1]);
      assertEquals(job.spend, "incurred");
      assertEquals((await stack.simulator.creations(jobId)).length, 1);
    }
  });

  Deno.test(`${provider}: content that is refused at the submission costs nothing and is not retried`, async () => {
    const stack = running();
    await withInstantProvider(stack, provider);
    await stack.simulator.fail({
      provider,
      operation: create,
      fault: {
        kind: "status",
        error: provider === "d-id" ? "text_moderation" : "blocked_words",
      },
    });
    const { user, jobId } = await newVideo({ provider });
    const job = await waitForJob(stack, user, jobId, "failed");
    assertEquals([job.error_code, job.spend], [
      "provider_content_refused",
      "none",
    ]);
  });

  Deno.test(`${provider}: a result URL that has expired is requested again, once`, async () => {
    const stack = running();
    await withInstantProvider(stack, provider);
    await stack.simulator.fail({
      provider,
      operation: "results.get",
      fault: { kind: "status", error: "access_denied" },
    });
    const { user, jobId } = await newVideo({ provider });
    const job = await waitForJob(stack, user, jobId, "completed");
    assertEquals(job.attempt, 1);
    await assertVideoOnce(stack, jobId);
    assertEquals((await ask(stack, "results.get", jobId)).length, 2);
    assertEquals((await ask(stack, get, jobId)).length, 2);
  });

  for (
    const [what, times, fault] of [
      ["HTML instead of a video", 1, { kind: "html", status: 200 }],
      ["half a video", 1, { kind: "close_in_body" }],
      // The worker reads the video again to get a new URL.
      ["a URL that stays expired", 2, {
        kind: "status",
        error: "access_denied",
      }],
    ] as const
  ) {
    Deno.test(`${provider}: ${what} is never stored; the next attempt fetches it and submits nothing`, async () => {
      const stack = running();
      await withInstantProvider(stack, provider);
      await stack.simulator.fail({
        provider,
        operation: "results.get",
        times,
        fault,
      });
      const { user, jobId } = await newVideo({ provider });
      await waitForEvent(stack, jobId, "retried");
      const facts = await jobFacts(stack, jobId);
      assertEquals([facts.status, facts.errorCode], [
        "pending",
        "output_invalid",
      ]);
      const stored = await stack.sql`
        select name from storage.objects where bucket_id = 'outputs' and name like ${
        "%" + jobId + "%"
      }`;
      assertEquals(stored, []);

      await sweepJob(stack, jobId);
      await waitForJob(stack, user, jobId, "completed");
      await assertVideoOnce(stack, jobId);
      assertEquals((await ask(stack, create, jobId)).length, 1);
    });
  }

  Deno.test(`${provider}: a result URL in a private network is not fetched, and the job says why`, async () => {
    const stack = running();
    await withInstantProvider(stack, provider);
    await stack.simulator.fail({
      provider,
      operation: "results.get",
      fault: {
        kind: "status",
        status: 302,
        headers: { location: "https://169.254.169.254/latest/meta-data/" },
      },
    });
    const { user, jobId } = await newVideo({ provider });
    const job = await waitForJob(stack, user, jobId, "failed");
    assertEquals([job.error_code, job.spend], [
      "provider_answer_invalid",
      "incurred",
    ]);
    // The video is paid for, so a retry only downloads it.
    const retried = await user.call("retry-ai-job", {
      body: { job_id: jobId },
    });
    assertEquals(retried.status, 202, JSON.stringify(retried.body));
    await sweepJob(stack, jobId);
    await waitForEvent(stack, jobId, "completed");
    await assertVideoOnce(stack, jobId);
  });

  Deno.test(`${provider}: the job waits for a full plan without spending an attempt`, async () => {
    const stack = running();
    await withInstantProvider(stack, provider);
    await stack.simulator.fail({
      provider,
      operation: create,
      times: 7,
      fault: {
        kind: "status",
        error: provider === "d-id"
          ? "too_many_requests"
          : "rate_limit_exceeded",
      },
    });
    const { user, jobId } = await newVideo({ provider });
    for (let nth = 1; nth <= 7; nth++) {
      await waitForEvent(stack, jobId, "snoozed", { nth });
      await sweepJob(stack, jobId);
    }
    const job = await waitForJob(stack, user, jobId, "completed");
    assertEquals(job.attempt, 1);
    await assertVideoOnce(stack, jobId);
  });

  Deno.test(`${provider}: the job waits for an unavailable provider without spending an attempt`, async () => {
    const stack = running();
    await withInstantProvider(stack, provider);
    await stack.simulator.fail({
      provider,
      operation: get,
      times: 7,
      fault: { kind: "html", status: 503 },
    });
    const { user, jobId } = await newVideo({ provider });
    for (let nth = 1; nth <= 7; nth++) {
      await waitForEvent(stack, jobId, "snoozed", { nth });
      await sweepJob(stack, jobId);
    }
    const job = await waitForJob(stack, user, jobId, "completed");
    assertEquals(job.attempt, 1);
    await assertVideoOnce(stack, jobId);
  });

  Deno.test(`${provider}: a job cancelled during the render ends, and its message says that it was paid for`, async () => {
    const stack = running();
    await stack.simulator.set(
      { render_ms: 60_000, webhooks: "lost" },
      provider,
    );
    const { user, jobId } = await newVideo({ provider });
    await waitForEvent(stack, jobId, "snoozed");
    const answer = await user.call("cancel-ai-job", {
      body: { job_id: jobId },
    });
    assertEquals(answer.status, 200);
    const job = await readJob(user, jobId);
    assertEquals([job.status, job.spend, job.error_code], [
      "cancelled",
      "incurred",
      "cancelled",
    ]);
    const before = (await ask(stack, get, jobId)).length;
    await stack.simulator.advanceClock(60_000);
    await stack.sweep();
    assertEquals(
      timeline(await waitForEvent(stack, jobId, "cancelled")).at(-1),
      "cancelled",
    );
    assertEquals((await ask(stack, get, jobId)).length, before);
    assertEquals((await ask(stack, list, jobId)).length, 0);
  });
}

Deno.test("heygen: a submission that never arrived is repeated after an empty query, with the same key", async () => {
  const stack = running();
  await withInstantProvider(stack, "heygen");
  await stack.simulator.fail({
    provider: "heygen",
    operation: "videos.create",
    times: 2,
    fault: { kind: "status", status: 503 },
  });
  const { user, jobId } = await newVideo({ provider: "heygen" });
  await waitForEvent(stack, jobId, "snoozed");
  assertEquals((await jobFacts(stack, jobId)).stage, "waiting_for_recovery");
  await sweepJob(stack, jobId);
  await waitForEvent(stack, jobId, "snoozed", { nth: 2 });
  assertEquals(
    (await jobFacts(stack, jobId)).journal.map(({ outcome }) => outcome),
    ["unknown"],
  );
  await sweepJob(stack, jobId);
  const job = await waitForJob(stack, user, jobId, "completed");
  assertEquals(job.attempt, 1, "no attempt is spent");
  const facts = await assertVideoOnce(stack, jobId);
  assertEquals(facts.journal.map(({ outcome }) => outcome), ["succeeded"]);
  const requests = await stack.simulator.requests("videos.create", {
    provider: "heygen",
    jobId,
  });
  assertEquals(requests.length, 3);
});

Deno.test("heygen: a 503 after the video was made, and a list that lags: repeated, it is still one creation", async () => {
  const stack = running();
  await withInstantProvider(stack, "heygen", { list_lag_ms: 600_000 });
  await stack.simulator.fail({
    provider: "heygen",
    operation: "videos.create",
    fault: { kind: "status", status: 503, processed: "before" },
  });
  const { user, jobId } = await newVideo({ provider: "heygen" });
  await waitForEvent(stack, jobId, "snoozed");
  await sweepJob(stack, jobId);
  const job = await waitForJob(stack, user, jobId, "completed");
  assertEquals([job.attempt, job.spend], [1, "incurred"]);
  const facts = await jobFacts(stack, jobId);
  assertEquals(facts.journal.map(({ outcome }) => outcome), ["succeeded"]);
  const creations = await stack.simulator.creations(jobId);
  assertEquals(creations.length, 1, "paid for once");
});

Deno.test("heygen: a video that the list never shows is not created twice: its key returns the first", async () => {
  const stack = running();
  await withInstantProvider(stack, "heygen", { list_lag_ms: 600_000 });
  await stack.simulator.fail({
    provider: "heygen",
    operation: "videos.create",
    fault: { kind: "close_after" },
  });
  const { user, jobId } = await newVideo({ provider: "heygen" });
  await waitForEvent(stack, jobId, "snoozed");
  await expireListingLag(stack, jobId);
  await sweepJob(stack, jobId);
  await waitForEvent(stack, jobId, "retried");
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  const facts = await jobFacts(stack, jobId);
  assertEquals(facts.paid.length, 1, "paid for once");
  assertEquals(
    facts.journal.map(({ outcome }) => outcome),
    ["absent", "succeeded"],
  );
});

Deno.test("avatar video: a photo speaks the speech of another job, once that has completed", async () => {
  const stack = running();
  await withInstantProvider(stack, "d-id");
  assert(sharedUser !== undefined);
  const speech = await sharedUser.call("create-ai-job", {
    body: {
      job_type: "text_to_speech",
      metadata: {
        text: "Good evening, everyone.",
        voice_id: "21m00Tcm4TlvDq8ikWAM",
      },
    },
  });
  assertEquals(speech.status, 202);
  const { job_id } = z.object({ job_id: z.uuid() }).parse(speech.body);
  const answer = await sharedUser.call("create-ai-job", {
    body: {
      job_type: "avatar_video",
      input_url: await uploadPortrait(sharedUser),
      metadata: { name: "Grandma" },
      depends_on: job_id,
    },
  });
  assertEquals(answer.status, 202);
  const video = z.object({ job_id: z.uuid() }).parse(answer.body);
  await waitForJob(stack, sharedUser, video.job_id, "completed");
  await assertVideoOnce(stack, video.job_id);
  const [creation] = await stack.simulator.creations(video.job_id);
  assertObjectMatch({ request: creation?.request }, {
    request: { script: { type: "audio" } },
  });
});

Deno.test("avatar video: another job's film is no recording: refused at creation, and before anything is paid", async () => {
  const stack = running();
  await withInstantProvider(stack, "d-id");
  const { user, jobId } = await newVideo({});
  const answer = await user.call("create-ai-job", {
    body: {
      job_type: "avatar_video",
      input_url: await uploadPortrait(user),
      metadata: { name: "Grandma" },
      depends_on: jobId,
    },
  });
  assertProblem(answer, {
    status: 400,
    code: "metadata_invalid",
    field: "depends_on",
  });

  // One that was created before the database checked it.
  await waitForJob(stack, user, jobId, "completed");
  const photo = await uploadPortrait(user);
  await using before = stack.connect();
  const [old] = await before.sql.begin(async (sql) => {
    await sql`update public.ai_job_types set hooks = '{}' where job_type = 'avatar_video'`;
    const rows = await sql<{ id: string }[]>`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata, depends_on_job_id)
      values (${user.id}, 'avatar_video', ${photo}, '{"name": "Grandma"}', ${jobId}) returning id`;
    await sql`update public.ai_job_types set hooks = '{check}' where job_type = 'avatar_video'`;
    return rows;
  });
  assert(old !== undefined);
  const job = await waitForJob(stack, user, old.id, "failed");
  assertEquals([job.error_code, job.spend], ["metadata_invalid", "none"]);
  assertEquals(await stack.simulator.creations(old.id), []);
});

Deno.test("avatar video: without text or recording it is refused, and the field is named", async () => {
  const stack = running();
  assert(sharedUser !== undefined);
  const answer = await sharedUser.call("create-ai-job", {
    body: {
      job_type: "avatar_video",
      input_url: await uploadPortrait(sharedUser),
      metadata: { name: "Grandma" },
    },
  });
  assertEquals(answer.status, 400);
  assertObjectMatch({ body: answer.body }, {
    body: { errors: [{ field: "metadata.text" }] },
  });
  assertEquals(await stack.simulator.creations(), []);
});

Deno.test("avatar video: without a provider in the request, the job type's provider is used", async () => {
  const stack = running();
  await withInstantProvider(stack, "d-id");
  const { user, jobId } = await newVideo({});
  const job = await waitForJob(stack, user, jobId, "completed");
  assertEquals(job.provider, "d-id");
});

Deno.test("avatar video: another user's recording and a missing one are refused, in every way of creating a job", async () => {
  const stack = running();
  const [ada, bob] = [await signUp(stack), await signUp(stack)];
  const photo = await uploadPortrait(ada);
  const theirs = await uploadRecording(bob);
  for (
    const [audio_url, status, sqlstate] of [
      [theirs, 403, "AJ015"],
      [`uploads/${ada.id}/nothing.mp3`, 400, "AJ012"],
    ] as const
  ) {
    const answer = await ada.call("create-ai-job", {
      body: {
        job_type: "avatar_video",
        input_url: photo,
        metadata: { audio_url },
      },
    });
    assertEquals(answer.status, status);
    assertObjectMatch({ body: answer.body }, {
      body: { errors: [{ field: "metadata.audio_url" }] },
    });
    const { error } = await ada.client.from("ai_jobs").insert({
      job_type: "avatar_video",
      input_url: photo,
      metadata: { audio_url },
    });
    assertEquals(error?.code, sqlstate);
  }
  assertEquals(
    (await stack.sql`select id from public.ai_jobs where user_id = ${ada.id}`)
      .length,
    0,
  );
});

Deno.test("avatar video: a file that is not a photo is refused before anything is submitted", async () => {
  const stack = running();
  const user = await signUp(stack);
  const path = `${user.id}/not-a-photo.jpg`;
  const { error } = await user.client.storage.from("uploads").upload(
    path,
    new TextEncoder().encode("<html>not a photo</html>"),
    { contentType: "image/jpeg" },
  );
  assertEquals(error, null);
  const jobId = await requestVideo(user, `uploads/${path}`);
  const job = await waitForJob(stack, user, jobId, "failed");
  assertEquals([job.error_code, job.spend], ["input_type_not_allowed", "none"]);
  assertEquals(await stack.simulator.creations(jobId), []);
});

Deno.test("avatar video: a type of recording that the provider does not accept is refused, and named", async () => {
  const stack = running();
  const user = await signUp(stack);
  const photo = await uploadPortrait(user);
  const audio_url = await uploadRecording(user, { recording: "speech.webm" });
  const answer = await user.call("create-ai-job", {
    body: {
      job_type: "avatar_video",
      input_url: photo,
      metadata: { audio_url, provider: "heygen" },
    },
  });
  assertProblem(answer, {
    status: 400,
    code: "input_type_not_allowed",
    field: "metadata.audio_url",
  });
  assertStringIncludes(
    problemSchema.parse(answer.body).detail,
    "the recording (metadata.audio_url) has the content type audio/webm; heygen accepts audio/mpeg, audio/wav",
  );
});

Deno.test("avatar video: a recording with a false content type is refused before anything is submitted", async () => {
  const stack = running();
  const user = await signUp(stack);
  const path = `${user.id}/webm-named.mp3`;
  const { error } = await user.client.storage.from("uploads").upload(
    path,
    await readRecording("speech.webm"),
    { contentType: "audio/mpeg" },
  );
  assertEquals(error, null);
  const jobId = await requestVideo(user, await uploadPortrait(user), {
    audio_url: `uploads/${path}`,
    provider: "heygen",
  });
  const job = await waitForJob(stack, user, jobId, "failed");
  assertEquals(
    [job.error_code, job.error_message, job.spend],
    [
      "input_type_not_allowed",
      "The recording is audio/webm by its content; heygen accepts audio/mpeg, audio/wav.",
      "none",
    ],
  );
  assertEquals(await stack.simulator.creations(jobId), []);
});

/** Uploads an MP3 of this length to the user's folder. */
async function uploadSpeech(user: TestUser, seconds: number): Promise<string> {
  const path = `${user.id}/${crypto.randomUUID()}.mp3`;
  const { error } = await user.client.storage.from("uploads").upload(
    path,
    // Its first frame states a length of one frame.
    mp3(seconds, 32, { claims: 1 }),
    { contentType: "audio/mpeg" },
  );
  assertEquals(error, null);
  return `uploads/${path}`;
}

for (const { provider } of AVATAR_PROVIDERS) {
  Deno.test(`${provider}: a recording over ten minutes is refused at creation, with its length and the limit`, async () => {
    const stack = running();
    const user = await signUp(stack);
    const audio_url = await uploadSpeech(user, 700);
    const answer = await user.call("create-ai-job", {
      body: {
        job_type: "avatar_video",
        input_url: await uploadPortrait(user),
        // D-ID is the default provider.
        metadata: provider === "d-id" ? { audio_url } : { audio_url, provider },
      },
    });
    assertProblem(answer, {
      status: 400,
      code: "input_size_not_allowed",
      field: "metadata.audio_url",
    });
    const { detail } = problemSchema.parse(answer.body);
    assertMatch(
      detail,
      new RegExp(
        `the recording \\(metadata.audio_url\\) lasts 70[01] s; ${provider} accepts 600 at most`,
      ),
    );
    const { data: jobs } = await user.client.from("ai_jobs").select("id");
    assertEquals(jobs, []);
  });

  Deno.test(`${provider}: ten minutes are accepted; a longer recording by plain insert fails unpaid`, async () => {
    const stack = running();
    await withInstantProvider(stack, provider);
    const user = await signUp(stack);
    const input_url = await uploadPortrait(user);
    const taken = await user.call("create-ai-job", {
      body: {
        job_type: "avatar_video",
        input_url,
        metadata: { audio_url: await uploadSpeech(user, 600), provider },
      },
    });
    assertEquals(taken.status, 202, JSON.stringify(taken.body));
    const { data, error } = await user.client.from("ai_jobs").insert({
      job_type: "avatar_video",
      input_url,
      metadata: { audio_url: await uploadSpeech(user, 700), provider },
    }).select("id").single();
    assertEquals(error, null);
    const { id } = z.object({ id: z.uuid() }).parse(data);
    const job = await waitForJob(stack, user, id, "failed");
    assertEquals([job.error_code, job.spend], [
      "input_size_not_allowed",
      "none",
    ]);
    assertMatch(
      job.error_message ?? "",
      new RegExp(`^The recording lasts 70[01] s; ${provider} accepts 600`),
    );
    assertEquals(await stack.simulator.creations(id), []);
  });
}

Deno.test("avatar video: the error reveals neither the existence nor the length of another user's recording", async () => {
  const stack = running();
  const [owner, other] = [await signUp(stack), await signUp(stack)];
  const there = await uploadSpeech(owner, 700);
  const missing = there.replace(/[^/]+$/, "missing.mp3");
  const input_url = await uploadPortrait(other);
  const answers = await Promise.all(
    [there, missing].map((audio_url) =>
      other.call("create-ai-job", {
        body: {
          job_type: "avatar_video",
          input_url,
          metadata: { audio_url },
        },
      })
    ),
  );
  for (const answer of answers) {
    assertProblem(answer, {
      status: 403,
      code: "path_not_allowed",
      field: "metadata.audio_url",
    });
  }
});
