/** Workers that are killed at moments where that could cost money or lose a job. */
import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import {
  requestVoice,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { assertDoneOnce, jobFacts } from "../_support/job-facts.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import {
  sweepJob,
  timeline,
  waitForEvent,
  waitForJob,
  waitUntil,
} from "../_support/wait-for.ts";

const running = useStack();
let sharedUser: TestUser | undefined;

async function newJob(
  stack: TestStack,
): Promise<{ user: TestUser; jobId: string }> {
  const user = sharedUser ??= await signUp(stack);
  return { user, jobId: await requestVoice(user, await uploadRecording(user)) };
}

/** A job whose worker was killed during its provider call. */
async function killInCall(
  stack: TestStack,
  processed: "before" | "after" | "never",
): Promise<{ user: TestUser; jobId: string }> {
  await stack.simulator.fail({ fault: { kind: "hang", processed } });
  const { user, jobId } = await newJob(stack);
  await stack.simulator.requests("voices.add", { jobId, atLeast: 1 });
  if (processed === "before") await stack.simulator.creationsOf(jobId, 1);
  const before = await stack.pids("process-ai-job");
  await stack.kill("process-ai-job", "SIGKILL");
  const after = await stack.pids("process-ai-job");
  assertEquals(
    after.filter((pid) => before.includes(pid)),
    [],
    "the killed process is gone",
  );
  return { user, jobId };
}

/** Expires the dead worker's lease and runs the sweep. */
async function endLease(stack: TestStack, jobId: string): Promise<void> {
  await stack.sql`
    update public.ai_jobs set lease_expires_at = now() - interval '1 second'
    where id = ${jobId} and status = 'processing'`;
  await stack.sweep();
}

Deno.test("a killed worker: until its lease expires, the sweep leaves its job alone", async () => {
  const stack = running();
  const { user, jobId } = await killInCall(stack, "before");
  await stack.sql`
    update public.ai_jobs set lease_expires_at = now() + interval '1 hour' where id = ${jobId}`;
  await stack.sweep();
  const facts = await jobFacts(stack, jobId);
  assertEquals(
    [facts.status, facts.stage, facts.journal[0]?.outcome],
    ["processing", "calling_provider", "sent"],
  );
  await endLease(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
});

Deno.test("a worker killed after the provider created the voice: the next one finds it and sends nothing", async () => {
  const stack = running();
  const { user, jobId } = await killInCall(stack, "before");
  // The owner may delete the recording in the meantime: the voice that exists needs none.
  const { data: job } = await user.client.from("ai_jobs").select("input_url")
    .eq("id", jobId).single();
  const [bucket = "", ...path] = String(job?.input_url).split("/");
  const removal = await user.client.storage.from(bucket).remove([
    path.join("/"),
  ]);
  assertEquals([removal.error, removal.data?.length], [null, 1]);
  await endLease(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");

  const facts = await assertDoneOnce(stack, jobId);
  assertEquals(facts.attempt, 2);
  assertEquals(facts.billableCalls, 1);
  assertEquals(facts.journal.map(({ outcome }) => outcome), ["adopted"]);
  assertEquals(facts.events.slice(3), [
    "submitted",
    "rescued",
    "claimed",
    "progress",
    "settled",
    "completed",
  ]);
});

Deno.test("a worker killed before the provider created anything: the next one queries, then creates one voice", async () => {
  const stack = running();
  const { user, jobId } = await killInCall(stack, "never");
  await endLease(stack, jobId);
  await waitForEvent(stack, jobId, "snoozed");
  assertEquals((await jobFacts(stack, jobId)).paid, []);

  await stack.sql`
    update public.ai_provider_calls set sent_at = sent_at - interval '1 hour', unknown_since = unknown_since - interval '1 hour' where job_id = ${jobId}`;
  await sweepJob(stack, jobId);
  await waitForEvent(stack, jobId, "retried");
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  const facts = await assertDoneOnce(stack, jobId);
  assertEquals(facts.journal.map(({ outcome }) => outcome), [
    "absent",
    "succeeded",
  ]);
});

Deno.test("a worker killed during the call: a voice created afterwards is found and not created again", async () => {
  const stack = running();
  const { user, jobId } = await killInCall(stack, "after");
  await endLease(stack, jobId);
  await waitForEvent(stack, jobId, "snoozed");
  await stack.simulator.release();
  await stack.simulator.creationsOf(jobId, 1);
  await sweepJob(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  const facts = await assertDoneOnce(stack, jobId);
  assertEquals(facts.billableCalls, 1);
});

Deno.test("a worker killed during the last attempt's call: one more claim finds the voice", async () => {
  const stack = running();
  await stack.sql`update public.ai_job_types set max_attempts = 1`;
  try {
    const { user, jobId } = await killInCall(stack, "before");
    await endLease(stack, jobId);
    await waitForJob(stack, user, jobId, "completed");
    await assertDoneOnce(stack, jobId);
  } finally {
    await stack.sql`update public.ai_job_types set max_attempts = 5`;
  }
});

/**
 * Runs a job until the provider has responded and the completion waits for a lock. Then calls `spoil` with the waiting
 * database sessions, and releases the lock when they no longer wait.
 */
async function spoilCompletion(
  stack: TestStack,
  spoil: (admin: postgres.Sql, pids: number[]) => Promise<void>,
): Promise<{ user: TestUser; jobId: string }> {
  await stack.simulator.fail({ fault: { kind: "hang", processed: "after" } });
  const { user, jobId } = await newJob(stack);
  await stack.simulator.requests("voices.add", { jobId, atLeast: 1 });

  const admin = postgres(stack.adminDbUrl, { max: 1, onnotice: () => {} });
  const completing = async () => {
    const rows = await admin<{ pid: number }[]>`
      select a.pid from pg_stat_activity as a join pg_locks as l on l.pid = a.pid
      where not l.granted and l.relation = 'public.voices'::regclass`;
    return rows.map(({ pid }) => pid);
  };
  await using locking = stack.connect();
  try {
    await locking.sql.begin(async (sql) => {
      // The completion, which also settles the call, writes the voices row.
      await sql`lock table public.voices in exclusive mode`;
      await stack.simulator.release();
      await waitUntil(
        "the completion waits for the lock",
        async () => (await completing()).length > 0,
      );
      await spoil(admin, await completing());
      await waitUntil(
        "the completion is gone",
        async () => (await completing()).length === 0,
      );
    });
  } finally {
    await admin.end({ timeout: 1 });
  }
  return { user, jobId };
}

Deno.test("a worker killed between the response and its completion: the next finds the voice and sends nothing", async () => {
  const stack = running();
  const { user, jobId } = await spoilCompletion(stack, async (admin, pids) => {
    await stack.kill("process-ai-job", "SIGKILL");
    // Without this its statement would still succeed, because the services that it called are running.
    for (const pid of pids) await admin`select pg_cancel_backend(${pid})`;
  });
  const before = await jobFacts(stack, jobId);
  assertEquals(
    [before.status, before.journal[0]?.outcome, before.voices],
    ["processing", "sent", []],
  );

  await endLease(stack, jobId);
  await waitForJob(stack, user, jobId, "completed");
  const facts = await assertDoneOnce(stack, jobId);
  assertEquals(facts.attempt, 2);
  assertEquals(facts.billableCalls, 1);
  assertEquals(facts.journal.map(({ outcome }) => outcome), ["adopted"]);
});

Deno.test("a completion that the database cancels is retried: the same attempt writes the row, sends nothing", async () => {
  const stack = running();
  const { user, jobId } = await spoilCompletion(stack, async (admin, pids) => {
    for (const pid of pids) await admin`select pg_cancel_backend(${pid})`;
  });
  await waitForJob(stack, user, jobId, "completed");
  const facts = await assertDoneOnce(stack, jobId);
  assertEquals([facts.attempt, facts.billableCalls], [1, 1]);
  const steps = timeline(await waitForEvent(stack, jobId, "completed"));
  assertEquals(
    steps.filter((step) => ["claimed", "completed"].includes(step)),
    ["claimed", "completed"],
  );
});

Deno.test("a worker killed with five running jobs: all complete, each paid for once", async () => {
  const stack = running();
  await stack.simulator.fail({
    times: 5,
    fault: { kind: "hang", processed: "before" },
  });
  const jobs = await Promise.all(
    Array.from({ length: 5 }, () => newJob(stack)),
  );
  for (const { jobId } of jobs) await stack.simulator.creationsOf(jobId, 1);
  await stack.kill("process-ai-job", "SIGKILL");
  await stack.sql`
    update public.ai_jobs set lease_expires_at = now() - interval '1 second' where status = 'processing'`;
  await stack.sweep();
  for (const { user, jobId } of jobs) {
    await waitForJob(stack, user, jobId, "completed");
    await assertDoneOnce(stack, jobId);
  }
});

Deno.test("a slow provider: heartbeats keep the lease, and the sweep leaves the job alone", async () => {
  const stack = running();
  await stack.simulator.fail({ fault: { kind: "hang", processed: "after" } });
  const { user, jobId } = await newJob(stack);
  await stack.simulator.requests("voices.add", { jobId, atLeast: 1 });
  const lease = async () => {
    const [row] = await stack.sql<{ lease: Date }>`
      select lease_expires_at as lease from public.ai_jobs where id = ${jobId}`;
    return row?.lease.getTime() ?? 0;
  };
  const first = await lease();
  await waitUntil(
    "two heartbeats",
    async () => await lease() > first + 4000,
  );
  await stack.sweep();
  await stack.simulator.release();
  await waitForJob(stack, user, jobId, "completed");
  const facts = await assertDoneOnce(stack, jobId);
  assertEquals(facts.attempt, 1);
  assertEquals(facts.events.filter((event) => event === "rescued"), []);
});

Deno.test("a database session that ends during a read: that request fails, and the next one succeeds", async () => {
  const stack = running();
  const user = sharedUser ??= await signUp(stack);
  // Not supabase-js, which would retry until the lock is released.
  const read = async () => {
    const response = await fetch(`${stack.apiUrl}/rest/v1/voices?select=id`, {
      headers: {
        apikey: stack.publishableKey,
        authorization: `Bearer ${user.accessToken}`,
      },
    });
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await read(), 200);
  const admin = postgres(stack.adminDbUrl, { max: 1, onnotice: () => {} });
  await using locking = stack.connect();
  try {
    await locking.sql.begin(async (sql) => {
      await sql`lock table public.voices in access exclusive mode`;
      const reading = read();
      await waitUntil("the read waits and is ended", async () => {
        const ended = await admin`
          select pg_terminate_backend(a.pid) from pg_stat_activity as a join pg_locks as l on l.pid = a.pid
          where not l.granted and l.relation = 'public.voices'::regclass`;
        return ended.length > 0;
      });
      assert(await reading >= 500);
    });
  } finally {
    await admin.end({ timeout: 1 });
  }
  assertEquals(await read(), 200);
});
