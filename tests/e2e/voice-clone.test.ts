/** The main job from outside: several users, several formats, many jobs, and the schedules running as they do. */
import { assert, assertEquals } from "@std/assert";
import { encodeHex } from "@std/encoding";
import {
  type AppUser,
  creations,
  follow,
  invoke,
  readRecording,
  signUp,
  upload,
  useProject,
} from "./as-an-app.ts";

const project = useProject();

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return encodeHex(await crypto.subtle.digest("SHA-256", bytes));
}

/** A recording becomes a voice, step by step as an app does it. */
async function clone(
  user: AppUser,
  recording: string,
  contentType: string,
): Promise<void> {
  const { bucket, path, inputUrl } = await upload(user, recording, contentType);
  const created = await invoke(user, "create-ai-job", {
    job_type: "voice_clone",
    input_url: inputUrl,
    metadata: { voice_name: recording, labels: { format: contentType } },
  });
  assertEquals(created["status"], "pending");
  const jobId = String(created["job_id"]);
  const job = await follow(user, jobId);
  assertEquals(
    [job["status"], job["progress_percentage"], job["error_code"]],
    ["completed", 100, null],
    JSON.stringify(job),
  );

  const { data: voice, error } = await user.client.from("voices").select()
    .eq("job_id", jobId).single();
  assertEquals(error, null);
  assertEquals(job["result_data"], {
    voice_id: voice.provider_voice_id,
    voice_name: recording,
  });
  assertEquals(voice.sample_url, inputUrl);

  const bytes = await readRecording(recording);
  assertEquals(
    (await creations(project())).filter(({ marker }) => marker === jobId),
    [{
      marker: jobId,
      id: voice.provider_voice_id,
      sha256: await sha256(bytes),
    }],
  );
  const { download_url } = await invoke(user, "create-download-url", {
    bucket,
    path,
    expires_in: 60,
  });
  const response = await fetch(String(download_url));
  assertEquals(await response.bytes(), bytes);
}

Deno.test("e2e: two users at once clone voices from m4a, ogg, webm and wav recordings", async () => {
  const [ada, bob] = [await signUp(project()), await signUp(project())];
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
});

Deno.test("e2e: ten jobs at once are all done, each paid for once", async () => {
  const ada = await signUp(project());
  const { inputUrl } = await upload(ada, "speech-24s.mp3", "audio/mpeg");
  const ids = await Promise.all(
    Array.from({ length: 10 }, async (_, index) => {
      const created = await invoke(ada, "create-ai-job", {
        job_type: "voice_clone",
        input_url: inputUrl,
        metadata: { voice_name: `Voice ${index}` },
      });
      return String(created["job_id"]);
    }),
  );
  for (const id of ids) {
    const job = await follow(ada, id);
    assertEquals(
      [job["status"], job["attempt"], job["billable_calls"]],
      ["completed", 1, 1],
      JSON.stringify(job),
    );
  }
  const { data: voices } = await ada.client.from("voices").select("job_id");
  assertEquals(voices?.map(({ job_id }) => job_id).sort(), ids.toSorted());
  const markers = (await creations(project())).map(({ marker }) => marker);
  assertEquals(
    markers.filter((marker) => ids.includes(marker)).sort(),
    ids.toSorted(),
  );
});

Deno.test("e2e: a busy provider delays a job and nobody has to do anything about it", async () => {
  const ada = await signUp(project());
  const { inputUrl } = await upload(ada, "speech.webm", "audio/webm");
  const response = await fetch(`${project().SIMULATOR_URL}/_control/faults`, {
    method: "POST",
    body: JSON.stringify({
      provider: "elevenlabs",
      operation: "voices.add",
      fault: { kind: "status", error: "rate_limit_exceeded" },
    }),
  });
  assertEquals(response.status, 201, await response.text());
  const created = await invoke(ada, "create-ai-job", {
    job_type: "voice_clone",
    input_url: inputUrl,
    metadata: { voice_name: "Second try" },
  });
  const job = await follow(ada, String(created["job_id"]));
  assertEquals([job["status"], job["attempt"]], ["completed", 2]);
});

Deno.test("e2e: a stranger sees nothing of another's job, recording or voice, and cannot use them", async () => {
  const [ada, eve] = [await signUp(project()), await signUp(project())];
  const { bucket, path, inputUrl } = await upload(
    ada,
    "speech.ogg",
    "audio/ogg",
  );
  const request = {
    job_type: "voice_clone",
    input_url: inputUrl,
    metadata: { voice_name: "Ada's" },
  };
  const created = await invoke(ada, "create-ai-job", request);
  const jobId = String(created["job_id"]);
  await follow(ada, jobId);

  for (const table of ["ai_jobs", "ai_job_events", "voices"]) {
    const { data } = await eve.client.from(table).select("*");
    assertEquals(data, [], table);
  }
  const refused = async (name: string, body?: Record<string, unknown>) => {
    const { error } = await eve.client.functions.invoke(
      name,
      body === undefined ? { method: "GET" } : { body },
    );
    assert(error?.context instanceof Response, name);
    await error.context.body?.cancel();
    return error.context.status;
  };
  assertEquals(await refused(`get-ai-job?id=${jobId}`), 404);
  assertEquals(await refused("create-download-url", { bucket, path }), 403);
  assertEquals(await refused("create-ai-job", request), 403);
  const { error } = await eve.client.from("ai_jobs").insert(request);
  assertEquals(error?.code, "AJ015");
  const { data: file } = await eve.client.storage.from(bucket).download(path);
  assertEquals(file, null);
  const { data: list } = await eve.client.storage.from(bucket).list(ada.id);
  assertEquals(list, []);
});
