/** The trace of a job: its caller's or one of the database's, kept with the job and in its journal. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { insertAs, voiceClone } from "./_support/new-jobs.ts";
import {
  claimJob,
  insertJob,
  refusalOf,
  uploadSample,
  withQueue,
} from "./_support/factories.ts";

const ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT = `00-${ID}-00f067aa0ba902b7-01`;

Deno.test("traces: a job without a trace gets its own, and no two get the same", async () => {
  await withQueue(async ({ db }) => {
    await insertJob(db);
    await insertJob(db);
    const rows = await db.sql<{ traceparent: string }[]>`
      select traceparent from public.ai_jobs`;
    for (const { traceparent } of rows) {
      assertMatch(traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    }
    assertEquals(new Set(rows.map((row) => row.traceparent)).size, 2);
  });
});

Deno.test("traces: an app may send its own with a plain insert, and it is in the journal of the job", async () => {
  await withQueue(async ({ db, queue }) => {
    const { id: userId } = await db.createUser();
    const job = await insertAs(db, userId, {
      ...voiceClone(db, await uploadSample(db, userId)),
      traceparent: TRACEPARENT,
    });
    await queue.begin(await claimJob({ db, queue }, job.id));
    const [call] = await db.asUser(userId, (sql) =>
      sql<{ trace_id: string }[]>`
        select trace_id from public.ai_provider_calls where job_id = ${job.id}`);
    assert(call !== undefined);
    assertEquals(call.trace_id, ID);
  });
});

Deno.test("traces: one that is malformed is refused by name", async () => {
  await withQueue(async ({ db }) => {
    const { id: userId } = await db.createUser();
    const columns = voiceClone(db, await uploadSample(db, userId));
    for (
      const traceparent of [
        "",
        TRACEPARENT.toUpperCase(),
        TRACEPARENT.replace(ID, "0".repeat(32)),
        `${TRACEPARENT}-00`,
      ]
    ) {
      const { code, constraint } = await refusalOf(() =>
        insertAs(db, userId, { ...columns, traceparent })
      );
      assertEquals([code, constraint], [
        "23514",
        "ai_jobs_traceparent_is_valid",
      ]);
    }
  });
});
