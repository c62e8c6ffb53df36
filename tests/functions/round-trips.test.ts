/** The round trips of a job: every call of process-ai-job to the project, counted in the database. */
import { assertEquals } from "@std/assert";
import postgres from "postgres";
import { requestVoice, signUp, uploadRecording } from "../_support/as-user.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import { waitForJob, waitUntil } from "../_support/wait-for.ts";

const running = useStack();

/** The calls of one voice clone, from its dispatch to the claim that finds nothing more. */
const ONE_JOB = {
  // Includes the lookup in the result cache.
  claim_dispatched_ai_jobs: 1,
  "storage download": 1,
  // Includes the report of its first step.
  begin_provider_calls: 1,
  // Includes the settlement of its call, and the entry in the result cache.
  complete_ai_jobs: 1,
  claim_ai_jobs: 1,
};

/** The calls of service_role since the last reset: functions by name, and reads of stored objects. */
async function calledByService(
  stack: TestStack,
): Promise<{ calls: Record<string, number>; transactions: number }> {
  await using admin = asAdmin(stack);
  const rows = await admin.sql<{ query: string; calls: number }[]>`
    select s.query, s.calls::integer
    from extensions.pg_stat_statements as s
    join pg_catalog.pg_roles as r on r.oid = s.userid
    where s.toplevel and r.rolname = 'service_role'`;
  const calls: Record<string, number> = {};
  let transactions = 0;
  for (const { query, calls: times } of rows) {
    const name = /from public\.(\w+)\(/.exec(query)?.[1] ??
      (query.includes(`from "storage"."objects"`)
        ? "storage download"
        : undefined);
    if (name !== undefined) calls[name] = (calls[name] ?? 0) + times;
    if (query === "commit") transactions += times;
  }
  return { calls, transactions };
}

/** Whether the worker has made its last, empty claim, and every transaction is committed. */
async function isIdle(stack: TestStack): Promise<boolean> {
  const { calls, transactions } = await calledByService(stack);
  const total = Object.values(calls).reduce((sum, times) => sum + times, 0);
  return calls["claim_ai_jobs"] === 1 && transactions >= total;
}

function asAdmin(stack: TestStack) {
  const sql = postgres(stack.adminDbUrl, { max: 1, onnotice: () => {} });
  return { sql, [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }) };
}

Deno.test("round trips: a voice clone costs five, including its claim and the last, empty claim", async () => {
  const stack = running();
  const owner = await signUp(stack);
  const warmUp = await requestVoice(owner, await uploadRecording(owner));
  await waitForJob(stack, owner, warmUp, "completed");
  const input = await uploadRecording(owner);
  await waitUntil(
    "the worker is idle, and everything is committed",
    async () => await isIdle(stack),
  );
  {
    await using admin = asAdmin(stack);
    await admin.sql`select extensions.pg_stat_statements_reset()`;
  }

  const jobId = await requestVoice(owner, input);
  await waitForJob(stack, owner, jobId, "completed");
  await waitUntil(
    "the worker is idle again",
    async () => await isIdle(stack),
  );
  const { calls, transactions } = await calledByService(stack);
  // A slow download sends the report and extends the lease meanwhile.
  const { heartbeat_ai_jobs: heartbeats = 0, ...others } = calls;
  assertEquals(others, ONE_JOB);
  assertEquals(
    transactions - heartbeats,
    5,
    "each of them one transaction, and no other",
  );
});
