/**
 * Inserts that send no dispatch: which of them rely on a dispatch in flight or on a worker that polls, and that no job is
 * left behind.
 */
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

/** However long this machine takes: the claims stay expected. */
async function keepExpected({ db }: Bench): Promise<void> {
  await db.sql`update private.expected_claims set expected_at = 'infinity'`;
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
    await keepExpected(bench);
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
      await db.sql`delete from private.expected_claims`;
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
      update private.expected_claims set expected_at = expected_at - interval '500 milliseconds'`;
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
    await keepExpected(bench);
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
    await keepExpected(bench);
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
    await keepExpected(bench);
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
    await keepExpected(bench);
    await db.sql`
      update public.ai_job_types set worker = 'render-ai-job' where job_type = 'voice_clone'`;
    await insert(db.sql);
    assertEquals((await sent(bench)).length, 2);
  });
});

const POLL = "00000000-0000-4000-8000-0000000000f1";
const idsOf = (jobs: readonly { id: string }[]) =>
  jobs.map(({ id }) => id).sort();

Deno.test("poll_ai_jobs: inserts send no dispatch while a worker polls, and a poll claims their jobs", async () => {
  await withDispatch(async (bench) => {
    const { db, insert, queue } = bench;
    assertEquals(await queue.poll(POLL, 10), []);
    await keepExpected(bench);
    const first = [await insert(db.sql), await insert(db.sql)];
    assertEquals(idsOf(await queue.poll(POLL, 10)), first.sort());
    const second = await insert(db.sql);
    assertEquals(await sent(bench), []);
    assertEquals(idsOf(await queue.poll(POLL, 10)), [second]);
    const last = await insert(db.sql);
    assertEquals(idsOf(await queue.poll(POLL, 10, { isLast: true })), [last]);
    assertEquals(await sent(bench), []);
    await insert(db.sql);
    assertEquals((await sent(bench)).length, 1, "it polls no more");
  });
});

Deno.test("poll_ai_jobs: no insert relies on a worker that has not polled for half a second", async () => {
  await withDispatch(async (bench) => {
    const { db, insert, queue } = bench;
    await queue.poll(POLL, 10);
    await db.sql`
      update private.expected_claims set expected_at = expected_at - interval '500 milliseconds'`;
    const expectedAt = async () => {
      const [row] = await db.sql<{ at: Date }[]>`
        select expected_at as at from private.expected_claims where is_poll`;
      return row?.at.getTime() ?? 0;
    };
    const before = await expectedAt();
    const left = await insert(db.sql);
    assertEquals((await sent(bench)).length, 1);
    assertEquals(idsOf(await queue.poll(POLL, 10)), [left]);
    assert(await expectedAt() > before, "the poll has renewed it");
  });
});

Deno.test("poll_ai_jobs: no insert relies on a poll that is rolled back or not committed yet", async () => {
  await withDispatch(async (bench) => {
    const { db, insert } = bench;
    const [other] = await db.connections(1);
    assert(other !== undefined);
    await other.begin(async (sql) => {
      await queueOver(sql).poll(POLL, 0);
      await insert(db.sql);
      assertEquals((await sent(bench)).length, 1);
      await db.sql`delete from private.expected_claims`;
      throw new Error("rolled back");
    }).catch((error) => assertEquals(error.message, "rolled back"));
    await insert(db.sql);
    assertEquals((await sent(bench)).length, 2);
  });
});

Deno.test("poll_ai_jobs: the last one waits for an insert that relies on it, and claims that job", async () => {
  await withDispatch(async (bench) => {
    const { db, insert, queue } = bench;
    await db
      .sql`alter function private.wait_for_relying_inserts(text) reset lock_timeout`;
    const [inserting, polling] = await db.connections(2);
    assert(inserting !== undefined && polling !== undefined);
    await queue.poll(POLL, 10);
    await keepExpected(bench);
    const pid = await backendOf(polling);
    const { id, taken } = await inserting.begin(async (sql) => {
      const id = await insert(sql);
      assertEquals(await queue.poll(POLL, 10), [], "the others do not wait");
      const taken = queueOver(polling).poll(POLL, 10, { isLast: true });
      await untilBlocked(db, pid);
      return { id, taken };
    });
    assertEquals(await sent(bench), []);
    assertEquals(idsOf(await taken), [id]);
  });
});

Deno.test("poll_ai_jobs: an insert during the last one sends a dispatch", async () => {
  await withDispatch(async (bench) => {
    const { db, insert, queue } = bench;
    const [polling] = await db.connections(1);
    assert(polling !== undefined);
    await queue.poll(POLL, 10);
    await keepExpected(bench);
    await polling.begin(async (sql) => {
      assertEquals(await queueOver(sql).poll(POLL, 10, { isLast: true }), []);
      await insert(db.sql);
      assertEquals((await sent(bench)).length, 1);
    });
  });
});

Deno.test("claim_dispatched_ai_jobs: while a worker polls, inserts rely on that during the claim", async () => {
  await withDispatch(async (bench) => {
    const { db, insert, queue } = bench;
    const [claiming, polling] = await db.connections(2);
    assert(claiming !== undefined && polling !== undefined);
    const first = await insert(db.sql);
    const [message] = await sent(bench);
    await queue.poll(POLL, 0);
    await keepExpected(bench);
    const pid = await backendOf(polling);
    const { second, taken } = await claiming.begin(async (sql) => {
      assertEquals(await claim(sql, message), [first]);
      const second = await insert(db.sql);
      assertEquals((await sent(bench)).length, 1, "the poll will find it");
      // The last poll comes after the claim, which relied on it.
      const taken = queueOver(polling).poll(POLL, 10, { isLast: true });
      await untilBlocked(db, pid);
      return { second, taken };
    });
    assertEquals(idsOf(await taken), [second]);
  });
});

Deno.test("claim_dispatched_ai_jobs: a poll that is ending does not keep it from waiting for inserts", async () => {
  await withDispatch(async (bench) => {
    const { db, insert, queue } = bench;
    await db
      .sql`alter function private.wait_for_relying_inserts(text) reset lock_timeout`;
    const [claiming, polling] = await db.connections(2);
    assert(claiming !== undefined && polling !== undefined);
    const first = await insert(db.sql);
    const [message] = await sent(bench);
    await queue.poll(POLL, 0);
    await keepExpected(bench);
    const pid = await backendOf(claiming);
    const taken = await polling.begin(async (sql) => {
      await queueOver(sql).poll(POLL, 0, { isLast: true });
      const taken = claim(claiming, message);
      await untilBlocked(db, pid);
      return { taken };
    });
    assertEquals(await taken.taken, [first]);
  });
});

Deno.test("poll_ai_jobs: jobs that relied on a worker that died are dispatched by the sweep", async () => {
  await withDispatch(async (bench) => {
    const { db, insert, queue } = bench;
    await queue.poll(POLL, 10);
    await keepExpected(bench);
    await insert(db.sql);
    assertEquals(await sent(bench), []);
    await db.sql`select private.sweep_ai_jobs()`;
    assertEquals((await sent(bench)).length, 1);
  });
});
