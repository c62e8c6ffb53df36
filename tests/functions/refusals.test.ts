/** Bad input: refused with the field named, and nothing changed. */
import { assertEquals } from "@std/assert";
import {
  requestVoice,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { assertProblem, type ExpectedProblem } from "../_support/problem.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import { waitForJob } from "../_support/wait-for.ts";
import {
  type BadBody,
  badDownloads,
  badJobs,
  badUploads,
  UNREADABLE,
} from "./_support/bad-bodies.ts";

const running = useStack();

/** What a refused request could have left behind. */
async function everything(stack: TestStack): Promise<unknown> {
  const [row] = await stack.sql`
    select
      (select coalesce(jsonb_agg(to_jsonb(j) order by j.id), '[]') from public.ai_jobs as j) as jobs,
      (select count(*)::int from public.ai_job_events) as events,
      (select count(*)::int from public.voices) as voices,
      (select count(*)::int from storage.objects) as objects,
      (select count(*)::int from public.ai_result_cache) as cached,
      (select count(*)::int from net.http_request_queue) as queued,
      (select count(*)::int from net._http_response) as delivered`;
  return row;
}

const invalid = (field: string): ExpectedProblem => ({
  status: 400,
  code: "invalid_request",
  field,
});

async function refuseAll(
  stack: TestStack,
  user: TestUser,
  slug: string,
  cases: BadBody[],
  headers: Record<string, string> = {},
): Promise<void> {
  const before = await everything(stack);
  for (const [name, body, expected] of cases) {
    const answer = await user.call(slug, { method: "POST", body, headers });
    try {
      assertProblem(
        answer,
        typeof expected === "string" ? invalid(expected) : expected,
      );
    } catch (error) {
      throw new Error(`${slug}, ${name}: ${error}`, { cause: error });
    }
  }
  assertEquals(await everything(stack), before, "something has changed");
}

Deno.test("create-ai-job: every wrong body is refused with the field named, and nothing changes", async () => {
  const stack = running();
  const user = await signUp(stack);
  const input_url = await uploadRecording(user);
  const job = {
    job_type: "voice_clone",
    input_url,
    metadata: { voice_name: "A voice" },
  };
  await refuseAll(stack, user, "create-ai-job", [
    // An array may also be reported as an object without job_type.
    ...UNREADABLE.filter(([name]) => name !== "an array"),
    ...badJobs(input_url),
  ]);
  await refuseAll(stack, user, "create-ai-job", [
    ["text/plain", job, { status: 415, code: "unsupported_media_type" }],
  ], { "content-type": "text/plain" });
  for (const key of ["a b", "k".repeat(256), '""', "é"]) {
    await refuseAll(stack, user, "create-ai-job", [
      [`Idempotency-Key ${key}`, job, "Idempotency-Key"],
    ], { "idempotency-key": key });
  }
});

Deno.test("create-ai-job: every input that is not the caller's recording is refused, and nothing changes", async () => {
  const stack = running();
  const user = await signUp(stack);
  const otherUser = await signUp(stack);
  const own = await uploadRecording(user);
  const foreign = await uploadRecording(otherUser);
  const put = async (path: string, bytes: number, type: string) => {
    const { error } = await user.client.storage.from("uploads").upload(
      `${user.id}/${path}`,
      new Uint8Array(bytes),
      { contentType: type },
    );
    assertEquals(error, null, path);
    return `uploads/${user.id}/${path}`;
  };
  const image = await put("photo.png", 100, "image/png");
  const large = await put("long.wav", 10_485_761, "audio/wav");
  const empty = await put("silence.wav", 0, "audio/wav");
  const host = new URL(stack.apiUrl).host;

  const of = (input_url: string) => ({
    job_type: "voice_clone",
    input_url,
    metadata: { voice_name: "A voice" },
  });
  const shapeless: ExpectedProblem = {
    status: 400,
    code: "input_url_invalid",
    field: "input_url",
  };
  const shapes: [string, string][] = [
    ["another host", "https://example.com/recording.mp3"],
    ["another host, our path", `https://example.com/storage/v1/object/${own}`],
    [
      "our host as a user name",
      `http://${host}@example.com/storage/v1/object/${own}`,
    ],
    [
      "our host with credentials",
      `http://a:b@${host}/storage/v1/object/${own}`,
    ],
    [
      "our host as a subdomain",
      `http://${host}.example.com/storage/v1/object/${own}`,
    ],
    ["another port of ours", `http://127.0.0.1:1/storage/v1/object/${own}`],
    ["the metadata service", "http://169.254.169.254/latest/meta-data/"],
    ["a file", "file:///etc/passwd"],
    ["data", `data:audio/wav;base64,AAAA`],
    ["no scheme", `//example.com/${own}`],
    ["our host, other path", `${stack.apiUrl}/rest/v1/${own}`],
    ["only a bucket", "voice-samples"],
    ["a folder", `voice-samples/${user.id}/`],
    ["climbing", `voice-samples/${user.id}/../${otherUser.id}/a.mp3`],
    [
      "climbing, encoded",
      `voice-samples/${user.id}/%2e%2e/${otherUser.id}/a.mp3`,
    ],
    [
      "climbing in a URL",
      `${stack.apiUrl}/storage/v1/object/voice-samples/${user.id}/%252e%252e/x`,
    ],
    ["a backslash", `voice-samples/${user.id}\\..\\a.mp3`],
    ["a question mark", `${own}?download`],
    ["an empty part", `voice-samples/${user.id}//a.mp3`],
    ["a bucket for results", `outputs/${user.id}/a.mp3`],
    ["an unknown bucket", `nowhere/${user.id}/a.mp3`],
  ];
  await refuseAll(stack, user, "create-ai-job", [
    ...shapes.map(([name, input]): BadBody => [name, of(input), shapeless]),
    ["nothing there", of(`voice-samples/${user.id}/none.mp3`), {
      status: 400,
      code: "input_not_found",
      field: "input_url",
    }],
    ["another user's object", of(foreign), {
      status: 403,
      code: "path_not_allowed",
      field: "input_url",
    }],
    [
      "nothing in another user's folder",
      of(`voice-samples/${otherUser.id}/none.mp3`),
      {
        status: 403,
        code: "path_not_allowed",
        field: "input_url",
      },
    ],
    [
      "another user's object, as URL",
      of(`${stack.apiUrl}/storage/v1/object/${foreign}`),
      {
        status: 403,
        code: "path_not_allowed",
        field: "input_url",
      },
    ],
    ["an image", of(image), {
      status: 400,
      code: "input_type_not_allowed",
      field: "input_url",
    }],
    ["no bytes", of(empty), {
      status: 400,
      code: "input_size_not_allowed",
      field: "input_url",
    }],
    ["more than 10 MiB", of(large), {
      status: 400,
      code: "input_size_not_allowed",
      field: "input_url",
    }],
  ]);
});

Deno.test("create-ai-job: a URL of this project's Storage is accepted and stored as <bucket>/<path>", async () => {
  const stack = running();
  const user = await signUp(stack);
  const own = await uploadRecording(user);
  const { data: signed } = await user.client.storage.from("voice-samples")
    .createSignedUrl(own.slice("voice-samples/".length), 60);
  const urls = [
    `${stack.apiUrl}/storage/v1/object/${own}`,
    `${stack.apiUrl}/storage/v1/object/authenticated/${own}`,
    signed?.signedUrl ?? "",
  ];
  for (const url of urls) {
    const voice_name = crypto.randomUUID();
    await waitForJob(
      stack,
      user,
      await requestVoice(user, url, { voice_name }),
      "completed",
    );
  }
  const { data: jobs } = await user.client.from("ai_jobs").select("input_url");
  assertEquals(jobs, [own, own, own].map((input_url) => ({ input_url })));
});

Deno.test("create-ai-job: a disabled job type is refused with 409", async () => {
  const stack = running();
  const user = await signUp(stack);
  const input_url = await uploadRecording(user);
  const body = {
    job_type: "voice_clone",
    input_url,
    metadata: { voice_name: "Later" },
  };
  await stack.sql`update public.ai_job_types set is_enabled = false`;
  try {
    await refuseAll(stack, user, "create-ai-job", [
      ["switched off", body, {
        status: 409,
        code: "job_type_disabled",
        field: "job_type",
      }],
    ]);
  } finally {
    await stack.sql`update public.ai_job_types set is_enabled = true`;
  }
  // The twin: the same body, once the type is enabled again.
  const jobId = await requestVoice(user, input_url, body.metadata);
  await waitForJob(stack, user, jobId, "completed");
});

Deno.test("create-upload-url: every wrong body is refused with the field named, and nothing changes", async () => {
  const stack = running();
  const user = await signUp(stack);
  await refuseAll(stack, user, "create-upload-url", [
    ...UNREADABLE,
    ...badUploads(),
  ]);
});

Deno.test("create-download-url: every wrong body is refused with the field named, and nothing changes", async () => {
  const stack = running();
  const user = await signUp(stack);
  const own = (await uploadRecording(user)).slice("voice-samples/".length);
  await refuseAll(stack, user, "create-download-url", [
    ...UNREADABLE,
    ...badDownloads(own),
  ]);
});

Deno.test("get-ai-job: a missing, malformed or unknown id is refused", async () => {
  const stack = running();
  const user = await signUp(stack);
  for (const query of ["", "?id=", "?id=7", "?job_id=7", "?id=%00"]) {
    assertProblem(await user.call("get-ai-job", { query }), invalid("id"));
  }
  assertProblem(
    await user.call("get-ai-job", { query: `?id=${crypto.randomUUID()}` }),
    { status: 404, code: "not_found" },
  );
});
