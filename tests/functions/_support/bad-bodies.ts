/** Bodies that the endpoints must refuse, each with the expected problem. */
import type { ExpectedProblem } from "../../_support/problem.ts";

/** A name for the case, the body, and the problem; for `invalid_request` its field is enough. */
export type BadBody = [string, unknown, ExpectedProblem | string];

/** Bodies that are invalid as a whole, before any field is read. */
export const UNREADABLE: BadBody[] = [
  ["no JSON", "{", { status: 400, code: "invalid_json" }],
  ["nothing", "", { status: 400, code: "invalid_json" }],
  [
    "bytes that are not UTF-8",
    new Blob([new Uint8Array([0x7b, 0xff, 0xfe, 0x7d])]),
    { status: 400, code: "invalid_json" },
  ],
  ["an array", [], "body"],
  ["a number", 1, "body"],
  ["null", "null", "body"],
  ["more than 128 KiB", `"${"x".repeat(131_072)}"`, {
    status: 413,
    code: "payload_too_large",
  }],
];

/** Bodies for create-ai-job with an input that the caller owns. */
export function badJobs(input_url: string): BadBody[] {
  const job = {
    job_type: "voice_clone",
    input_url,
    metadata: { voice_name: "A voice" },
  };
  const { job_type: _type, ...typeless } = job;
  const { input_url: _input, ...inputless } = job;
  const withMetadata = (change: Record<string, unknown>) => ({
    ...job,
    metadata: { ...job.metadata, ...change },
  });
  const many = Object.fromEntries(
    Array.from({ length: 21 }, (_, index) => [`label ${index}`, "x"]),
  );
  return [
    ["no job_type", typeless, "job_type"],
    [
      "an unknown job_type",
      { ...job, job_type: "mind_reading" },
      "job_type",
    ],
    ["job_type a number", { ...job, job_type: 7 }, "job_type"],
    ["no input_url", inputless, "input_url"],
    ["input_url null", { ...job, input_url: null }, "input_url"],
    ["input_url empty", { ...job, input_url: "" }, "input_url"],
    [
      "input_url too long",
      { ...job, input_url: "x".repeat(2049) },
      "input_url",
    ],
    ["input_url a number", { ...job, input_url: 7 }, "input_url"],
    ["depends_on no id", { ...job, depends_on: "7" }, "depends_on"],
    [
      "depends_on a job that does not exist",
      { ...job, depends_on: crypto.randomUUID() },
      { status: 400, code: "dependency_not_found", field: "depends_on" },
    ],
    ["metadata an array", { ...job, metadata: [] }, "metadata"],
    ["metadata null", { ...job, metadata: null }, "metadata"],
    [
      "another field for the name",
      withMetadata({ voice_name: "Grandma", name: "Grandpa" }),
      "metadata.name",
    ],
    ["name empty", withMetadata({ voice_name: "" }), "metadata.voice_name"],
    [
      "name blank",
      withMetadata({ voice_name: "  \t " }),
      "metadata.voice_name",
    ],
    [
      "name of 101",
      withMetadata({ voice_name: "n".repeat(101) }),
      "metadata.voice_name",
    ],
    [
      "name with NUL",
      withMetadata({ voice_name: "a\u0000b" }),
      "metadata.voice_name",
    ],
    [
      "name with half a pair",
      withMetadata({ voice_name: "a\ud800" }),
      "metadata.voice_name",
    ],
    [
      "description of 401",
      withMetadata({ description: "d".repeat(401) }),
      "metadata.description",
    ],
    [
      "labels a list",
      withMetadata({ labels: ["en"] }),
      "metadata.labels",
    ],
    [
      "a label that is a number",
      withMetadata({ labels: { age: 7 } }),
      "metadata.labels.age",
    ],
    [
      "a label too long",
      withMetadata({ labels: { age: "x".repeat(101) } }),
      "metadata.labels.age",
    ],
    ["21 labels", withMetadata({ labels: many }), "metadata.labels"],
    [
      "stability above 1",
      withMetadata({ stability: 1.01 }),
      "metadata.stability",
    ],
    [
      "stability below 0",
      withMetadata({ stability: -0.01 }),
      "metadata.stability",
    ],
    [
      "stability a text",
      withMetadata({ stability: "0.5" }),
      "metadata.stability",
    ],
    [
      "similarity above 1",
      withMetadata({ similarity_boost: 2 }),
      "metadata.similarity_boost",
    ],
    [
      "noise removal a text",
      withMetadata({ remove_background_noise: "yes" }),
      "metadata.remove_background_noise",
    ],
    [
      "an unknown parameter",
      withMetadata({ stabilty: 1 }),
      "metadata.stabilty",
    ],
    [
      "someone's user_id",
      { ...job, user_id: crypto.randomUUID() },
      "user_id",
    ],
    ["a status", { ...job, status: "completed" }, "status"],
  ];
}

/** Bodies for create-upload-url. */
export function badUploads(): BadBody[] {
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
  return [
    ["no bucket", withoutBucket, "bucket"],
    [
      "a bucket that is a path",
      { ...upload, bucket: "a/b" },
      "bucket",
    ],
    ["an unknown bucket", { ...upload, bucket: "nowhere" }, bucketless],
    ["an inherited name", { ...upload, bucket: "constructor" }, bucketless],
    ["the bucket of results", { ...upload, bucket: "outputs" }, bucketless],
    ["no file_name", withoutName, "file_name"],
    ["file_name empty", { ...upload, file_name: " " }, "file_name"],
    [
      "file_name a path",
      { ...upload, file_name: "../a.mp3" },
      "file_name",
    ],
    [
      "file_name too long",
      { ...upload, file_name: "a".repeat(201) },
      "file_name",
    ],
    ["no content_type", withoutType, "content_type"],
    [
      "no MIME type",
      { ...upload, content_type: "mp3" },
      "content_type",
    ],
    ["a type that the bucket does not accept", {
      ...upload,
      content_type: "image/png",
    }, { status: 400, code: "file_type_not_allowed", field: "content_type" }],
    ["no size", withoutSize, "size_bytes"],
    ["no bytes", { ...upload, size_bytes: 0 }, "size_bytes"],
    ["a fraction of a byte", { ...upload, size_bytes: 1.5 }, "size_bytes"],
    [
      "a size that is a text",
      { ...upload, size_bytes: "1" },
      "size_bytes",
    ],
    ["more than the bucket accepts", { ...upload, size_bytes: 10_485_761 }, {
      status: 400,
      code: "file_size_not_allowed",
      field: "size_bytes",
    }],
    [
      "a path of the caller's choice",
      { ...upload, path: "x/y" },
      "path",
    ],
  ];
}

/** Bodies for create-download-url; `own` is the path of an object of the caller. */
export function badDownloads(own: string): BadBody[] {
  const [userId] = own.split("/");
  const download = { bucket: "voice-samples", path: own, expires_in: 60 };
  const { bucket: _bucket, ...withoutBucket } = download;
  const { path: _path, ...withoutPath } = download;
  return [
    ["no bucket", withoutBucket, "bucket"],
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
    ["no path", withoutPath, "path"],
    [
      "a path that climbs",
      { ...download, path: `${userId}/../x/y` },
      "path",
    ],
    ["a path that climbs, encoded", {
      ...download,
      path: `${userId}/%2e%2e/x/y`,
    }, "path"],
    [
      "a path without a file",
      { ...download, path: `${userId}/` },
      "path",
    ],
    ["no time", { ...download, expires_in: 0 }, "expires_in"],
    ["a fraction of a second", { ...download, expires_in: 0.5 }, "expires_in"],
    [
      "a time that is a text",
      { ...download, expires_in: "60" },
      "expires_in",
    ],
    [
      "more than seven days",
      { ...download, expires_in: 604_801 },
      "expires_in",
    ],
    ["an unknown field", { ...download, download: true }, "download"],
    ["nothing there", { ...download, path: `${userId}/none.mp3` }, {
      status: 404,
      code: "object_not_found",
      field: "path",
    }],
  ];
}
