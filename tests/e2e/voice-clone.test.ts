/** Voice clones from outside: several users and formats, many jobs, and the real schedules. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { encodeHex } from "@std/encoding";
import { NotFound, RequestInvalid } from "../../client/mod.ts";
import {
  type AppUser,
  creations,
  readRecording,
  signUp,
  uploadRecording,
  useProject,
} from "./_support/as-an-app.ts";
import { liveTest } from "../_support/live-test.ts";

const project = useProject();
const TIME_LIMIT = { timeoutMs: 240_000 };

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return encodeHex(await crypto.subtle.digest("SHA-256", bytes));
}

/** Clones a voice from a recording, step by step as an app does. */
async function clone(
  user: AppUser,
  recording: string,
  contentType: string,
): Promise<void> {
  const { jobs } = user;
  const { bucket, path, input_url } = await uploadRecording(
    user,
    recording,
    contentType,
  );
  const created = await jobs.create({
    job_type: "voice_clone",
    input_url,
    metadata: { voice_name: recording, labels: { format: contentType } },
  });
  assertEquals(created.status, "pending");
  const jobId = created.id;
  const seen: number[] = [];
  const job = await created.wait({
    ...TIME_LIMIT,
    onProgress: ({ progress }) => seen.push(progress),
  });
  assertEquals(
    [job.status, job.progress_percentage, job.error_code],
    ["completed", 100, null],
    JSON.stringify(job),
  );
  // It decreases only where another claim starts from the beginning.
  const { data: claims } = await user.client.from("ai_job_events").select("seq")
    .eq("job_id", jobId).eq("event", "claimed");
  const decreases = seen.filter((one, index) => one < (seen[index - 1] ?? 0));
  assert(decreases.length < (claims?.length ?? 0), JSON.stringify(seen));
  assertEquals(seen.at(-1), 100);

  const { data: voice, error } = await user.client.from("voices").select()
    .eq("job_id", jobId).single();
  assertEquals(error, null);
  assertEquals(job.result, {
    voice_id: voice.id,
    provider_voice_id: voice.provider_voice_id,
    voice_name: recording,
  });
  assertEquals(voice.sample_url, input_url);

  const bytes = await readRecording(recording);
  assertEquals(
    (await creations(project())).filter(({ marker }) => marker === jobId),
    [{
      marker: jobId,
      id: voice.provider_voice_id,
      sha256: await sha256(bytes),
    }],
  );
  const response = await fetch(
    await jobs.downloadUrl(`${bucket}/${path}`, { expiresIn: 60 }),
  );
  assertEquals(await response.bytes(), bytes);
}

liveTest(
  "e2e: two users clone voices from m4a, ogg, webm and wav recordings at the same time",
  async () => {
    await using ada = await signUp(project());
    await using bob = await signUp(project());
    await Promise.all([
      clone(ada, "speech.m4a", "audio/mp4"),
      clone(ada, "speech.ogg", "audio/ogg"),
      clone(bob, "speech.webm", "audio/webm"),
      clone(bob, "speech-12s.wav", "audio/wav"),
    ]);
    for (
      const [user, names] of [
        [ada, ["speech.m4a", "speech.ogg"]],
        [bob, ["speech-12s.wav", "speech.webm"]],
      ] as const
    ) {
      const { data } = await user.client.from("voices").select("name,user_id")
        .order("name");
      assertEquals(data, names.map((name) => ({ name, user_id: user.id })));
    }
  },
);

liveTest(
  "e2e: ten jobs that run at the same time all complete, each paid for once",
  async () => {
    await using ada = await signUp(project());
    const { input_url } = await uploadRecording(
      ada,
      "speech-24s.mp3",
      "audio/mpeg",
    );
    const done = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        ada.jobs.run({
          job_type: "voice_clone",
          input_url,
          metadata: { voice_name: `Voice ${index}` },
        }, TIME_LIMIT)),
    );
    for (const job of done) {
      assertEquals(
        [job.status, job.attempt, job.billable_calls],
        ["completed", 1, 1],
        JSON.stringify(job),
      );
    }
    const ids = done.map(({ id }) => id);
    const { data: voices } = await ada.client.from("voices").select("job_id");
    assertEquals(voices?.map(({ job_id }) => job_id).sort(), ids.toSorted());
    const markers = (await creations(project())).map(({ marker }) => marker);
    assertEquals(
      markers.filter((marker) => ids.includes(marker)).sort(),
      ids.toSorted(),
    );
  },
);

liveTest(
  "e2e: a busy provider delays a job, which then completes without any action",
  async () => {
    await using ada = await signUp(project());
    const { input_url } = await uploadRecording(
      ada,
      "speech.webm",
      "audio/webm",
    );
    const response = await fetch(`${project().SIMULATOR_URL}/_control/faults`, {
      method: "POST",
      body: JSON.stringify({
        provider: "elevenlabs",
        operation: "voices.add",
        fault: { kind: "status", error: "rate_limit_exceeded" },
      }),
    });
    assertEquals(response.status, 201, await response.text());
    const job = await ada.jobs.run({
      job_type: "voice_clone",
      input_url,
      metadata: { voice_name: "Second try" },
    }, TIME_LIMIT);
    assertEquals([job.status, job.attempt], ["completed", 2]);
  },
);

liveTest(
  "e2e: another user cannot see or use a job, its recording or its voice",
  async () => {
    await using ada = await signUp(project());
    await using eve = await signUp(project());
    const { bucket, path, input_url } = await uploadRecording(
      ada,
      "speech.ogg",
      "audio/ogg",
    );
    const request = {
      job_type: "voice_clone" as const,
      input_url,
      metadata: { voice_name: "Ada's" },
    };
    const { id } = await ada.jobs.run(request, TIME_LIMIT);

    for (const table of ["ai_jobs", "ai_job_events", "voices"]) {
      const { data } = await eve.client.from(table).select("*");
      assertEquals(data, [], table);
    }
    assertEquals((await eve.jobs.list()).jobs, []);
    await assertRejects(() => eve.jobs.get(id), NotFound);
    await assertRejects(() => eve.jobs.cancel(id), NotFound);
    for (
      const forbidden of [
        () => eve.jobs.downloadUrl(input_url),
        () => eve.jobs.create(request),
      ]
    ) {
      const refusal = await assertRejects(forbidden, RequestInvalid);
      assertEquals(refusal.code, "path_not_allowed");
    }
    const { error } = await eve.client.from("ai_jobs").insert(request);
    assertEquals(error?.code, "AJ015");
    const { data: file } = await eve.client.storage.from(bucket).download(path);
    assertEquals(file, null);
    const { data: list } = await eve.client.storage.from(bucket).list(ada.id);
    assertEquals(list, []);
  },
);
