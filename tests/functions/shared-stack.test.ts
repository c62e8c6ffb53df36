/** One stack serves many test files. Each finds it in its initial state, so that no file depends on those before it. */
import { assertEquals, assertRejects } from "@std/assert";
import {
  requestVoice,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { startOwnStack, type TestStack } from "../_support/stack.ts";
import { waitForJob } from "../_support/wait-for.ts";

/** The rows and files that a test file can leave behind, and those of the migrations. */
async function contents(stack: TestStack) {
  const [row] = await stack.sql`
    select
      (select count(*)::int from auth.users) as users,
      (select count(*)::int from public.ai_jobs) as jobs,
      (select count(*)::int from public.ai_job_events) as events,
      (select count(*)::int from storage.objects) as objects,
      (select count(*)::int from net._http_response) as answers,
      (select jsonb_agg(t order by t.job_type) from public.ai_job_types as t) as types,
      (select jsonb_agg(b.id order by b.id) from storage.buckets as b) as buckets`;
  return row;
}

async function completeVoice(stack: TestStack): Promise<TestUser> {
  const user = await signUp(stack);
  const id = await requestVoice(user, await uploadRecording(user));
  await waitForJob(stack, user, id, "completed");
  return user;
}

Deno.test("shared stack: the next file finds no data, log or process of the last, and its own variables", async (t) => {
  const { stack, stop } = await startOwnStack();
  try {
    const initialContents = await contents(stack);
    assertEquals(await stack.ask("/claim", {}), true);
    await t.step("one file uses it at a time", async () => {
      assertEquals(await stack.ask("/claim", {}), false);
    });
    await completeVoice(stack);
    await stack.sql`update public.ai_job_types set lease_seconds = 77`;
    const [before] = await stack.pids("process-ai-job");
    await stack.ask("/release", null);

    const [{ released } = { released: new Date(0) }] = await stack
      .sql<{ released: Date }>`select now() as released`;

    assertEquals(
      await stack.ask("/claim", { env: { LOG_LEVEL: "debug" } }),
      true,
    );
    assertEquals(await contents(stack), initialContents);
    const stale = await stack.sql`
      select name from private.ai_schedule_runs where last_run_at < ${released}`;
    assertEquals([...stale], []);
    assertEquals(await stack.pids("process-ai-job"), []);
    const logs = { source: null, fields: {}, text: "" };
    assertEquals((await stack.ask("/logs", logs)).lines, []);

    await t.step("it works like a new stack", async () => {
      await stack.simulator.reset();
      const user = await completeVoice(stack);
      assertEquals((await stack.simulator.creations()).length, 1);
      const [after] = await stack.pids("process-ai-job");
      assertEquals([after === undefined, after === before], [false, false]);
      // This line is logged only at the level debug.
      await user.call("get-ai-job", { query: "?job_id=none" });
      const debug = {
        ...logs,
        fields: { level: "debug" },
        at_least: 1,
        within_ms: 10_000,
      };
      assertEquals((await stack.ask("/logs", debug)).reached, true);
    });
    await stack.ask("/release", null);

    await t.step("a changed schema is named until it is restored", async () => {
      await stack
        .sql`alter table public.ai_jobs add constraint left_behind check (true)`;
      await assertRejects(
        () => stack.ask("/claim", {}),
        Error,
        "left_behind",
      );
      await stack.sql`alter table public.ai_jobs drop constraint left_behind`;
      assertEquals(await stack.ask("/claim", {}), true);
    });
  } finally {
    await stop();
  }
});
