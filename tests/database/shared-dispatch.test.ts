/** Inserts that share a dispatch: which of them rely on one that is in flight, and that none is left behind. */
import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import { z } from "zod";
import {
  backendOf,
  type Bench,
  untilBlocked,
  uploadSample,
  withQueue,
} from "./_support/factories.ts";
import { queueOver } from "./_support/queue.ts";

const sentSchema = z.array(z.object({ id: z.string() }));

/** A project that dispatches; its jobs can be inserted over any connection. */
function withDispatch(
  run: (
    bench: Bench & { insert(sql: postgres.ISql): Promise<string> },
  ) => Promise<void>,
): Promise<void> {
  return withQueue(async (bench) => {
    const { db } = bench;
    await db
      .sql`select vault.create_secret('https://project.supabase.co', 'project_url')`;
    await db.sql`select vault.create_secret(${`whsec_${
      btoa("0123456789abcdefghijklmnopqrstuv")
    }`}, 'dispatch_secret')`;
    await run({
      ...bench,
      // Each of a separate owner: those of one owner wait for each other anyway.
      async insert(sql) {
        const { id: userId } = await db.createUser();
        const inputUrl = await uploadSample(db, userId);
        const [row] = await sql<{ id: string }[]>`
          insert into public.ai_jobs (user_id, job_type, input_url, metadata)
          values (${userId}, 'voice_clone', ${inputUrl}, '{"voice_name": "Grandpa"}') returning id`;
        assert(row !== undefined);
        return row.id;
      },
    });
  });
}

/** Message ids of the calls that are queued, oldest first. */
async function sent({ db }: Bench): Promise<string[]> {
  return sentSchema.parse([
    ...await db.sql`
      select headers ->> 'webhook-id' as id from net.http_request_queue order by id`,
  ]).map(({ id }) => id);
}

/** However long this machine takes: the dispatches that were sent stay on their way. */
async function keepOnTheirWay({ db }: Bench): Promise<void> {
  await db.sql`update private.pending_dispatches set sent_at = 'infinity'`;
}

async function claim(
  sql: postgres.ISql,
  messageId: string | undefined,
): Promise<string[]> {
  const [row] = await sql<{ now: number }[]>`
    select extract(epoch from clock_timestamp())::float8 as now`;
  assert(row !== undefined && messageId !== undefined);
  const jobs = await queueOver(sql).claimDispatched(messageId, row.now, 10);
  return jobs.map(({ id }) => id).sort();
}

Deno.test("dispatch: inserts during a dispatch send no other, and the claim that it causes includes their jobs", async () => {
  await withDispatch(async (bench) => {
    const { db, insert } = bench;
    const ids = [await insert(db.sql)];
    await keepOnTheirWay(bench);
    for (let n = 0; n < 4; n++) ids.push(await insert(db.sql));
    const messages = await sent(bench);
    assertEquals(messages.length, 1);
    assertEquals(await claim(db.sql, messages[0]), ids.sort());
    await insert(db.sql);
    assertEquals((await sent(bench)).length, 2, "the first is answered");
  });
});

Deno.test("dispatch: no insert relies on one that is rolled back or not committed yet", async () => {
  await withDispatch(async (bench) => {
    const { db, insert } = bench;
    const [other] = await db.connections(1);
    assert(other !== undefined);
    await other.begin(async (sql) => {
      await insert(sql);
      await insert(db.sql);
      assertEquals((await sent(bench)).length, 1, "its own, not the other's");
      await db.sql`delete from private.pending_dispatches`;
      throw new Error("rolled back");
    }).catch((error) => assertEquals(error.message, "rolled back"));
    await insert(db.sql);
    assertEquals((await sent(bench)).length, 2);
  });
});

Deno.test("dispatch: no insert relies on one that has been in flight for half a second", async () => {
  await withDispatch(async (bench) => {
    const { db, insert } = bench;
    await insert(db.sql);
    await db.sql`
      update private.pending_dispatches set sent_at = sent_at - interval '500 milliseconds'`;
    await insert(db.sql);
    assertEquals((await sent(bench)).length, 2);
  });
});

Deno.test("claim_dispatched_ai_jobs: it waits for an insert that relies on its dispatch, and claims that job", async () => {
  await withDispatch(async (bench) => {
    const { db, insert } = bench;
    // However long this machine takes until it sees that the claim waits.
    await db
      .sql`alter function private.wait_for_relying_inserts(text) reset lock_timeout`;
    const [inserting, claiming] = await db.connections(2);
    assert(inserting !== undefined && claiming !== undefined);
    const first = await insert(db.sql);
    await keepOnTheirWay(bench);
    const [message] = await sent(bench);
    const pid = await backendOf(claiming);
    const { second, taken } = await inserting.begin(async (sql) => {
      const second = await insert(sql);
      const taken = claim(claiming, message);
      await untilBlocked(db, pid);
      return { second, taken };
    });
    assertEquals((await sent(bench)).length, 1);
    assertEquals(await taken, [first, second].sort());
  });
});

Deno.test("dispatch: an insert during the claim that a dispatch causes sends its own", async () => {
  await withDispatch(async (bench) => {
    const { db, insert } = bench;
    const [claiming] = await db.connections(1);
    assert(claiming !== undefined);
    await insert(db.sql);
    await keepOnTheirWay(bench);
    const [message] = await sent(bench);
    await claiming.begin(async (sql) => {
      assertEquals((await claim(sql, message)).length, 1);
      await insert(db.sql);
      assertEquals((await sent(bench)).length, 2);
    });
  });
});

Deno.test("claim_dispatched_ai_jobs: an insert whose transaction stays open does not delay it", async () => {
  await withDispatch(async (bench) => {
    const { db, insert } = bench;
    const [inserting] = await db.connections(1);
    assert(inserting !== undefined);
    const first = await insert(db.sql);
    await keepOnTheirWay(bench);
    const [message] = await sent(bench);
    await inserting.begin(async (sql) => {
      await insert(sql);
      assertEquals(await claim(db.sql, message), [first]);
    });
    await db.sql`select private.sweep_ai_jobs()`;
    assertEquals((await sent(bench)).length, 2, "the sweep finds the other");
  });
});

Deno.test("dispatch: workers do not rely on each other's", async () => {
  await withDispatch(async (bench) => {
    const { db, insert } = bench;
    await insert(db.sql);
    await keepOnTheirWay(bench);
    await db.sql`
      update public.ai_job_types set worker = 'render-ai-job' where job_type = 'voice_clone'`;
    await insert(db.sql);
    assertEquals((await sent(bench)).length, 2);
  });
});
