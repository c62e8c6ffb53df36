/** The janitor removes unreferenced objects from providers and Storage, and keeps those that are or may be in use. */
import { assert, assertEquals, assertObjectMatch } from "@std/assert";
import {
  callFunction,
  readRecording,
  requestVoice,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import {
  AVATAR_PROVIDERS,
  requestVideo,
  uploadPortrait,
} from "../_support/avatar-jobs.ts";
import { jobFacts } from "../_support/job-facts.ts";
import { assertProblem } from "../_support/problem.ts";
import type { SimulatedProvider } from "../_support/simulator-control.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import {
  sweepJob,
  waitForEvent,
  waitForJob,
  waitForLog,
} from "../_support/wait-for.ts";
import { signed } from "./_support/signed-dispatch.ts";

const BODY = JSON.stringify({ type: "JANITOR" });
const running = useStack();

Deno.test.beforeEach(async () => {
  await running().sql`
    with removals as (delete from private.provider_removals),
      files as (delete from private.storage_removals),
      scans as (delete from private.provider_scans),
      objects as (delete from private.provider_objects),
      jobs as (delete from public.ai_jobs where status in ('pending', 'processing'))
    update private.janitor_settings
    set orphan_grace_seconds = 86400, failed_grace_seconds = 604800, scan_interval_seconds = 0,
      cancelled_done_until = now(), failed_done_until = now()`;
});

/** Runs the janitor as the database does, and returns its last log line. */
async function clean(stack: TestStack): Promise<Record<string, unknown>> {
  const requestId = crypto.randomUUID();
  const { body, headers } = signed(stack, { body: BODY });
  const answer = await callFunction(stack, "janitor", {
    body,
    headers: { ...headers, "x-request-id": requestId },
  });
  assertEquals([answer.status, answer.body], [202, { status: "started" }]);
  const [line] = await waitForLog(stack, "janitor", {
    event: "janitor_done",
    request_id: requestId,
  });
  return line?.fields ?? {};
}

interface Leftover {
  kind: string;
  state: string;
  object_id: string;
  job_id: string | null;
  last_error_code: string | null;
}

/** The operator's report of leftovers. */
function report(stack: TestStack): Promise<Leftover[]> {
  return stack.sql<Leftover>`
    select kind, state, object_id, job_id, last_error_code from public.report_ai_leftovers() order by kind, object_id`;
}

/** Backdates the janitor's times by this number of seconds. */
async function pass(stack: TestStack, seconds: number): Promise<void> {
  await stack.sql`
    with removals as (
      update private.provider_removals
      set requested_at = requested_at - make_interval(secs => ${seconds}),
        next_attempt_at = next_attempt_at - make_interval(secs => ${seconds})
    ),
    files as (
      update private.storage_removals set next_attempt_at = next_attempt_at - make_interval(secs => ${seconds})
    ),
    scans as (
      update private.provider_scans set lease_expires_at = lease_expires_at - make_interval(secs => ${seconds})
    )
    update private.provider_objects
    set orphan_since = orphan_since - make_interval(secs => ${seconds})`;
}

async function stateAt(
  stack: TestStack,
  providerObjectId: string,
): Promise<string | undefined> {
  return (await stack.simulator.creations()).find(({ id }) =>
    id === providerObjectId
  )?.state;
}

interface Removal {
  outcome: string | null;
  attempts: number;
  last_error_code: string | null;
}

async function removalOf(
  stack: TestStack,
  objectId: string,
): Promise<Removal | undefined> {
  const [row] = await stack.sql<Removal>`
    select outcome, attempts, last_error_code from private.provider_removals
    where coalesce(provider_object_id, marker) = ${objectId} order by id desc limit 1`;
  return row;
}

async function cloneVoice(
  stack: TestStack,
  user: TestUser,
): Promise<{ jobId: string; voiceId: string }> {
  const jobId = await requestVoice(user, await uploadRecording(user));
  await waitForJob(stack, user, jobId, "completed");
  const [made] = await stack.simulator.creationsOf(jobId, 1);
  assert(made !== undefined);
  return { jobId, voiceId: made.id };
}

/** A clone whose voice was created, and whose response was lost. */
async function lostVoice(
  stack: TestStack,
  user: TestUser,
): Promise<{ jobId: string; voiceId: string }> {
  await stack.simulator.fail({ fault: { kind: "close_after" } });
  const jobId = await requestVoice(user, await uploadRecording(user));
  await waitForEvent(stack, jobId, "snoozed");
  const [made] = await stack.simulator.creationsOf(jobId, 1);
  assert(made !== undefined);
  return { jobId, voiceId: made.id };
}

/** A voice that another installation created in the same account, with a marker of the same form. */
async function foreignVoice(stack: TestStack, jobId: string): Promise<string> {
  const form = new FormData();
  form.append("name", "Another user's");
  form.append("description", `Not ours (job:${jobId})`);
  form.append(
    "files",
    new File([await readRecording("speech.ogg")], "speech.ogg", {
      type: "audio/ogg",
    }),
  );
  const response = await fetch(
    `${stack.simulatorUrl}/elevenlabs/v1/voices/add`,
    { method: "POST", headers: { "xi-api-key": "another" }, body: form },
  );
  const { voice_id }: { voice_id: string } = await response.json();
  return voice_id;
}

async function deleteVoice(user: TestUser): Promise<void> {
  const { error } = await user.client.from("voices").delete().eq(
    "user_id",
    user.id,
  );
  assertEquals(error, null);
}

Deno.test("janitor: does nothing without the database's signature, for any caller", async () => {
  const stack = running();
  const user = await signUp(stack);
  const good = signed(stack, { body: BODY });
  const calls = [
    { body: BODY, headers: {} },
    {
      body: BODY,
      headers: { authorization: `Bearer ${user.accessToken}` },
    },
    {
      body: BODY,
      headers: {
        authorization: `Bearer ${stack.secretKey}`,
        apikey: stack.secretKey,
      },
    },
    { ...good, body: BODY + " " },
  ];
  for (const call of calls) {
    const answer = await callFunction(stack, "janitor", call);
    assertProblem(answer, {
      status: 401,
      code: "dispatch_signature_invalid",
    });
  }
  const job = signed(stack, { jobIds: [crypto.randomUUID()] });
  assertEquals((await callFunction(stack, "janitor", job)).status, 400);
  assertEquals((await callFunction(stack, "janitor", good)).status, 202);
  assertProblem(
    await callFunction(stack, "janitor", good),
    { status: 409, code: "dispatch_replayed" },
  );
});

Deno.test("janitor: the scheduled call starts a run", async () => {
  const stack = running();
  const before = (await waitForLog(stack, "janitor", {
    event: "janitor_done",
  }, 0)).length;
  const [sent] = await stack.sql<
    { id: string | null }
  >`select private.run_janitor() as id`;
  assert(sent?.id);
  await waitForLog(stack, "janitor", { event: "janitor_done" }, before + 1);
});

Deno.test("janitor: a voice that its owner deletes is removed at the provider, and the row says so", async () => {
  const stack = running();
  const user = await signUp(stack);
  const { voiceId } = await cloneVoice(stack, user);
  await clean(stack);
  assertEquals(await stateAt(stack, voiceId), "created");
  await deleteVoice(user);
  await clean(stack);
  assertEquals(await stateAt(stack, voiceId), "deleted");
  assertEquals(await removalOf(stack, voiceId), {
    outcome: "removed",
    attempts: 1,
    last_error_code: null,
  });
  assertEquals(await report(stack), []);
});

Deno.test("janitor: an object that the provider no longer has counts as removed", async () => {
  const stack = running();
  const user = await signUp(stack);
  const { voiceId } = await cloneVoice(stack, user);
  await fetch(`${stack.simulatorUrl}/elevenlabs/v1/voices/${voiceId}`, {
    method: "DELETE",
    headers: { "xi-api-key": "someone" },
  }).then((response) => response.body?.cancel());
  await deleteVoice(user);
  await clean(stack);
  assertEquals((await removalOf(stack, voiceId))?.outcome, "removed");
});

Deno.test("janitor: deleting an account removes its voice, videos, speech, transcripts and files", async () => {
  const stack = running();
  const user = await signUp(stack);
  const { voiceId } = await cloneVoice(stack, user);
  await stack.simulator.set({ render_ms: 0 }, "d-id");
  await stack.simulator.set({ render_ms: 0 }, "heygen");
  const jobs: string[] = [];
  for (const { provider } of AVATAR_PROVIDERS) {
    jobs.push(
      await requestVideo(user, await uploadPortrait(user), { provider }),
    );
  }
  const [voice] = await stack.sql<
    { id: string }
  >`select id from public.voices where user_id = ${user.id}`;
  for (
    const body of [
      {
        job_type: "text_to_speech",
        metadata: { voice_id: voice?.id, text: "Hello, it is me." },
      },
      {
        job_type: "transcription",
        input_url: await uploadRecording(user, { bucket: "recordings" }),
        metadata: {},
      },
    ]
  ) {
    const answer = await user.call("create-ai-job", { body });
    assertEquals(answer.status, 202, JSON.stringify(answer.body));
    const { job_id } = Object(answer.body);
    jobs.push(String(job_id));
  }
  for (const jobId of jobs) {
    await waitForJobOf(stack, user, jobId);
  }
  const made = await stack.simulator.creations();
  assertEquals(made.length, 5);

  await stack.sql`delete from auth.users where id = ${user.id}`;
  await clean(stack);
  for (const { id, operation } of made) {
    assertEquals(await stateAt(stack, id), "deleted", operation);
  }
  assertEquals((await removalOf(stack, voiceId))?.outcome, "removed");
  const [left] = await stack.sql<{ count: number }>`
    select count(*)::int as count from storage.objects where name like ${
    user.id + "/%"
  }`;
  assertEquals(left?.count, 0);
  assertEquals(await report(stack), []);
});

/** Waits for a job that is snoozed until its render is done. */
async function waitForJobOf(
  stack: TestStack,
  user: TestUser,
  jobId: string,
): Promise<void> {
  const events = await waitForEvent(stack, jobId, ["completed", "snoozed"]);
  if (events.at(-1)?.event === "snoozed") await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
}

Deno.test("janitor: a voice of a deleted job that was never recorded is reported, then removed after the grace", async () => {
  const stack = running();
  const user = await signUp(stack);
  const { jobId, voiceId } = await lostVoice(stack, user);
  await stack.sql`delete from public.ai_jobs where id = ${jobId}`;

  await clean(stack);
  assertEquals(await stateAt(stack, voiceId), "created");
  assertObjectMatch(
    Object.fromEntries((await report(stack)).map((one) => [one.kind, one])),
    {
      orphan: { state: "waiting", object_id: voiceId, job_id: jobId },
      removal: { state: "waiting", object_id: `job:${jobId}` },
    },
  );
  await pass(stack, 80_000);
  await clean(stack);
  assertEquals(await stateAt(stack, voiceId), "created", "not yet");
  await pass(stack, 7_000);
  await clean(stack);
  assertEquals(await stateAt(stack, voiceId), "deleted");
  assertEquals((await removalOf(stack, `job:${jobId}`))?.outcome, "removed");
  await pass(stack, 7_000);
  await clean(stack);
  assertEquals(await report(stack), []);
});

Deno.test("janitor: the second voice of one job is an orphan, and only that one is removed", async () => {
  const stack = running();
  const user = await signUp(stack);
  const { jobId, voiceId } = await cloneVoice(stack, user);
  const double = await foreignVoice(stack, jobId);
  await clean(stack);
  assertEquals(await stateAt(stack, double), "created");
  await pass(stack, 87_000);
  await clean(stack);
  assertEquals(await stateAt(stack, double), "deleted");
  assertEquals(await stateAt(stack, voiceId), "created");
  assertEquals((await removalOf(stack, double))?.outcome, "removed");
});

Deno.test("janitor: an object with the marker of another installation is reported and never removed", async () => {
  const stack = running();
  const jobId = crypto.randomUUID();
  const voiceId = await foreignVoice(stack, jobId);
  await stack.sql`update private.janitor_settings set orphan_grace_seconds = 0`;
  for (let run = 0; run < 3; run++) {
    await clean(stack);
    await pass(stack, 1_000_000);
  }
  assertEquals(await stateAt(stack, voiceId), "created");
  assertEquals(await report(stack), [{
    kind: "foreign",
    state: "reported",
    object_id: voiceId,
    job_id: jobId,
    last_error_code: null,
  }]);
});

Deno.test("janitor: an object that a waiting, running or parked job may use is kept", async (t) => {
  const stack = running();
  for (const state of ["waiting", "parked", "failed"]) {
    await t.step(state, async () => {
      const user = await signUp(stack);
      await stack.simulator.reset();
      const { jobId, voiceId } = await lostVoice(stack, user);
      if (state !== "waiting") {
        await stack.sql`
          update public.ai_jobs set status = 'failed', completed_at = now(),
            error_code = ${
          state === "parked" ? "outcome_unknown" : "job_expired"
        }
          where id = ${jobId}`;
      }
      if (state === "failed") {
        await stack.sql`
          update public.ai_provider_calls set outcome = 'adopted', provider_object_id = ${voiceId}, settled_at = now()
          where job_id = ${jobId}`;
      }
      await stack
        .sql`update private.janitor_settings set orphan_grace_seconds = 0, failed_done_until = '-infinity'`;
      await clean(stack);
      await pass(stack, 1000);
      await clean(stack);
      assertEquals(await stateAt(stack, voiceId), "created");
      assertEquals(await report(stack), []);
      if (state === "waiting") {
        await sweepJob(stack, jobId);
        await waitForJob(stack, user, jobId, "completed");
        assertEquals((await jobFacts(stack, jobId)).paid, [voiceId]);
      }
    });
  }
});

Deno.test("janitor: the object of a failed job is removed eventually, and a retry then pays for a new one", async () => {
  const stack = running();
  const user = await signUp(stack);
  const { jobId, voiceId } = await lostVoice(stack, user);
  await stack.sql`
    update public.ai_provider_calls set outcome = 'adopted', provider_object_id = ${voiceId}, settled_at = now()
    where job_id = ${jobId}`;
  await stack.sql`
    update public.ai_jobs set status = 'failed', completed_at = now(), error_code = 'job_expired', spend = 'incurred'
    where id = ${jobId}`;
  await retryAfterRemoval(stack, user, jobId, voiceId);
  await waitForEvent(stack, jobId, ["completed", "failed"]);
  const [voice] = await stack.sql<{ provider_voice_id: string }>`
    select provider_voice_id from public.voices where job_id = ${jobId}`;
  const made = await stack.simulator.creationsOf(jobId, 2);
  assertEquals(voice?.provider_voice_id, made[1]?.id);
});

for (const { provider } of AVATAR_PROVIDERS) {
  Deno.test(`janitor: ${provider}'s failed render is removed eventually, and a retry then renders a new video`, async () => {
    const stack = running();
    const user = await signUp(stack);
    await stack.simulator.set({
      render_ms: 0,
      webhooks: "lost",
      outcome: provider === "d-id" ? "error" : "failed",
    }, provider);
    const photo = await uploadPortrait(user);
    const jobId = await requestVideo(user, photo, { provider });
    await waitForJob(stack, user, jobId, "failed");
    const [failed] = await stack.simulator.creationsOf(jobId, 1);
    assert(failed !== undefined);
    await stack.simulator.set({
      outcome: provider === "d-id" ? "done" : "completed",
    }, provider);
    await retryAfterRemoval(stack, user, jobId, failed.id);
    await waitForEvent(stack, jobId, "completed");
    const [avatar] = await stack.sql<{ provider_video_id: string }>`
      select provider_video_id from public.avatars where job_id = ${jobId}`;
    const [, made] = await stack.simulator.creationsOf(jobId, 2);
    assertEquals(avatar?.provider_video_id, made?.id);
  });
}

/** Lets the janitor remove the object of a failed job, and retries the job. */
async function retryAfterRemoval(
  stack: TestStack,
  user: TestUser,
  jobId: string,
  objectId: string,
): Promise<void> {
  await stack.sql`update private.janitor_settings set failed_grace_seconds = 0`;
  await clean(stack);
  assertEquals(await stateAt(stack, objectId), "deleted");
  const [call] = await stack.sql<{ is_discarded: boolean }>`
    select discarded_at is not null as is_discarded from public.ai_provider_calls where job_id = ${jobId}`;
  assertEquals(call?.is_discarded, true);

  const answer = await user.call("retry-ai-job", { body: { job_id: jobId } });
  assertEquals(answer.status, 202, JSON.stringify(answer.body));
  await sweepJob(stack, jobId);
}

Deno.test("janitor: a failed removal is retried later, and stays in the report while it fails", async () => {
  const stack = running();
  const user = await signUp(stack);
  const { voiceId } = await cloneVoice(stack, user);
  await stack.simulator.fail({
    operation: "voices.delete",
    times: null,
    fault: { kind: "status", status: 500 },
  });
  await deleteVoice(user);
  await clean(stack);
  assertEquals(await removalOf(stack, voiceId), {
    outcome: null,
    attempts: 1,
    last_error_code: "provider_unavailable",
  });
  assertEquals((await report(stack)).map(({ state }) => state), ["retrying"]);
  await clean(stack);
  assertEquals(
    (await removalOf(stack, voiceId))?.attempts,
    1,
    "not immediately",
  );
  for (let run = 2; run <= 5; run++) {
    await pass(stack, 30_000);
    await clean(stack);
  }
  assertObjectMatch((await report(stack))[0] ?? {}, {
    kind: "removal",
    state: "failing",
    object_id: voiceId,
    last_error_code: "provider_unavailable",
  });
  await stack.simulator.clearFaults();
  await pass(stack, 30_000);
  await clean(stack);
  assertEquals(await removalOf(stack, voiceId), {
    outcome: "removed",
    attempts: 6,
    last_error_code: null,
  });
  assertEquals(await stateAt(stack, voiceId), "deleted");
});

Deno.test("janitor: a removal that is interrupted by SIGKILL is finished by the next run", async () => {
  const stack = running();
  const user = await signUp(stack);
  const { voiceId } = await cloneVoice(stack, user);
  await deleteVoice(user);
  await stack.simulator.fail({
    operation: "voices.delete",
    fault: { kind: "hang", processed: "before" },
  });
  const { body, headers } = signed(stack, { body: BODY });
  const answer = await callFunction(stack, "janitor", { body, headers });
  assertEquals(answer.status, 202);
  await stack.simulator.requests("voices.delete", { atLeast: 1 });
  await stack.kill("janitor", "SIGKILL");

  assertEquals(await removalOf(stack, voiceId), {
    outcome: null,
    attempts: 1,
    last_error_code: null,
  });
  await clean(stack);
  assertEquals((await removalOf(stack, voiceId))?.outcome, null, "leased");
  await pass(stack, 120);
  await clean(stack);
  assertEquals(await removalOf(stack, voiceId), {
    outcome: "removed",
    attempts: 2,
    last_error_code: null,
  });
});

Deno.test("janitor: a scan that is interrupted by SIGKILL is continued by the next run", async () => {
  const stack = running();
  await stack.simulator.fail({
    operation: "voices.search",
    fault: { kind: "hang", processed: "before" },
  });
  const { body, headers } = signed(stack, { body: BODY });
  await callFunction(stack, "janitor", { body, headers });
  await stack.simulator.requests("voices.search", { atLeast: 1 });
  await stack.kill("janitor", "SIGKILL");
  const orphan = await foreignVoice(stack, crypto.randomUUID());
  await pass(stack, 120);
  await clean(stack);
  assertEquals((await report(stack)).map((one) => one.object_id), [orphan]);
  const unfinished = await stack.sql`
    select provider from private.provider_scans where finished_at is null`;
  assertEquals(unfinished, []);
});

Deno.test("janitor: a row whose voice or video the provider no longer has is marked and reported", async (t) => {
  const stack = running();
  const user = await signUp(stack);
  await stack.simulator.set({ render_ms: 0 }, "d-id");
  await stack.simulator.set({ render_ms: 0 }, "heygen");
  const cases: {
    provider: SimulatedProvider;
    table: string;
    column: string;
    address: string;
    make(): Promise<string>;
  }[] = [
    {
      provider: "elevenlabs",
      table: "voices",
      column: "provider_voice_id",
      address: "v1/voices",
      make: async () => requestVoice(user, await uploadRecording(user)),
    },
    ...AVATAR_PROVIDERS.map(({ provider }) => ({
      provider,
      table: "avatars",
      column: "provider_video_id",
      address: provider === "d-id" ? "talks" : "v3/videos",
      make: async () =>
        requestVideo(user, await uploadPortrait(user), { provider }),
    })),
  ];
  for (const { provider, table, column, address, make } of cases) {
    await t.step(provider, async () => {
      const jobId = await make();
      await waitForJobOf(stack, user, jobId);
      const [made] = await stack.simulator.creationsOf(jobId, 1);
      assert(made !== undefined);
      await using connection = stack.connect();
      const missing = async () => {
        const [row] = await connection.sql.unsafe<{ is_missing: boolean }[]>(
          `select provider_missing_since is not null as is_missing from public.${table} where ${column} = $1`,
          [made.id],
        );
        return row?.is_missing;
      };
      await connection.sql.unsafe(
        `update public.${table} set created_at = created_at - interval '2 hours' where ${column} = $1`,
        [made.id],
      );
      await clean(stack);
      assertEquals(await missing(), false);

      const gone = await fetch(
        `${stack.simulatorUrl}/${provider}/${address}/${made.id}`,
        {
          method: "DELETE",
          headers: {
            "xi-api-key": "k",
            "x-api-key": "k",
            authorization: "Basic k",
          },
        },
      );
      await gone.body?.cancel();
      assertEquals(gone.status, 200);
      await clean(stack);
      assertEquals(await missing(), true);
      assertObjectMatch(
        (await report(stack)).find(({ object_id }) => object_id === made.id) ??
          {},
        { kind: "missing", state: "reported", job_id: jobId },
      );
    });
  }
});

Deno.test("janitor: a video missing from the list is queried before it counts as missing", async () => {
  const stack = running();
  const user = await signUp(stack);
  await stack.simulator.set({ render_ms: 0 }, "d-id");
  const jobId = await requestVideo(user, await uploadPortrait(user), {
    provider: "d-id",
  });
  await waitForJobOf(stack, user, jobId);
  await stack.sql`
    update public.avatars set created_at = created_at - interval '2 hours' where job_id = ${jobId}`;
  await stack.simulator.set({ list_lag_ms: 600_000 }, "d-id");
  await clean(stack);
  const [row] = await stack.sql<{ is_missing: boolean }>`
    select provider_missing_since is not null as is_missing from public.avatars where job_id = ${jobId}`;
  assertEquals(row?.is_missing, false);
});

Deno.test("janitor: the object of a job cancelled between two attempts is removed after the grace period", async (t) => {
  const stack = running();
  const user = await signUp(stack);
  for (const name of ["a voice", "a video"]) {
    await t.step(name, async () => {
      await stack.simulator.reset();
      await stack.simulator.fail({ fault: { kind: "close_after" } }, {
        provider: "d-id",
        operation: "talks.create",
        fault: { kind: "close_after" },
      });
      // A webhook would end the wait between the two attempts.
      await stack.simulator.set({ render_ms: 0, webhooks: "lost" }, "d-id");
      const jobId = name === "a voice"
        ? await requestVoice(user, await uploadRecording(user))
        : await requestVideo(user, await uploadPortrait(user), {
          provider: "d-id",
        });
      await waitForEvent(stack, jobId, "snoozed");
      const [made] = await stack.simulator.creationsOf(jobId, 1);
      assert(made !== undefined);
      const answer = await user.call("cancel-ai-job", {
        body: { job_id: jobId },
      });
      assertEquals(answer.status, 200, JSON.stringify(answer.body));
      await clean(stack);
      await pass(stack, 1000);
      await clean(stack);
      assertEquals(await stateAt(stack, made.id), "created", "not yet");
      await stack
        .sql`update private.janitor_settings set orphan_grace_seconds = 0`;
      await clean(stack);
      assertEquals(await stateAt(stack, made.id), "deleted");
      const [call] = await stack.sql<{ is_discarded: boolean }>`
        select discarded_at is not null as is_discarded from public.ai_provider_calls where job_id = ${jobId}`;
      assertEquals(call?.is_discarded, true);
      await stack
        .sql`update private.janitor_settings set orphan_grace_seconds = 86400`;
    });
  }
});

Deno.test("janitor: parts of a failed speech are removed after the grace period, those of a waiting one kept", async () => {
  const stack = running();
  const user = await signUp(stack);
  const put = async (jobId: string) => {
    const path = `outputs/${user.id}/${jobId}/part-1.mp3`;
    const response = await fetch(
      `${stack.apiUrl}/storage/v1/object/${path}`,
      {
        method: "POST",
        headers: {
          authorization: `Bearer ${stack.secretKey}`,
          apikey: stack.secretKey,
          "content-type": "audio/mpeg",
        },
        body: await readRecording("speech-24s.mp3"),
      },
    );
    await response.body?.cancel();
    assertEquals(response.status, 200);
    return path;
  };
  const inputs = await Promise.all([1, 2].map(() => uploadRecording(user)));
  const jobs: string[] = [];
  for (const input of inputs) {
    await stack.simulator.fail({
      fault: { kind: "status", status: 422 },
    });
    const jobId = await requestVoice(user, input);
    await waitForJob(stack, user, jobId, "failed");
    jobs.push(jobId);
  }
  const [gone = "", kept = ""] = await Promise.all(jobs.map(put));
  const isThere = async (path: string) =>
    (await stack.sql`
      select 1 from storage.objects where bucket_id || '/' || name = ${path}`)
      .length === 1;
  await clean(stack);
  assertEquals(await isThere(gone), true, "within the grace");
  await stack
    .sql`update private.janitor_settings set failed_grace_seconds = 0`;
  await stack.sql`select private.queue_job_leftovers()`;
  // The job is retried before the removal, so the folder belongs to a waiting job again.
  await stack.sql`
    update public.ai_jobs set status = 'pending', completed_at = null, error_code = null, error_message = null,
      scheduled_at = now() + interval '1 hour'
    where id = ${jobs[1] ?? null}`;
  await clean(stack);
  assertEquals([await isThere(gone), await isThere(kept)], [false, true]);
});
