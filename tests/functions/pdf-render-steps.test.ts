/** A keepsake that needs several requests: the state between them, and the effect of failures. */
import { assert, assertEquals } from "@std/assert";
import { getDocumentProxy } from "unpdf";
import { createResumableUploads } from "../../supabase/functions/_shared/storage/resumable-uploads.ts";
import { png } from "../../bench/pdf-render/photos.ts";
import { callFunction, signUp, type TestUser } from "../_support/as-user.ts";
import {
  addPhoto,
  addSlideshow,
  newKeepsake,
  readPhoto,
} from "../_support/keepsakes.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import {
  timeline,
  waitForEvent,
  waitForJob,
  waitForLog,
  waitUntil,
} from "../_support/wait-for.ts";
import { claimedBy, signed } from "./_support/signed-dispatch.ts";

const running = useStack();

/** A screenshot whose file is small, and whose decompression takes most of a request. */
const screenshot = png(
  { width: 4000, height: 3900, bits: 8, colorType: 6, filter: 1 },
  (row) => row.fill(255, 0, 4),
);

/** A keepsake of two screenshots, not started yet: the test sends its requests. */
async function begin(stack: TestStack) {
  const user = await signUp(stack);
  const photos = [
    await addPhoto(user, await screenshot, "image/png"),
    await addPhoto(user, await screenshot, "image/png"),
  ];
  const slideshow = await addSlideshow(
    user,
    photos.map(({ id }) => ({ media_id: id })),
  );
  await stack.pauseNet();
  const jobId = await newKeepsake(user, { slideshow_id: slideshow });
  let requests = 0;
  /** Sends a request that claims the job, once the isolate has finished the previous one. */
  const ask = () =>
    waitUntil("the job is claimed", async () => {
      const answer = await callFunction(stack, "render-ai-job", {
        method: "POST",
        ...signed(stack, { jobIds: [jobId] }),
      });
      const claimed = claimedBy(answer);
      if (claimed.length > 0) assertEquals(claimed, [jobId]);
      return claimed.length > 0;
    });
  return {
    user,
    jobId,
    photos,
    ask,
    /** Sends a request, and resolves when the job is requeued. */
    async request(): Promise<void> {
      await ask();
      await waitForEvent(stack, jobId, "snoozed", { nth: ++requests });
      // The isolate accepts the next request only after this one.
      await waitForLog(stack, "render-ai-job", {
        event: "job_snoozed",
        job_id: jobId,
      }, requests);
    },
    /** The files of the job in Storage. */
    files: async () =>
      (await stack.sql<{ name: string; version: string }>`
        select name, concat(id, version, updated_at) as version from storage.objects
        where name like ${`${user.id}/${jobId}/%`} order by name`)
        .map(({ name, version }) => ({
          name: name.slice(name.lastIndexOf("/") + 1),
          version,
        })),
  };
}

async function pagesOf(user: TestUser, jobId: string): Promise<number> {
  const { data } = await user.client.storage.from("pdfs").download(
    `${user.id}/${jobId}/keepsake.pdf`,
  );
  assert(data !== null);
  const document = await getDocumentProxy(await data.bytes());
  const { numPages } = document;
  await document.loadingTask.destroy();
  return numPages;
}

Deno.test("pdf_render: work that does not fit into one request continues in the next, without spending attempts", async () => {
  const stack = running();
  const { user, jobId, files } = await begin(stack);
  await stack.resumeNet();
  const job = await waitForJob(stack, user, jobId, "completed");
  assertEquals(job.attempt, 1);
  const events = timeline(await waitForEvent(stack, jobId, "completed"));
  assertEquals(events.filter((event) => event === "snoozed").length, 3);
  assertEquals(
    (await files()).map(({ name }) => name),
    ["keepsake.pdf"],
  );
  assertEquals(await pagesOf(user, jobId), 4);
  const [left] = await stack.sql`
    select from public.ai_job_checkpoints where job_id = ${jobId}`;
  assertEquals(left, undefined);
});

Deno.test("pdf_render: an isolate killed between two requests loses nothing", async () => {
  const stack = running();
  const { user, jobId, request, files } = await begin(stack);
  await request();
  await request();
  const before = await files();
  assertEquals(before.map(({ name }) => name), ["photo-1.bin"]);
  await stack.kill("render-ai-job", "SIGKILL");
  await request();
  assertEquals((await files())[0], before[0], "it was not rendered again");
  await stack.resumeNet();
  await stack.sweep();
  const job = await waitForJob(stack, user, jobId, "completed");
  assertEquals(job.attempt, 1);
});

Deno.test("pdf_render: an isolate killed during a request costs an attempt, and the next continues", async () => {
  const stack = running();
  const { user, jobId, ask, request, files } = await begin(stack);
  await request();
  await request();
  const before = await files();
  await ask();
  await stack.kill("render-ai-job", "SIGKILL");
  await stack.sql`
    update public.ai_jobs set lease_expires_at = now() - interval '1 second'
    where id = ${jobId} and status = 'processing'`;
  await stack.resumeNet();
  await stack.sweep();
  await waitForEvent(stack, jobId, ["completed", "rescued"]);
  assertEquals((await files())[0], before[0]);
  const job = await waitForJob(stack, user, jobId, "completed");
  assertEquals(await pagesOf(user, jobId), 4);
  assert(job.attempt <= 2);
});

Deno.test("pdf_render: a photo replaced half-way restarts the book, which mixes no old and new state", async () => {
  const stack = running();
  const { user, jobId, photos, request } = await begin(stack);
  await request();
  await request();
  const [first] = photos;
  assert(first !== undefined);
  const uploads = user.client.storage.from("uploads");
  await uploads.remove([first.path]);
  await uploads.upload(first.path, await readPhoto("rgb.png"), {
    contentType: "image/png",
  });
  await stack.resumeNet();
  await stack.sweep();
  const job = await waitForJob(stack, user, jobId, "completed");
  await waitForLog(stack, "render-ai-job", {
    event: "keepsake_restarted",
    job_id: jobId,
  });
  assertEquals(job.result_data?.["photos_too_small"], [1]);
});

Deno.test("pdf_render: a job cancelled between two requests stops, and the janitor removes its files", async () => {
  const stack = running();
  const { user, jobId, request, files } = await begin(stack);
  await request();
  await request();
  const { error } = await user.client.functions.invoke("cancel-ai-job", {
    body: { job_id: jobId },
  });
  assertEquals(error, null);
  await waitForJob(stack, user, jobId, "cancelled");
  await stack.sql`
    update private.janitor_settings
    set orphan_grace_seconds = 0, cancelled_done_until = now() - interval '1 minute'`;
  const cleaned = await callFunction(stack, "janitor", {
    method: "POST",
    ...signed(stack, { body: JSON.stringify({ type: "JANITOR" }) }),
  });
  assertEquals(cleaned.status, 202);
  await waitUntil(
    "its files are gone",
    async () => (await files()).length === 0,
  );
  await stack
    .sql`update private.janitor_settings set orphan_grace_seconds = 86400`;
});

Deno.test("janitor: ends an abandoned resumable upload", async () => {
  const stack = running();
  const uploads = createResumableUploads({
    url: stack.apiUrl,
    secretKey: stack.secretKey,
    fetch,
  });
  const { signal } = new AbortController();
  const user = await signUp(stack);
  const id = await uploads.begin({
    bucket: "pdfs",
    path: `${user.id}/job/keepsake.pdf`,
    size: 100,
    contentType: "application/pdf",
  }, signal);
  assertEquals(
    await uploads.append(
      id,
      0,
      ReadableStream.from([new Uint8Array(40)]),
      signal,
    ),
    40,
  );
  await stack
    .sql`insert into private.abandoned_uploads (upload_id) values (${id})`;
  const cleaned = await callFunction(stack, "janitor", {
    method: "POST",
    ...signed(stack, { body: JSON.stringify({ type: "JANITOR" }) }),
  });
  assertEquals(cleaned.status, 202);
  await waitUntil(
    "the upload is gone",
    async () => await uploads.offset(id, signal) === null,
  );
  await waitUntil(
    "its row is gone",
    async () =>
      (await stack.sql`
        select from private.abandoned_uploads where upload_id = ${id}`)
        .length === 0,
  );
});
