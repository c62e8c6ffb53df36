/** No file outlives its account or its job: work that started before the deletion leaves no file. */
import { assert, assertEquals } from "@std/assert";
import { createAiJobResponseSchema } from "../../supabase/functions/_shared/contracts/jobs.ts";
import { createUploadUrlResponseSchema } from "../../supabase/functions/_shared/contracts/storage.ts";
import {
  callFunction,
  readRecording,
  requestVoice,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import { waitForLog, waitUntil } from "../_support/wait-for.ts";
import { signed } from "./_support/signed-dispatch.ts";

const running = useStack({ env: { WORKER_CONCURRENCY: "6" } });
const ADAM = "pNInz6obpgDQGcFmaJgB";

/** Runs the janitor as the database does, and waits for its end. */
async function clean(stack: TestStack): Promise<void> {
  const requestId = crypto.randomUUID();
  const { body, headers } = signed(stack, {
    body: JSON.stringify({ type: "JANITOR" }),
  });
  const answer = await callFunction(stack, "janitor", {
    body,
    headers: { ...headers, "x-request-id": requestId },
  });
  assertEquals(answer.status, 202, JSON.stringify(answer.body));
  await waitForLog(stack, "janitor", {
    event: "janitor_done",
    request_id: requestId,
  });
}

/** The files in the folders of these users. */
async function filesOf(
  stack: TestStack,
  users: readonly TestUser[],
): Promise<string[]> {
  const rows = await stack.sql<{ path: string }>`
    select bucket_id || '/' || name as path from storage.objects
    where split_part(name, '/', 1) = any (${
    users.map(({ id }) => id)
  }) order by 1`;
  return rows.map(({ path }) => path);
}

async function requestSpeech(user: TestUser): Promise<string> {
  const answer = await user.call("create-ai-job", {
    body: {
      job_type: "text_to_speech",
      metadata: { voice_id: ADAM, text: `Hello, ${user.id}.` },
    },
  });
  assertEquals(answer.status, 202, JSON.stringify(answer.body));
  return createAiJobResponseSchema.parse(answer.body).job_id;
}

/** Waits until `count` transactions wait for a lock on the table of objects. */
function untilStoring(stack: TestStack, count: number): Promise<void> {
  return waitUntil(`${count} uploads wait`, async () => {
    const [row] = await stack.sql<{ waiting: number }>`
      select count(*)::int as waiting from pg_locks
      where relation = 'storage.objects'::regclass and not granted`;
    return (row?.waiting ?? 0) >= count;
  });
}

Deno.test("an account that is deleted while twelve of its jobs store their output leaves no file", async () => {
  const stack = running();
  const users: TestUser[] = [];
  // Twice six: Storage has ten connections.
  for (const _round of [1, 2]) {
    const round = await Promise.all(
      Array.from({ length: 6 }, () => signUp(stack)),
    );
    users.push(...round);
    await using locking = stack.connect();
    await locking.sql.begin(async (sql) => {
      // The lock blocks writes, not reads.
      await sql`lock table storage.objects in share mode`;
      for (const user of round) await requestSpeech(user);
      await untilStoring(stack, 6);
      await sql`delete from auth.users where id = any (${
        round.map(({ id }) => id)
      })`;
    });
    // The workers have no job left.
    await waitForLog(
      stack,
      "process-ai-job",
      { event: "lease_lost" },
      users.length,
    );
  }
  await clean(stack);
  assertEquals(await filesOf(stack, users), []);
});

Deno.test("a job that is deleted while it stores its output: the worker that loses it removes the file", async () => {
  const stack = running();
  const user = await signUp(stack);
  await using locking = stack.connect();
  const jobId = await locking.sql.begin(async (sql) => {
    await sql`lock table storage.objects in share mode`;
    const jobId = await requestSpeech(user);
    await untilStoring(stack, 1);
    await sql`delete from public.ai_jobs where id = ${jobId}`;
    return jobId;
  });
  await waitForLog(stack, "process-ai-job", {
    event: "lost_files_removed",
    job_id: jobId,
  });
  assertEquals(await filesOf(stack, [user]), []);
});

Deno.test("deleting an account invalidates its upload URLs and tokens", async (t) => {
  const stack = running();
  const user = await signUp(stack);
  const bytes = await readRecording("speech.ogg");
  const drawn = await Promise.all(
    ["voice-samples", "uploads", "published-media"].map(async (bucket) => {
      const isImage = bucket === "published-media";
      const answer = await user.call("create-upload-url", {
        body: {
          bucket,
          file_name: isImage ? "me.png" : "speech.ogg",
          content_type: isImage ? "image/png" : "audio/ogg",
          size_bytes: bytes.byteLength,
        },
      });
      assertEquals(answer.status, 201, JSON.stringify(answer.body));
      return createUploadUrlResponseSchema.parse(answer.body);
    }),
  );
  const before = await uploadRecording(user);
  await stack.sql`delete from auth.users where id = ${user.id}`;
  for (const { bucket, upload_url, content_type } of drawn) {
    await t.step(`an upload URL of ${bucket}`, async () => {
      const response = await fetch(upload_url, {
        method: "PUT",
        headers: { "content-type": content_type },
        body: bytes,
      });
      const body = await response.text();
      assertEquals([response.ok, body.includes("account_not_found")], [
        false,
        true,
      ], body);
    });
  }
  await t.step("a token", async () => {
    const { error } = await user.client.storage.from("uploads").upload(
      `${user.id}/late.ogg`,
      bytes,
      { contentType: "audio/ogg" },
    );
    assert(error?.message.includes("account_not_found"), error?.message);
  });
  await t.step("existing files are removed", async () => {
    assertEquals(await filesOf(stack, [user]), [before]);
    await clean(stack);
    assertEquals(await filesOf(stack, [user]), []);
  });
});

Deno.test("janitor: finds unrecorded files of deleted accounts after the grace period", async () => {
  const stack = running();
  const user = await signUp(stack);
  const other = await signUp(stack);
  const mine = await uploadRecording(user);
  const kept = await uploadRecording(other);
  await requestVoice(other, kept);
  await stack.sql`delete from auth.users where id = ${user.id}`;
  await stack.sql`delete from private.storage_removals`;
  await stack
    .sql`update private.janitor_settings set file_scan_done_at = '-infinity'`;
  await clean(stack);
  assertEquals(await filesOf(stack, [user]), [mine], "within the grace");
  await stack
    .sql`update private.janitor_settings set orphan_grace_seconds = 0, file_scan_done_at = '-infinity'`;
  await clean(stack);
  assertEquals(await filesOf(stack, [user, other]), [kept]);
});
