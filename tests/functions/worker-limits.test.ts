/** Work that needs more processor time than an isolate has: how often it is attempted, and how it ends. */
import { assert, assertEquals } from "@std/assert";
import { signUp } from "../_support/as-user.ts";
import { addPhoto, addSlideshow, readPhoto } from "../_support/keepsakes.ts";
import { useStack } from "../_support/stack.ts";
import {
  sweepJob,
  timeline,
  waitForEvent,
  waitForLog,
  waitUntil,
} from "../_support/wait-for.ts";

/** Milliseconds: more than a claim needs, less than the fonts of any keepsake. */
const running = useStack({ cpuMs: 150 });

Deno.test(
  "pdf_render: a job whose isolates exceed their processor time spends its attempts and fails by name",
  { ignore: Deno.build.os !== "linux" },
  async () => {
    const stack = running();
    const user = await signUp(stack);
    const photo = await addPhoto(user, await readPhoto("progressive.jpg"));
    // Its pages need several times the limit, so that the supervisor notices on a busy machine too.
    const slideshow = await addSlideshow(
      user,
      Array.from({ length: 40 }, (_, number) => ({
        media_id: photo.id,
        caption: `${number}: ${"A long summer by the sea. ".repeat(15)}`,
      })),
    );
    await stack.sql`
      update public.ai_job_types
      set lease_seconds = 4, backoff_base_seconds = 1, backoff_max_seconds = 1
      where job_type = 'pdf_render'`;
    const { data, error } = await user.client.from("ai_jobs").insert({
      job_type: "pdf_render",
      metadata: { slideshow_id: slideshow },
    }).select("id").single();
    assertEquals(error, null);
    assert(data !== null);

    const read = async () => {
      const [job] = await stack.sql<{
        status: string;
        attempt: number;
        max_attempts: number;
        error_code: string;
      }>`
        select status, attempt, max_attempts, error_code from public.ai_jobs where id = ${data.id}`;
      assert(job !== undefined);
      return job;
    };
    await waitUntil("the job has ended", async () => {
      await sweepJob(stack, data.id);
      return ["completed", "failed"].includes((await read()).status);
    }, 90);
    const job = await read();
    assertEquals(job.status, "failed");
    const events = timeline(await waitForEvent(stack, data.id, "failed"));
    assertEquals(job.attempt, job.max_attempts);
    // A job that is released before its work starts spends no attempt, and neither does a finished part.
    const count = (names: string[]) =>
      events.filter((event) => names.includes(event)).length;
    assertEquals(
      count(["claimed"]) - count(["released", "snoozed"]),
      job.max_attempts,
    );
    // If the isolate had no time to report, the expired lease shows its end.
    assert(
      ["worker_limit_exceeded", "lease_expired"].includes(job.error_code),
      job.error_code,
    );
    await waitForLog(stack, "render-ai-job", "CPU time hard limit reached");
    const left = await stack.sql`
      select from public.ai_job_checkpoints where job_id = ${data.id}`;
    assertEquals(left.length, 0);
  },
);
