/** The client against the stack: every job type, errors, and watching jobs while Realtime stops, expires and refuses. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type AiJobs,
  Conflict,
  createAiJobs,
  isAiJobsError,
  JobCancelled,
  type JobEvent,
  JobFailed,
  NotFound,
  NotSignedIn,
  RequestInvalid,
  WaitTimeout,
} from "../../client/mod.ts";
import { createClient } from "@supabase/supabase-js";
import { readRecording, signUp, type TestUser } from "../_support/as-user.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import { liveTest } from "../_support/live-test.ts";

const running = useStack();

/** A user and a client for their jobs, closed when disposed of. */
async function newClient(
  stack: TestStack,
  options: { pollMs?: number; live?: boolean } = {},
): Promise<{ user: TestUser; jobs: AiJobs } & AsyncDisposable> {
  const user = await signUp(stack);
  const jobs = createAiJobs(user.client, { pollMs: 200, ...options });
  return {
    user,
    jobs,
    async [Symbol.asyncDispose]() {
      jobs.close();
      await user.client.removeAllChannels();
      await user.client.realtime.disconnect();
    },
  };
}

async function recording(): Promise<File> {
  return new File([await readRecording("speech-24s.mp3")], "Grandma.mp3", {
    type: "audio/mpeg; codecs=mp3",
  });
}

function photo(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return Deno.readFile(new URL(`../fixtures/photos/${name}`, import.meta.url));
}

/** Fails unless the job's timeline is numbered 1, 2, 3 and so on. */
function assertWhole(events: JobEvent[], id: string): void {
  assertEquals(
    events.map(({ seq }) => seq),
    events.map((_, index) => index + 1),
  );
  assert(events.every(({ job_id }) => job_id === id));
}

liveTest(
  "client: every job type runs from its input to a typed result",
  async () => {
    const stack = running();
    await using own = await newClient(stack);
    const { jobs, user } = own;

    const file = await jobs.upload(await recording(), {
      bucket: "voice-samples",
    });
    const clone = await jobs.run({
      job_type: "voice_clone",
      input_url: file.input_url,
      metadata: { voice_name: "Grandma" },
    });
    assertEquals(clone.result.voice_name, "Grandma");
    const { data: voice } = await user.client.from("voices").select("id")
      .single();
    assert(voice);

    const seen: (string | null)[] = [];
    const speech = await jobs.run({
      job_type: "text_to_speech",
      metadata: { text: "Good evening, everyone.", voice_id: voice.id },
    }, { onProgress: ({ stage }) => seen.push(stage) });
    assertEquals(speech.result.part_count, 1);
    assert(seen.includes("speaking"), JSON.stringify(seen));
    const address = await jobs.job(speech.id).downloadUrl({ expiresIn: 60 });
    const sound = await (await fetch(address)).arrayBuffer();
    assertEquals(sound.byteLength, speech.result.size_bytes);

    const call = await jobs.upload(await recording(), { bucket: "recordings" });
    const transcript = await jobs.run({
      job_type: "transcription",
      input_url: call.input_url,
    });
    assert(transcript.result.word_count > 0);

    const portrait = await jobs.upload(
      new Blob([await photo("quarters-orientation-6.jpg")], {
        type: "image/jpeg",
      }),
      { name: "grandma.jpg" },
    );
    const film = await jobs.create({
      job_type: "avatar_video",
      input_url: portrait.input_url,
      metadata: { text: "Good evening.", voice_id: "en-US-JennyNeural" },
    });
    // While the provider renders, the job is snoozed. The sweep, which the test runs, wakes it.
    const done = film.wait({ timeoutMs: 240_000 });
    let isDone = false;
    const ended = done.then(() => isDone = true, () => isDone = true);
    while (!isDone) {
      await stack.sql`
      update public.ai_jobs set scheduled_at = now() where id = ${film.id} and status = 'pending'`;
      await stack.sweep();
      await Promise.race([ended, new Promise((tick) => setTimeout(tick, 200))]);
    }
    assertEquals((await done).result.provider, "d-id");

    const { data: media } = await user.client.from("media").insert({
      media_type: "image",
      storage_path: portrait.input_url,
      file_name: "grandma.jpg",
      content_type: "image/jpeg",
      size_bytes: (await photo("quarters-orientation-6.jpg")).length,
    }).select("id").single();
    const { data: slideshow } = await user.client.from("slideshows").insert({
      title: "Summers",
    }).select("id").single();
    assert(media && slideshow);
    await user.client.from("slideshow_items").insert({
      slideshow_id: slideshow.id,
      media_id: media.id,
      position: 0,
    });
    const book = await jobs.run({
      job_type: "pdf_render",
      metadata: { slideshow_id: slideshow.id },
    });
    assertEquals(book.result.slideshow_id, slideshow.id);

    const listed = await Array.fromAsync(jobs.listAll({ limit: 2 }));
    assertEquals(listed.length, 5);
    assertEquals((await jobs.list({ job_type: "pdf_render" })).jobs.length, 1);
  },
);

liveTest(
  "client: an error has a class, a code, the field, and the request's id",
  async () => {
    const stack = running();
    await using own = await newClient(stack);
    const { jobs } = own;
    const invalid = await assertRejects(
      () =>
        jobs.create({
          job_type: "text_to_speech",
          metadata: { text: "" },
        }),
      RequestInvalid,
    );
    assertEquals(invalid.code, "invalid_request");
    assert(invalid.fieldErrors("metadata.text").length > 0);
    assert(invalid.requestId !== undefined && !invalid.retryable);
    assert(isAiJobsError(invalid));

    const missing = await assertRejects(
      () => jobs.get(crypto.randomUUID()),
      NotFound,
    );
    assertEquals(missing.code, "not_found");
    await assertRejects(() => jobs.job(crypto.randomUUID()).wait(), NotFound);
    await assertRejects(
      () => jobs.job("undefined").wait(),
      RequestInvalid,
      "uuid",
    );
    await assertRejects(
      () => jobs.upload(new Blob(["x"])),
      RequestInvalid,
      "contentType",
    );

    for (const key of [stack.publishableKey, stack.secretKey]) {
      const signedOut = createAiJobs(
        createClient(stack.apiUrl, key, {
          auth: { persistSession: false, autoRefreshToken: false },
        }),
      );
      const refusal = await assertRejects(
        () => signedOut.list(),
        NotSignedIn,
        "Sign in first, or refresh the session.",
      );
      assertEquals(refusal.code, "unauthenticated");
    }
  },
);

/** A voice clone that does not start until the database's calls are delivered again. */
async function newClone(jobs: AiJobs) {
  const { input_url } = await jobs.upload(await recording(), {
    bucket: "voice-samples",
  });
  return await jobs.create({
    job_type: "voice_clone",
    input_url,
    metadata: { voice_name: `Voice ${crypto.randomUUID()}` },
  });
}

liveTest(
  "client: a job that fails rejects with its own code, and one that is cancelled says so",
  async () => {
    const stack = running();
    await using own = await newClient(stack);
    const { jobs } = own;
    await stack.simulator.fail({
      times: null,
      fault: { kind: "status", error: "invalid_api_key" },
    });
    const failing = await newClone(jobs);
    const failed = await assertRejects(() => failing.wait(), JobFailed);
    assertEquals(
      [failed.code, failed.spend, failed.jobId],
      ["provider_unauthorized", "none", failing.id],
    );
    await stack.simulator.clearFaults();
    const { status } = await failing.retry();
    assertEquals(status, "pending");
    await stack.sweep();
    const done = await failing.wait({ timeoutMs: 240_000 });
    assertEquals(done.status, "completed");
    await assertRejects(() => failing.retry(), Conflict);

    await stack.pauseNet();
    const waiting = await newClone(jobs);
    assertEquals(await waiting.cancel(), {
      status: "cancelled",
      spend: "none",
    });
    const cancelled = await assertRejects(() => waiting.wait(), JobCancelled);
    assertEquals(cancelled.jobId, waiting.id);
  },
);

liveTest(
  "client: aborting rejects with the signal's reason and does not cancel the job; a time-out names the job",
  async () => {
    const stack = running();
    await using own = await newClient(stack);
    const { jobs } = own;
    await stack.pauseNet();
    const job = await newClone(jobs);
    const stop = new AbortController();
    const waiting = job.wait({ signal: stop.signal });
    const reason = new Error("the page was left");
    stop.abort(reason);
    assertEquals(await waiting.catch((error) => error), reason);
    const late = await assertRejects(
      () => job.wait({ timeoutMs: 50 }),
      WaitTimeout,
    );
    assertEquals([late.jobId, late.retryable], [job.id, true]);
    // The twin: with a signal that is already aborted nothing is sent.
    const before = (await jobs.list()).jobs.length;
    await assertRejects(
      () =>
        jobs.create(
          { job_type: "text_to_speech", metadata: { text: "Hello" } },
          { signal: AbortSignal.abort(reason) },
        ),
      Error,
      reason.message,
    );
    assertEquals((await jobs.list()).jobs.length, before);

    const following = jobs.job<"voice_clone">(job.id).wait();
    await stack.resumeNet();
    assertEquals((await following).status, "completed");
  },
);

liveTest(
  "client: a request whose answer is lost is repeated with its key and makes one job",
  async () => {
    const stack = running();
    const user = await signUp(stack);
    let lost = 0;
    const client = createClient(stack.apiUrl, stack.publishableKey, {
      accessToken: () => Promise.resolve(user.accessToken),
      global: {
        fetch: async (input, init) => {
          const answer = await fetch(input, init);
          if (!String(input).includes("create-ai-job") || lost === 2) {
            return answer;
          }
          await answer.body?.cancel();
          lost += 1;
          throw new TypeError("connection closed");
        },
      },
    });
    const jobs = createAiJobs(client, { live: false, pollMs: 100 });
    const job = await newClone(jobs);
    assertEquals(lost, 2);
    const { data } = await user.client.from("ai_jobs").select("id");
    assertEquals(data, [{ id: job.id }]);
    await job.wait();
  },
);

/**
 * Follows the state of the connection. `becomes` resolves once it is the given one, or has been it after `from` changes,
 * with the number of changes until then: a state that lasted only a moment is not missed.
 */
function followConnection(jobs: AiJobs) {
  const end = new AbortController();
  const seen: string[] = [];
  let wake = () => {};
  const following = Array.fromAsync(jobs.watchAll({
    signal: end.signal,
    onConnection(connection) {
      seen.push(connection);
      wake();
    },
  })).catch(() => {});
  return {
    count: () => seen.length,
    async becomes(connection: string, from: number) {
      for (;;) {
        const at = seen.indexOf(connection, from);
        if (at >= 0) return at + 1;
        if (seen.at(-1) === connection) return seen.length;
        await new Promise<void>((resolve) => wake = resolve);
      }
    },
    async stop() {
      end.abort();
      await following;
    },
  };
}

liveTest(
  "client: twenty watched jobs lose no event and see none twice while Realtime stops, expires and refuses",
  async () => {
    const stack = running();
    await using own = await newClient(stack);
    const { jobs } = own;
    await stack.sql`
    update public.ai_limits set max_concurrent_jobs = 20, max_active_jobs = 50, max_jobs_per_day = 100
    where user_id is null`;
    await stack.pauseNet();
    const { input_url } = await jobs.upload(await recording(), {
      bucket: "voice-samples",
    });
    const created = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        jobs.create({
          job_type: "voice_clone",
          input_url,
          metadata: { voice_name: `Voice ${index}` },
        })),
    );
    const watching = created.map(({ id }) =>
      Array.fromAsync(jobs.watch(id)).then((events) => ({ id, events }))
    );
    const { count, becomes, stop } = followConnection(jobs);
    await becomes("live", 0);
    await stack.resumeNet();
    for (
      const trouble of [
        ["/realtime/drop", "expired"],
        ["/realtime/pause", null],
        ["/realtime/resume", null],
        ["/realtime/drop", "rate_limited"],
        ["/realtime/pause", null],
        ["/realtime/resume", null],
      ] as const
    ) {
      const before = count();
      if (trouble[0] === "/realtime/drop") {
        await stack.ask(trouble[0], trouble[1]);
        await becomes("live", await becomes("polling", before));
      } else {
        await stack.ask(trouble[0], null);
        await becomes(
          trouble[0] === "/realtime/resume" ? "live" : "polling",
          before,
        );
      }
      await stack.sweep();
    }
    await stop();
    for (const { id, events } of await Promise.all(watching)) {
      assertWhole(events, id);
      assertEquals(events.at(-1)?.event, "completed");
    }
  },
);

liveTest(
  "client: two users in one process see only their own events; a page of all jobs sees each once",
  async () => {
    const stack = running();
    await using anns = await newClient(stack);
    await using bobs = await newClient(stack);
    const follow = async ({ jobs }: { jobs: AiJobs }) => {
      const events: JobEvent[] = [];
      for await (const event of jobs.watchAll()) {
        events.push(event);
        if (event.event === "completed") break;
      }
      return events;
    };
    const following = [follow(anns), follow(bobs)];
    const ofAnn = await newClone(anns.jobs);
    const ofBob = await newClone(bobs.jobs);
    const [seenByAnn = [], seenByBob = []] = await Promise.all(following);
    assertWhole(seenByAnn, ofAnn.id);
    assertWhole(seenByBob, ofBob.id);
  },
);

liveTest(
  "client: without Realtime it polls, and continues after a failed read",
  async () => {
    const stack = running();
    const user = await signUp(stack);
    let refused = 0;
    const client = createClient(stack.apiUrl, stack.publishableKey, {
      accessToken: () => Promise.resolve(user.accessToken),
      global: {
        fetch: (input, init) => {
          if (String(input).includes("/rest/v1/ai_job_events") && refused < 6) {
            refused += 1;
            return Promise.resolve(new Response("{}", { status: 503 }));
          }
          return fetch(input, init);
        },
      },
    });
    const jobs = createAiJobs(client, { live: false, pollMs: 50 });
    const job = await newClone(jobs);
    const said: string[] = [];
    const events = await Array.fromAsync(
      job.watch({ onConnection: (connection) => said.push(connection) }),
    );
    assertWhole(events, job.id);
    assertEquals([refused, said.at(0), said.at(-1)], [6, "offline", "polling"]);
    assertEquals(client.getChannels(), []);
  },
);
