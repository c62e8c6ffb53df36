/** Idle time does not age an isolate: a job is claimed immediately, and the janitor has time for its work. */
import { assert, assertEquals } from "@std/assert";
import { requestVoice, signUp, uploadRecording } from "../_support/as-user.ts";
import { useStack } from "../_support/stack.ts";
import { waitForJob, waitForLog } from "../_support/wait-for.ts";

/** Longer than an isolate lives. */
const IDLE_MS = 160_000;

const running = useStack();

Deno.test("isolate clock: after idling longer than an isolate lives, a job is claimed unswept", async (t) => {
  const stack = running();
  const user = await signUp(stack);
  for (
    const before of ["nothing", "another job, by an isolate that has grown old"]
  ) {
    await t.step(`before it: ${before}`, async () => {
      await stack.advance(IDLE_MS);
      // The successor of the old isolate is ready, as it would be after that time.
      await stack.ask("/functions/origin", "process-ai-job");
      const jobId = await requestVoice(user, await uploadRecording(user));
      // Nothing sweeps in this ring: a dispatch that an old isolate refused would leave the job waiting.
      await waitForJob(stack, user, jobId, "completed");
    });
  }
  assertEquals(
    (await stack.ask("/logs", {
      source: "function:process-ai-job",
      fields: { event: "claim_refused" },
    })).lines,
    [],
  );
});

Deno.test("isolate clock: the janitor scans the providers' lists on schedule, 15 minutes after the last run", async () => {
  const stack = running();
  await stack
    .sql`update private.janitor_settings set scan_interval_seconds = 0`;
  for (const run of [1, 2]) {
    await stack.advance(900_000);
    await stack.ask("/functions/origin", "janitor");
    await stack.runSchedule("run-janitor");
    const lines = await waitForLog(
      stack,
      "janitor",
      { event: "janitor_done" },
      run,
    );
    const pages = Number(lines.at(-1)?.fields?.["pages_read"]);
    assert(pages >= 3, `${pages} pages of three providers`);
  }
});
