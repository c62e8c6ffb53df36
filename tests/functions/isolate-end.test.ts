/** The announced end of an isolate: what waits is handed back, a paid call is waited for, nothing is done twice. */
import { assertEquals } from "@std/assert";
import { requestVoice, signUp, uploadRecording } from "../helpers/as-user.ts";
import { assertDoneOnce, jobFacts } from "../helpers/job-facts.ts";
import { useStack } from "../helpers/stack.ts";
import {
  sweepJob,
  waitForEvent,
  waitForJob,
  waitForLog,
} from "../helpers/wait-for.ts";

/** The end is announced after nine tenths of it, counted from the first request; new requests go elsewhere after half. */
const running = useStack({ wallClockMs: 7000 });

Deno.test("the end of an isolate: a job that waits for Storage is handed back, a paid call in flight is finished", async () => {
  const stack = running();
  const user = await signUp(stack);
  const [first, second] = [
    await uploadRecording(user),
    await uploadRecording(user),
  ];
  await stack.simulator.fail({ fault: { kind: "hang", processed: "before" } });
  const paying = await requestVoice(user, first);
  await stack.simulator.creationsOf(paying, 1);
  await stack.pauseNet();
  const waiting = await requestVoice(user, second);

  await using locking = stack.connect();
  await locking.sql.begin(async (sql) => {
    // Jobs can be worked on, and no object can be read: the download hangs.
    await sql`lock table storage.objects in access exclusive mode`;
    await stack.resumeNet();
    await waitForLog(stack, "process-ai-job", "shutdown announced: wall_clock");
    await stack.simulator.release();
    await waitForEvent(stack, waiting, "released");
    await waitForJob(stack, user, paying, "completed");
  });

  const finished = await assertDoneOnce(stack, paying);
  assertEquals(finished.attempt, 1);
  const released = await jobFacts(stack, waiting);
  assertEquals(
    [released.status, released.attempt, released.paid, released.isPostponed],
    ["pending", 0, [], false],
  );

  // The isolate after it takes the job that was handed back.
  await sweepJob(stack, waiting);
  await waitForJob(stack, user, waiting, "completed");
  assertEquals((await assertDoneOnce(stack, waiting)).attempt, 1);
});

Deno.test("the end of an isolate: a call that outlives it is found by the next one, not sent again", async () => {
  const stack = running();
  const user = await signUp(stack);
  await stack.simulator.fail({ fault: { kind: "hang", processed: "before" } });
  const jobId = await requestVoice(user, await uploadRecording(user));
  await stack.simulator.requests("voices.add", { jobId, atLeast: 1 });
  await waitForLog(stack, "process-ai-job", "wall clock duration reached");
  await stack.sql`
    update public.ai_jobs set lease_expires_at = now() - interval '1 second' where id = ${jobId}`;
  await stack.sweep();
  await waitForJob(stack, user, jobId, "completed");
  const facts = await assertDoneOnce(stack, jobId);
  assertEquals(facts.journal.map(({ outcome }) => outcome), ["adopted"]);
});
