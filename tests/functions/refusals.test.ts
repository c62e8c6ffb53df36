/** Bad input: refused with the field named, and nothing changed. */
import { assertEquals } from "@std/assert";
import {
  requestVoice,
  signUp,
  type TestUser,
  uploadRecording,
} from "../helpers/as-user.ts";
import { assertProblem, type ExpectedProblem } from "../helpers/problem.ts";
import { type TestStack, useStack } from "../helpers/stack.ts";
import { waitForJob } from "../helpers/wait-for.ts";

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

/** A name for the case, the body, and what must come of it. */
type Case = [string, unknown, ExpectedProblem];

const invalid = (field: string): ExpectedProblem => ({
  status: 400,
  code: "invalid_request",
  field,
});

async function refuseAll(
  stack: TestStack,
  user: TestUser,
  slug: string,
  cases: Case[],
  headers: Record<string, string> = {},
): Promise<void> {
  const before = await everything(stack);
  for (const [name, body, expected] of cases) {
    const answer = await user.call(slug, { method: "POST", body, headers });
    try {
      assertProblem(answer, expected);
    } catch (error) {
      throw new Error(`${slug}, ${name}: ${error}`, { cause: error });
    }
  }
  assertEquals(await everything(stack), before, "something has changed");
}

/** Bodies that are wrong before any field is looked at. */
const UNREADABLE: Case[] = [
  ["no JSON", "{", { status: 400, code: "invalid_json" }],
  ["nothing", "", { status: 400, code: "invalid_json" }],
  [
    "bytes that are not UTF-8",
    new Blob([new Uint8Array([0x7b, 0xff, 0xfe, 0x7d])]),
    { status: 400, code: "invalid_json" },
  ],
  ["an array", [], invalid("body")],
  ["a number", 1, invalid("body")],
  ["null", "null", invalid("body")],
  ["more than 128 KiB", `"${"x".repeat(131_072)}"`, {
    status: 413,
    code: "payload_too_large",
  }],
];

Deno.test("create-ai-job: every wrong body is refused with the field named, and nothing changes", async () => {
  const stack = running();
  const user = await signUp(stack);
  const input_url = await uploadRecording(user);
  const job = {
    job_type: "voice_clone",
    input_url,
    metadata: { name: "A voice" },
  };
  const { job_type: _type, ...typeless } = job;
  const { input_url: _input, ...inputless } = job;
  const { metadata: _metadata, ...metadataless } = job;
  const withMetadata = (change: Record<string, unknown>) => ({
    ...job,
    metadata: { ...job.metadata, ...change },
  });
  const many = Object.fromEntries(
    Array.from({ length: 21 }, (_, index) => [`label ${index}`, "x"]),
  );
  await refuseAll(stack, user, "create-ai-job", [
    ...UNREADABLE.filter(([name]) => name !== "an array"),
    ["no job_type", typeless, invalid("job_type")],
    [
      "an unknown job_type",
      { ...job, job_type: "mind_reading" },
      invalid(
        "job_type",
      ),
    ],
    ["job_type a number", { ...job, job_type: 7 }, invalid("job_type")],
    ["no input_url", inputless, invalid("input_url")],
    ["input_url null", { ...job, input_url: null }, invalid("input_url")],
    ["input_url empty", { ...job, input_url: "" }, invalid("input_url")],
    [
      "input_url too long",
      { ...job, input_url: "x".repeat(2049) },
      invalid(
        "input_url",
      ),
    ],
    ["no metadata", metadataless, invalid("metadata")],
    ["metadata an array", { ...job, metadata: [] }, invalid("metadata")],
    ["no name", { ...job, metadata: {} }, invalid("metadata.name")],
    ["name empty", withMetadata({ name: "" }), invalid("metadata.name")],
    ["name blank", withMetadata({ name: "  \t " }), invalid("metadata.name")],
    [
      "name of 101",
      withMetadata({ name: "n".repeat(101) }),
      invalid(
        "metadata.name",
      ),
    ],
    [
      "name with NUL",
      withMetadata({ name: "a\u0000b" }),
      invalid(
        "metadata.name",
      ),
    ],
    [
      "name with half a pair",
      withMetadata({ name: "a\ud800" }),
      invalid(
        "metadata.name",
      ),
    ],
    [
      "description of 401",
      withMetadata({ description: "d".repeat(401) }),
      invalid(
        "metadata.description",
      ),
    ],
    [
      "labels a list",
      withMetadata({ labels: ["en"] }),
      invalid(
        "metadata.labels",
      ),
    ],
    [
      "a label that is a number",
      withMetadata({ labels: { age: 7 } }),
      invalid(
        "metadata.labels.age",
      ),
    ],
    [
      "a label too long",
      withMetadata({ labels: { age: "x".repeat(101) } }),
      invalid(
        "metadata.labels.age",
      ),
    ],
    ["21 labels", withMetadata({ labels: many }), invalid("metadata.labels")],
    [
      "stability above 1",
      withMetadata({ stability: 1.01 }),
      invalid(
        "metadata.stability",
      ),
    ],
    [
      "stability below 0",
      withMetadata({ stability: -0.01 }),
      invalid(
        "metadata.stability",
      ),
    ],
    [
      "stability a text",
      withMetadata({ stability: "0.5" }),
      invalid(
        "metadata.stability",
      ),
    ],
    [
      "similarity above 1",
      withMetadata({ similarity_boost: 2 }),
      invalid(
        "metadata.similarity_boost",
      ),
    ],
    [
      "noise removal a text",
      withMetadata({ remove_background_noise: "yes" }),
      invalid(
        "metadata.remove_background_noise",
      ),
    ],
    [
      "an unknown parameter",
      withMetadata({ stabilty: 1 }),
      invalid(
        "metadata.stabilty",
      ),
    ],
    [
      "somebody's user_id",
      { ...job, user_id: crypto.randomUUID() },
      invalid(
        "user_id",
      ),
    ],
    ["a status", { ...job, status: "completed" }, invalid("status")],
  ]);

  await refuseAll(stack, user, "create-ai-job", [
    ["text/plain", job, { status: 415, code: "unsupported_media_type" }],
  ], { "content-type": "text/plain" });
  for (const key of ["a b", "k".repeat(256), '""', "é"]) {
    await refuseAll(stack, user, "create-ai-job", [
      [`Idempotency-Key ${key}`, job, invalid("Idempotency-Key")],
    ], { "idempotency-key": key });
  }
});

Deno.test("create-ai-job: every input that is not a recording of the caller's own is refused, and nothing changes", async () => {
  const stack = running();
  const user = await signUp(stack);
  const stranger = await signUp(stack);
  const own = await uploadRecording(user);
  const foreign = await uploadRecording(stranger);
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
    metadata: { name: "A voice" },
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
    ["a bucket alone", "voice-samples"],
    ["a folder", `voice-samples/${user.id}/`],
    ["climbing", `voice-samples/${user.id}/../${stranger.id}/a.mp3`],
    [
      "climbing, encoded",
      `voice-samples/${user.id}/%2e%2e/${stranger.id}/a.mp3`,
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
    ...shapes.map(([name, input]): Case => [name, of(input), shapeless]),
    ["nothing there", of(`voice-samples/${user.id}/none.mp3`), {
      status: 400,
      code: "input_not_found",
      field: "input_url",
    }],
    ["a stranger's object", of(foreign), {
      status: 403,
      code: "path_not_allowed",
      field: "input_url",
    }],
    [
      "nothing in a stranger's folder",
      of(`voice-samples/${stranger.id}/none.mp3`),
      {
        status: 403,
        code: "path_not_allowed",
        field: "input_url",
      },
    ],
    [
      "a stranger's object, as URL",
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

Deno.test("create-ai-job: a URL of this project's Storage is taken and kept as <bucket>/<path>", async () => {
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
    const name = crypto.randomUUID();
    await waitForJob(
      stack,
      user,
      await requestVoice(user, url, { name }),
      "completed",
    );
  }
  const { data: jobs } = await user.client.from("ai_jobs").select("input_url");
  assertEquals(jobs, [own, own, own].map((input_url) => ({ input_url })));
});

Deno.test("create-ai-job: a job type that is switched off is refused with 409", async () => {
  const stack = running();
  const user = await signUp(stack);
  const input_url = await uploadRecording(user);
  const body = {
    job_type: "voice_clone",
    input_url,
    metadata: { name: "Later" },
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
  // The twin: the same body, once it is on again.
  const jobId = await requestVoice(user, input_url, body.metadata);
  await waitForJob(stack, user, jobId, "completed");
});

Deno.test("create-upload-url: every wrong body is refused with the field named, and nothing changes", async () => {
  const stack = running();
  const user = await signUp(stack);
  const upload = {
    bucket: "voice-samples",
    file_name: "a.mp3",
    content_type: "audio/mpeg",
    size_bytes: 1000,
  };
  const bucketless: ExpectedProblem = {
    status: 400,
    code: "bucket_not_allowed",
    field: "bucket",
  };
  const { bucket: _bucket, ...withoutBucket } = upload;
  const { file_name: _name, ...withoutName } = upload;
  const { content_type: _type, ...withoutType } = upload;
  const { size_bytes: _size, ...withoutSize } = upload;
  await refuseAll(stack, user, "create-upload-url", [
    ...UNREADABLE,
    ["no bucket", withoutBucket, invalid("bucket")],
    [
      "a bucket that is a path",
      { ...upload, bucket: "a/b" },
      invalid("bucket"),
    ],
    ["an unknown bucket", { ...upload, bucket: "nowhere" }, bucketless],
    ["an inherited name", { ...upload, bucket: "constructor" }, bucketless],
    ["the bucket of results", { ...upload, bucket: "outputs" }, bucketless],
    ["no file_name", withoutName, invalid("file_name")],
    ["file_name empty", { ...upload, file_name: " " }, invalid("file_name")],
    [
      "file_name a path",
      { ...upload, file_name: "../a.mp3" },
      invalid(
        "file_name",
      ),
    ],
    [
      "file_name too long",
      { ...upload, file_name: "a".repeat(201) },
      invalid(
        "file_name",
      ),
    ],
    ["no content_type", withoutType, invalid("content_type")],
    [
      "no MIME type",
      { ...upload, content_type: "mp3" },
      invalid("content_type"),
    ],
    ["a type that the bucket does not take", {
      ...upload,
      content_type: "image/png",
    }, { status: 400, code: "file_type_not_allowed", field: "content_type" }],
    ["no size", withoutSize, invalid("size_bytes")],
    ["no bytes", { ...upload, size_bytes: 0 }, invalid("size_bytes")],
    ["half a byte", { ...upload, size_bytes: 1.5 }, invalid("size_bytes")],
    [
      "a size that is a text",
      { ...upload, size_bytes: "1" },
      invalid(
        "size_bytes",
      ),
    ],
    ["more than the bucket takes", { ...upload, size_bytes: 10_485_761 }, {
      status: 400,
      code: "file_size_not_allowed",
      field: "size_bytes",
    }],
    [
      "a path of the caller's choice",
      { ...upload, path: "x/y" },
      invalid(
        "path",
      ),
    ],
  ]);
});

Deno.test("create-download-url: every wrong body is refused with the field named, and nothing changes", async () => {
  const stack = running();
  const user = await signUp(stack);
  const own = (await uploadRecording(user)).slice("voice-samples/".length);
  const download = { bucket: "voice-samples", path: own, expires_in: 60 };
  const { bucket: _bucket, ...withoutBucket } = download;
  const { path: _path, ...withoutPath } = download;
  await refuseAll(stack, user, "create-download-url", [
    ...UNREADABLE,
    ["no bucket", withoutBucket, invalid("bucket")],
    ["an unknown bucket", { ...download, bucket: "nowhere" }, {
      status: 400,
      code: "bucket_not_allowed",
      field: "bucket",
    }],
    ["an inherited name", { ...download, bucket: "constructor" }, {
      status: 400,
      code: "bucket_not_allowed",
      field: "bucket",
    }],
    ["no path", withoutPath, invalid("path")],
    [
      "a path that climbs",
      { ...download, path: `${user.id}/../x/y` },
      invalid(
        "path",
      ),
    ],
    ["a path that climbs, encoded", {
      ...download,
      path: `${user.id}/%2e%2e/x/y`,
    }, invalid("path")],
    [
      "a path without a file",
      { ...download, path: `${user.id}/` },
      invalid(
        "path",
      ),
    ],
    ["no time", { ...download, expires_in: 0 }, invalid("expires_in")],
    ["half a second", { ...download, expires_in: 0.5 }, invalid("expires_in")],
    [
      "a time that is a text",
      { ...download, expires_in: "60" },
      invalid(
        "expires_in",
      ),
    ],
    [
      "more than seven days",
      { ...download, expires_in: 604_801 },
      invalid(
        "expires_in",
      ),
    ],
    ["an unknown field", { ...download, download: true }, invalid("download")],
    ["nothing there", { ...download, path: `${user.id}/none.mp3` }, {
      status: 404,
      code: "object_not_found",
      field: "path",
    }],
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
