/** The limits on unused uploads, through create-upload-url and directly through Storage. */
import { assert, assertEquals } from "@std/assert";
import { createUploadUrlResponseSchema } from "../../supabase/functions/_shared/contracts/storage.ts";
import { signUp, type TestUser } from "../_support/as-user.ts";
import { assertProblem } from "../_support/problem.ts";
import { useStack } from "../_support/stack.ts";

const running = useStack();
const MIB = 1_048_576;

async function userWithLimits(limits: { files?: number; bytes?: number }) {
  const stack = running();
  const user = await signUp(stack);
  await stack.sql`
    insert into public.ai_limits (user_id, max_unused_uploads, max_unused_upload_bytes)
    values (${user.id}, ${limits.files ?? null}, ${limits.bytes ?? null})`;
  return user;
}

function requestAddress(user: TestUser, bytes: number) {
  return user.call("create-upload-url", {
    body: {
      bucket: "recordings",
      file_name: "call.mp3",
      content_type: "audio/mpeg",
      size_bytes: bytes,
    },
  });
}

/** The shortest limit of a request or its statements, in milliseconds. */
const LIMIT_MS = 8_000;

/** Whether a request exceeded a time limit. A deadlock has the same status, but sooner. */
const isLate = ({ status, tookMs }: { status: number; tookMs: number }) =>
  (status === 503 || status === 504) && tookMs >= LIMIT_MS;

/** The status in the body of Storage's response; its HTTP status is 400. */
function statusIn(error: Error | null): unknown {
  return error !== null && "statusCode" in error ? error.statusCode : undefined;
}

function put(url: string, bytes: number) {
  return fetch(url, {
    method: "PUT",
    headers: { "content-type": "audio/mpeg" },
    body: new Uint8Array(bytes),
  });
}

Deno.test("upload limits: of 100 parallel requests for 500 MiB those that fit get a URL, the rest get 429", async () => {
  const stack = running();
  // The first request makes a stack read the whole schema.
  await requestAddress(await userWithLimits({}), 9);
  const user = await userWithLimits({ bytes: 2048 * MIB });
  const fits = 4;
  const ask = async () => {
    const startedAt = performance.now();
    const answer = await requestAddress(user, 500 * MIB);
    return { ...answer, tookMs: performance.now() - startedAt };
  };
  const answers = await Promise.all(Array.from({ length: 100 }, ask));
  const granted = answers.filter(({ status }) => status === 201);
  const refused = answers.filter(({ status }) => status === 429);
  for (const answer of refused) {
    assertProblem(answer, {
      status: 429,
      code: "unused_upload_bytes_exceeded",
      field: "size_bytes",
    });
  }
  // On a busy machine some wait for the others for as long as a statement or a request may take. Their uploads
  // may be recorded or not.
  const late = answers.filter(isLate);
  assertEquals(
    granted.length + refused.length + late.length,
    answers.length,
    answers.map(({ status }) => status).join(),
  );
  if (late.length === 0) assertEquals(granted.length, fits);
  // What fits can still be had, and no more.
  for (let more = 0;;) {
    const next = await ask();
    if (next.status === 429) break;
    if (isLate(next)) continue;
    assertEquals(next.status, 201);
    assert(++more <= fits, "there is no limit");
  }
  const rows = await stack.sql`
    select 1 from public.pending_uploads where user_id = ${user.id}`;
  assertEquals(rows.length, fits);
});

Deno.test("upload limits: a URL counts until a row names its file, the file is removed, or it never arrives", async () => {
  const stack = running();
  const user = await userWithLimits({ files: 1 });
  const first = await requestAddress(user, 9);
  const { upload_url, path, bucket } = createUploadUrlResponseSchema.parse(
    first.body,
  );
  assertProblem(await requestAddress(user, 9), {
    status: 429,
    code: "unused_uploads_exceeded",
    field: "size_bytes",
  });
  const stored = await put(upload_url, 9);
  assertEquals(stored.status, 200, await stored.text());
  assertEquals((await requestAddress(user, 9)).status, 429);
  const { error } = await user.client.from("media").insert({
    media_type: "audio",
    storage_path: `${bucket}/${path}`,
    file_name: "call.mp3",
    content_type: "audio/mpeg",
    size_bytes: 9,
  });
  assertEquals(error, null);
  assertEquals((await requestAddress(user, 9)).status, 201);

  await stack
    .sql`update public.pending_uploads set expires_at = now() where user_id = ${user.id}`;
  const last = createUploadUrlResponseSchema.parse(
    (await requestAddress(user, 9)).body,
  );
  await (await put(last.upload_url, 9)).body?.cancel();
  assertEquals((await requestAddress(user, 9)).status, 429);
  await user.client.storage.from(bucket).remove([last.path]);
  assertEquals((await requestAddress(user, 9)).status, 201);
});

Deno.test("upload limits: a URL that could not be signed does not count", async () => {
  const stack = running();
  const user = await userWithLimits({ files: 1 });
  await stack.sql`create table public.refused (id uuid)`;
  await stack.sql`insert into public.refused values (${user.id})`;
  await stack.sql`
    create function public.refuse() returns trigger language plpgsql security definer as $$
    begin
      if split_part(new.name, '/', 1) in (select r.id::text from public.refused as r) then
        raise exception 'Storage is out of order';
      end if;
      return new;
    end $$`;
  await stack.sql`
    create trigger objects_refuse before insert on storage.objects
    for each row execute function public.refuse()`;
  try {
    const { status } = await requestAddress(user, 9);
    assert(status >= 500, String(status));
  } finally {
    await stack.sql`drop trigger objects_refuse on storage.objects`;
    await stack.sql`drop function public.refuse()`;
    await stack.sql`drop table public.refused`;
  }
  assertEquals((await requestAddress(user, 9)).status, 201);
});

Deno.test("upload limits: a file without a signed URL counts as well; one too many is 403 and leaves nothing", async () => {
  const stack = running();
  const user = await userWithLimits({ bytes: 10_000 });
  const upload = (name: string, bytes: number) =>
    user.client.storage.from("uploads").upload(
      `${user.id}/${name}`,
      new Blob([new Uint8Array(bytes)], { type: "image/png" }),
    );
  assertEquals((await upload("a.png", 6_000)).error, null);
  const { error } = await upload("b.png", 6_000);
  assert(
    error?.message.startsWith("unused_upload_bytes_exceeded: "),
    error?.message,
  );
  assertEquals(statusIn(error), "403");
  const rows = await stack.sql<{ name: string }>`
    select name from storage.objects where owner_id = ${user.id}`;
  assertEquals(rows.map(({ name }) => name), [`${user.id}/a.png`]);
  assertEquals((await requestAddress(user, 4_001)).status, 429);
  const answer = await requestAddress(user, 1);
  const { upload_url } = createUploadUrlResponseSchema.parse(answer.body);
  const liar = await put(upload_url, 4_001);
  assert(!liar.ok);
  assert((await liar.text()).includes("unused_upload_bytes_exceeded"));
  const honest = await put(upload_url, 4_000);
  assertEquals(honest.status, 200, await honest.text());
});

Deno.test("upload limits: no URL is signed that create-upload-url has not recorded", async () => {
  const user = await userWithLimits({});
  const { data, error } = await user.client.storage.from("uploads")
    .createSignedUploadUrl(`${user.id}/direct.png`);
  assertEquals(data, null);
  assertEquals(statusIn(error), "403");
});
