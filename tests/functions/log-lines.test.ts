/** How much the functions log: hosted logs are billed by volume. docs/operations.md states the number. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import {
  callFunction,
  requestVoice,
  signUp,
  uploadRecording,
} from "../_support/as-user.ts";
import { useStack } from "../_support/stack.ts";
import { waitForJob, waitForLog } from "../_support/wait-for.ts";
import { claimedBy, dispatch } from "./_support/signed-dispatch.ts";

const running = useStack();

/** The events that a function has logged so far, in order. */
async function eventsOf(slug: string): Promise<string[]> {
  const lines = await waitForLog(running(), slug, '"event":');
  return lines.map(({ fields }) => String(fields?.["event"]));
}

Deno.test("log: a voice clone that succeeds writes as many lines as the docs say", async () => {
  const stack = running();
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  const jobId = await requestVoice(user, inputUrl, { voice_name: "Grandma" });
  await waitForJob(stack, user, jobId, "completed");
  await waitForLog(stack, "process-ai-job", { event: "job_completed" });
  // Both functions log their response after they have sent it.
  for (const slug of ["create-ai-job", "process-ai-job"]) {
    await waitForLog(stack, slug, { event: "request_answered" });
  }
  const events = [
    ...await eventsOf("create-ai-job"),
    ...await eventsOf("process-ai-job"),
  ];
  // The worker's run and the response to its dispatch log concurrently.
  assertEquals(events.toSorted(), [
    "dispatch_received",
    "job_completed",
    "job_created",
    "job_progress",
    "job_started",
    "provider_call_sent",
    "provider_call_settled",
    "request_answered",
    "request_answered",
  ]);
  const page = await Deno.readTextFile(
    new URL("../../docs/operations.md", import.meta.url),
  );
  assertStringIncludes(
    page.replaceAll(/\s+/g, " "),
    `succeeds immediately writes ${events.length} lines.`,
  );
});

Deno.test("log: a dispatch that finds nothing to claim, and a probe of health, write no line", async () => {
  const stack = running();
  const before = await eventsOf("process-ai-job");
  assertEquals(
    claimedBy(await dispatch(stack, { jobIds: [crypto.randomUUID()] })),
    [],
  );
  assertEquals((await callFunction(stack, "health")).status, 200);
  // A worker without a free slot logs that; it is not an idle dispatch.
  const steps = (events: string[]) =>
    events.filter((event) => event !== "claim_refused");
  assertEquals(steps(await eventsOf("process-ai-job")), steps(before));
});
