/** Upload and download URLs: they expire when they say, open one object, and do not bypass the bucket's rules. */
import {
  assert,
  assertEquals,
  assertGreater,
  assertLessOrEqual,
  assertNotEquals,
} from "@std/assert";
import { decodeJwt } from "jose";
import {
  createDownloadUrlResponseSchema,
  createUploadUrlResponseSchema,
} from "../../supabase/functions/_shared/contracts/storage.ts";
import {
  readRecording,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { assertProblem } from "../_support/problem.ts";
import { type TestStack, useStack } from "../_support/stack.ts";

const running = useStack();

const DAY_SECONDS = 86_400;

async function uploadUrl(user: TestUser, change: Record<string, unknown> = {}) {
  const answer = await user.call("create-upload-url", {
    body: {
      bucket: "voice-samples",
      file_name: "speech.webm",
      content_type: "audio/webm",
      size_bytes: 39_949,
      ...change,
    },
  });
  assertEquals(answer.status, 201, JSON.stringify(answer.body));
  return createUploadUrlResponseSchema.parse(answer.body);
}

async function downloadUrl(user: TestUser, body: Record<string, unknown>) {
  const answer = await user.call("create-download-url", { body });
  assertEquals(answer.status, 200, JSON.stringify(answer.body));
  return createDownloadUrlResponseSchema.parse(answer.body);
}

/** A request without any key or token, as a browser or a player makes it. */
async function plain(
  url: string,
  init: RequestInit = {},
): Promise<{ status: number; bytes: Uint8Array<ArrayBuffer> }> {
  const response = await fetch(url, init);
  return { status: response.status, bytes: await response.bytes() };
}

/** All objects in Storage with their versions. */
async function stored(stack: TestStack): Promise<string[]> {
  const rows = await stack.sql<{ object: string }>`
    select concat_ws(' ', bucket_id, name, version, metadata ->> 'size') as object
    from storage.objects order by 1`;
  return rows.map(({ object }) => object);
}

Deno.test("create-upload-url: expires_at is the token's, and the path is new and in the caller's folder", async () => {
  const user = await signUp(running());
  const first = await uploadUrl(user);
  const second = await uploadUrl(user);

  const { exp = 0 } = decodeJwt(first.token);
  assertEquals(first.expires_at, new Date(exp * 1000).toISOString());
  assertGreater(exp * 1000, Date.now() + 60_000);
  assert(first.upload_url.includes(first.token));
  assert(first.path.startsWith(`${user.id}/`), first.path);
  assert(first.path.endsWith("/speech.webm"), first.path);
  assertEquals(first.input_url, `voice-samples/${first.path}`);
  assertNotEquals(first.path, second.path);
});

Deno.test("create-upload-url: with any file name the object can be uploaded, used and fetched", async () => {
  const stack = running();
  const user = await signUp(stack);
  const bytes = await readRecording("speech.webm");
  const names = {
    "Größe & Maß – 100 %.webm": "Gro-e-Ma-100.webm",
    "録音.webm": "file.webm",
    "...": "file",
    ".hidden": "file.hidden",
    "a?b#c%2e%2e.webm": "a-b-c-2e-2e.webm",
    [`${"x".repeat(195)}.webm`]: `${"x".repeat(100)}.webm`,
  };
  for (const [file_name, kept] of Object.entries(names)) {
    const upload = await uploadUrl(user, { file_name });
    assertEquals(upload.path.split("/")[2], kept);
    const { error } = await user.client.storage.from(upload.bucket)
      .uploadToSignedUrl(upload.path, upload.token, bytes, {
        contentType: "audio/webm",
      });
    assertEquals(error, null, `${file_name}: ${upload.path}`);
    const { download_url } = await downloadUrl(user, {
      bucket: upload.bucket,
      path: upload.path,
    });
    assertEquals((await plain(download_url)).bytes, bytes, file_name);
  }
});

Deno.test("upload URL: accepts the file without a key, once, and only for its own path", async () => {
  const stack = running();
  const user = await signUp(stack);
  const victim = await signUp(stack);
  const bytes = await readRecording("speech.webm");
  const { upload_url, path, token } = await uploadUrl(user);
  const put = (url: string, body = bytes) =>
    plain(url, {
      method: "PUT",
      body,
      headers: { "content-type": "audio/webm" },
    });

  const before = await stored(stack);
  const elsewhere = [
    upload_url.replace(path, `${user.id}/other/speech.webm`),
    upload_url.replace(path, `${victim.id}/stolen/speech.webm`),
    upload_url.replace("/voice-samples/", "/uploads/"),
    upload_url.replace("/voice-samples/", "/outputs/"),
    upload_url.replace(path, `${path}/../../x.webm`),
    upload_url.replace(token, `${token.slice(0, -4)}AAAA`),
    upload_url.replace(/\?token=.*/, ""),
  ];
  for (const url of elsewhere) {
    assertNotEquals(url, upload_url);
    const { status } = await put(url);
    assert(status >= 400 && status < 500, `${status} for ${url}`);
  }
  assertEquals(await stored(stack), before);

  // The twin: the unchanged URL.
  assertEquals((await put(upload_url)).status, 200);
  const after = await stored(stack);
  assertEquals(after.length, before.length + 1);
  const again = await put(upload_url, new Uint8Array([1, 2, 3]));
  assert(again.status >= 400, `a second upload: ${again.status}`);
  assertEquals(await stored(stack), after);
});

Deno.test("upload URL: Storage refuses another type and too large a file, and stores nothing", async () => {
  const stack = running();
  const user = await signUp(stack);
  const before = await stored(stack);
  const attempts: [string, Uint8Array<ArrayBuffer>, string, number][] = [
    ["a picture", new Uint8Array(100), "image/png", 415],
    ["a page", new Uint8Array(100), "text/html", 415],
    ["10 MiB and a byte", new Uint8Array(10_485_761), "audio/webm", 413],
  ];
  for (const [name, bytes, contentType, status] of attempts) {
    const { bucket, path, token } = await uploadUrl(user);
    const { error } = await user.client.storage.from(bucket).uploadToSignedUrl(
      path,
      token,
      bytes,
      { contentType },
    );
    assert(error !== null, name);
    // Storage answers 400 with the status in the body, or with the status itself.
    assert(
      JSON.stringify(error).includes(String(status)),
      `${name}: ${JSON.stringify(error)}`,
    );
    assertEquals(await stored(stack), before, name);
  }
});

/** Fails unless the URL expires that many seconds after it was created, which was after `before`. Times are whole seconds. */
function assertExpires(
  at: string | null,
  { before, seconds }: { before: number; seconds: number },
): void {
  const created = Date.parse(at ?? "") - seconds * 1000;
  assertLessOrEqual(before - 1000, created);
  assertLessOrEqual(created, Date.now() + 1000);
}

Deno.test("download URL: valid for the requested time, and not a second longer", async () => {
  const stack = running();
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  const path = inputUrl.slice("voice-samples/".length);
  const bytes = await readRecording("speech.ogg");

  // Longer where the machine is too slow to download within a second.
  let seconds = 1;
  const ask = () =>
    downloadUrl(user, { bucket: "voice-samples", path, expires_in: seconds });
  let short = await ask();
  let first = await plain(short.download_url);
  while (
    first.status !== 200 && Date.parse(short.expires_at ?? "") < Date.now()
  ) {
    seconds *= 2;
    short = await ask();
    first = await plain(short.download_url);
  }
  assertEquals(first, { status: 200, bytes });
  const before = Date.now();
  const long = await downloadUrl(user, { bucket: "voice-samples", path });
  assertExpires(long.expires_at, { before, seconds: 3600 });
  for (const { download_url, expires_at } of [short, long]) {
    const token = new URL(download_url).searchParams.get("token") ?? "";
    const { exp = 0 } = decodeJwt(token);
    assertEquals(expires_at, new Date(exp * 1000).toISOString());
  }

  const untilEnd = Date.parse(short.expires_at ?? "") - Date.now();
  assertLessOrEqual(untilEnd, seconds * 1_000);
  // The only sleep: it proves the expiry, and a signed time cannot be backdated.
  await new Promise((resolve) => setTimeout(resolve, untilEnd + 1_100));
  const late = await plain(short.download_url);
  assert(late.status >= 400 && late.status < 500, String(late.status));
  assertEquals((await plain(long.download_url)).status, 200);
});

Deno.test("download URL: seven days are the maximum, and expires_at says so", async () => {
  const user = await signUp(running());
  const path = (await uploadRecording(user)).slice("voice-samples/".length);
  const ask = (expires_in: number) =>
    user.call("create-download-url", {
      body: { bucket: "voice-samples", path, expires_in },
    });
  const before = Date.now();
  const { status, body } = await ask(7 * DAY_SECONDS);
  assertEquals(status, 200);
  const { expires_at } = createDownloadUrlResponseSchema.parse(body);
  assertExpires(expires_at, { before, seconds: 7 * DAY_SECONDS });
  assertProblem(await ask(7 * DAY_SECONDS + 1), {
    status: 400,
    code: "invalid_request",
    field: "expires_in",
  });
});

Deno.test("download URL: the token opens only its own object", async () => {
  const stack = running();
  const user = await signUp(stack);
  const [one, other] = [
    await uploadRecording(user),
    await uploadRecording(user, { recording: "speech.ogg" }),
  ].map((url) => url.slice("voice-samples/".length));
  assert(one !== undefined && other !== undefined);
  const { download_url } = await downloadUrl(user, {
    bucket: "voice-samples",
    path: one,
  });
  for (
    const url of [
      download_url.replace(one, other),
      download_url.replace(/token=.*/, "token=x.y.z"),
      download_url.replace(/\?token=.*/, ""),
    ]
  ) {
    assertNotEquals(url, download_url);
    const { status } = await plain(url);
    assert(status >= 400 && status < 500, `${status} for ${url}`);
  }
  assertEquals((await plain(download_url)).status, 200);
});

Deno.test("download URL: for an object of the public bucket it does not expire", async () => {
  const stack = running();
  const user = await signUp(stack);
  const path = `${user.id}/me.png`;
  const bytes = new Uint8Array([0x89, 0x50, 0x4e, 0x47]);
  const { error } = await user.client.storage.from("profile-photos").upload(
    path,
    bytes,
    { contentType: "image/png" },
  );
  assertEquals(error, null);
  const { download_url, expires_at } = await downloadUrl(user, {
    bucket: "profile-photos",
    path,
  });
  assertEquals(expires_at, null);
  assertEquals(await plain(download_url), { status: 200, bytes });
});
