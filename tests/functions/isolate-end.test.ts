/** The announced end of an isolate: unpaid work is released, a paid call is awaited, nothing is done twice. */
import { assertEquals } from "@std/assert";
import { requestVoice, signUp, uploadRecording } from "../_support/as-user.ts";
import { assertDoneOnce, jobFacts } from "../_support/job-facts.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import {
  sweepJob,
  waitForEvent,
  waitForJob,
  waitForLog,
  waitUntil,
} from "../_support/wait-for.ts";

/** The longest life of a hosted isolate. Only this test's `advance` brings one near to its end. */
const WALL_CLOCK_SECONDS = 400;
const running = useStack({
  wallClockMs: WALL_CLOCK_SECONDS * 1000,
  env: { ISOLATE_WALL_CLOCK: String(WALL_CLOCK_SECONDS) },
});
const pass = (stack: TestStack, part: number) =>
  stack.advance(WALL_CLOCK_SECONDS * 1000 * part);

Deno.test("the end of an isolate: unpaid work is released, a response is awaited, and a cut-off call is found", async () => {
  const stack = running();
  // Leases outlive the isolate, however slow the machine is: this test ends the one of the call that is cut off.
  await stack.sql`
    update public.ai_job_types set lease_seconds = 300 where job_type = 'voice_clone'`;
  const user = await signUp(stack);
  const newInput = () => uploadRecording(user);
  const [first, second, third] = [
    await newInput(),
    await newInput(),
    await newInput(),
  ];
  await stack.simulator.fail(
    { fault: { kind: "hang", processed: "before" } },
    { fault: { kind: "delay", ms: 60_000, processed: "before" } },
  );
  const answered = await requestVoice(user, first);
  await stack.simulator.creationsOf(answered, 1);
  const unanswered = await requestVoice(user, second);
  await stack.simulator.creationsOf(unanswered, 1);
  await stack.pauseNet();
  const waiting = await requestVoice(user, third);

  await using locking = stack.connect();
  await locking.sql.begin(async (sql) => {
    // Jobs can run, but no object can be read: the download hangs.
    await sql`lock table storage.objects in access exclusive mode`;
    await stack.resumeNet();
    await waitForEvent(stack, waiting, "claimed");
    await waitUntil("the download hangs", async () => {
      const waiters = await stack.sql`
        select 1 from pg_locks where not granted and relation = 'storage.objects'::regclass`;
      return waiters.length > 0;
    });
    // No other isolate may run the job yet: its clock would be advanced, too, and its lease be over.
    await stack.pauseNet();
    await pass(stack, 0.9);
    await waitForLog(stack, "process-ai-job", "shutdown announced: wall_clock");
    await stack.simulator.release();
    const events = await waitForEvent(stack, waiting, "released");
    assertEquals(
      events.find(({ event }) => event === "released")?.attempt,
      0,
    );
    await waitForJob(stack, user, answered, "completed");
    await pass(stack, 0.1);
    await waitForLog(stack, "process-ai-job", "wall clock duration reached");
    const released = await jobFacts(stack, waiting);
    assertEquals([released.paid, released.isPostponed], [[], false]);
    await stack.resumeNet();
  });

  const finished = await assertDoneOnce(stack, answered);
  assertEquals(finished.attempt, 1);
  const killed = await jobFacts(stack, unanswered);
  assertEquals(
    [killed.status, killed.journal[0]?.outcome],
    ["processing", "sent"],
  );

  // The next isolate claims the released job, and queries the provider about the one that was cut off.
  await stack.sql`
    update public.ai_jobs set lease_expires_at = now() - interval '1 second' where id = ${unanswered}`;
  await sweepJob(stack, waiting);
  await waitForJob(stack, user, waiting, "completed");
  assertEquals((await assertDoneOnce(stack, waiting)).attempt, 1);
  await waitForJob(stack, user, unanswered, "completed");
  const found = await assertDoneOnce(stack, unanswered);
  assertEquals(found.journal.map(({ outcome }) => outcome), ["adopted"]);
});
