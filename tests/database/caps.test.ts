import { assert, assertEquals, assertRejects } from "@std/assert";
import type postgres from "postgres";
import { uploadSample, withQueue } from "./factories.ts";
import { queueOver } from "./queue.ts";
import type { TestDatabase } from "../helpers/database.ts";

async function submit(
  sql: postgres.ISql,
  userId: string,
  inputUrl: string,
): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    insert into public.ai_jobs (user_id, job_type, input_url, metadata)
    values (${userId}, 'voice_clone', ${inputUrl}, '{"name": "v"}') returning id`;
  assert(row !== undefined);
  return row.id;
}

async function aCustomer(db: TestDatabase) {
  const { id } = await db.createUser();
  return { id, inputUrl: await uploadSample(db, id) };
}

/** The upper bound beside what is there. */
async function counts(db: TestDatabase, userId: string) {
  const [row] = await db.sql<{ counted: number; real: number }[]>`
    select l.active_jobs_at_most as counted,
      (select count(*)::integer from public.ai_jobs as j
       where j.user_id = l.user_id and j.status in ('pending', 'processing')) as real
    from public.ai_limits as l where l.user_id = ${userId}`;
  return row;
}

Deno.test("caps: 20 connections that claim at once never exceed a provider's cap, and lose nothing", async () => {
  await withQueue(async ({ db }) => {
    for (let user = 0; user < 10; user++) {
      const customer = await aCustomer(db);
      for (let i = 0; i < 5; i++) {
        await submit(db.sql, customer.id, customer.inputUrl);
      }
    }
    await db
      .sql`update public.ai_providers set max_concurrent = 7 where provider = 'elevenlabs'`;
    const workers = await db.connections(20, "service_role");
    const done = new Set<string>();
    while (done.size < 50) {
      const claimed = (await Promise.all(workers.map((sql) =>
        queueOver(sql).claim(3)
      )))
        .flat();
      const [running] = await db.sql<{ n: number }[]>`
        select count(*)::integer as n from public.ai_jobs where status = 'processing'`;
      assertEquals(running?.n, 7 - Math.max(0, 7 - (50 - done.size)));
      for (const job of claimed) {
        assert(!done.has(job.id), "claimed twice");
        done.add(job.id);
        await queueOver(db.sql).complete(job, {});
      }
    }
  });
});

Deno.test("caps: a user never has more jobs in processing than they may, while others go on", async () => {
  await withQueue(async ({ db }) => {
    const busy = await aCustomer(db);
    const other = await aCustomer(db);
    for (let i = 0; i < 20; i++) await submit(db.sql, busy.id, busy.inputUrl);
    await submit(db.sql, other.id, other.inputUrl);
    await db
      .sql`update public.ai_limits set max_concurrent_jobs = 3 where user_id is null`;
    const workers = await db.connections(8, "service_role");
    const claimed = (await Promise.all(workers.map((sql) =>
      queueOver(sql).claim(2)
    ))).flat();
    assertEquals(claimed.filter((job) => job.user_id === busy.id).length, 3);
    assertEquals(claimed.filter((job) => job.user_id === other.id).length, 1);
    assertEquals(await queueOver(db.sql).claim(5), []);
  });
});

Deno.test("quota: 1,000 parallel submits leave exactly as many active jobs as allowed", async () => {
  await withQueue(async ({ db }) => {
    const customer = await aCustomer(db);
    await db
      .sql`insert into public.ai_limits (user_id, max_active_jobs) values (${customer.id}, 137)`;
    const connections = await db.connections(20);
    const outcomes = await Promise.all(
      Array.from({ length: 1_000 }, (_, i) => {
        const sql = connections[i % connections.length];
        assert(sql !== undefined);
        return submit(sql, customer.id, customer.inputUrl).then(
          () => "accepted",
          (error: postgres.PostgresError) => error.code,
        );
      }),
    );
    assertEquals(outcomes.filter((each) => each === "accepted").length, 137);
    assertEquals(outcomes.filter((each) => each === "AJ034").length, 863);
    assertEquals(await counts(db, customer.id), { counted: 137, real: 137 });
  });
});

Deno.test("quota: an ended job makes room for another, and the bound is made exact before it refuses", async () => {
  await withQueue(async ({ db, queue }) => {
    const customer = await aCustomer(db);
    await db
      .sql`insert into public.ai_limits (user_id, max_active_jobs) values (${customer.id}, 2)`;
    await submit(db.sql, customer.id, customer.inputUrl);
    await submit(db.sql, customer.id, customer.inputUrl);
    await assertRejects(() => submit(db.sql, customer.id, customer.inputUrl));
    const [job] = await queue.claim(1);
    assert(job !== undefined);
    await queue.complete(job, {});
    assertEquals(await counts(db, customer.id), { counted: 2, real: 1 });
    await submit(db.sql, customer.id, customer.inputUrl);
    assertEquals(await counts(db, customer.id), { counted: 2, real: 2 });
    await assertRejects(() => submit(db.sql, customer.id, customer.inputUrl));
    await db
      .sql`delete from public.ai_jobs where user_id = ${customer.id} and status = 'pending'`;
    await submit(db.sql, customer.id, customer.inputUrl);
    assertEquals((await counts(db, customer.id))?.real, 1);
  });
});

Deno.test("quota: jobs that end while others are submitted never leave room for one too many", async () => {
  await withQueue(async ({ db }) => {
    const customer = await aCustomer(db);
    await db
      .sql`insert into public.ai_limits (user_id, max_active_jobs) values (${customer.id}, 5)`;
    const workers = await db.connections(4, "service_role");
    const submitters = await db.connections(8);
    let isOver = false;
    let most = 0;
    let ended = 0;
    const working = workers.map(async (sql) => {
      const queue = queueOver(sql);
      while (!isOver) {
        for (const job of await queue.claim(1)) {
          if (await queue.complete(job, {})) ended++;
        }
      }
    });
    const watching = (async () => {
      while (!isOver) {
        most = Math.max(most, (await counts(db, customer.id))?.real ?? 0);
      }
    })();
    await Promise.all(submitters.map(async (sql) => {
      for (let i = 0; i < 40; i++) {
        await submit(sql, customer.id, customer.inputUrl).catch(() => {});
      }
    }));
    isOver = true;
    await Promise.all([...working, watching]);
    assert(most <= 5, `${most} at once`);
    // Else nothing ever ended in between, and this says nothing.
    assert(ended > 10, `${ended} ended`);
  });
});

Deno.test("quota: the daily limit counts what was created today and starts again tomorrow", async () => {
  await withQueue(async ({ db }) => {
    const customer = await aCustomer(db);
    await db
      .sql`insert into public.ai_limits (user_id, max_jobs_per_day) values (${customer.id}, 2)`;
    await submit(db.sql, customer.id, customer.inputUrl);
    await submit(db.sql, customer.id, customer.inputUrl);
    const refusal = await assertRejects(() =>
      submit(db.sql, customer.id, customer.inputUrl)
    );
    assertEquals("code" in refusal && refusal.code, "AJ035");
    await db
      .sql`update public.ai_limits set counted_on = current_date - 1 where user_id = ${customer.id}`;
    await submit(db.sql, customer.id, customer.inputUrl);
  });
});

Deno.test("quota: a bulk insert that would exceed it inserts nothing", async () => {
  await withQueue(async ({ db }) => {
    const customer = await aCustomer(db);
    await db
      .sql`insert into public.ai_limits (user_id, max_active_jobs) values (${customer.id}, 10)`;
    await assertRejects(() =>
      db.sql`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata)
      select ${customer.id}, 'voice_clone', ${customer.inputUrl}, '{"name": "v"}' from generate_series(1, 11)`
    );
    const [row] = await db.sql<
      { n: number }[]
    >`select count(*)::integer as n from public.ai_jobs`;
    assertEquals(row?.n, 0);
  });
});

Deno.test("idempotency: 200 parallel submits with one key make one job; the same request gets its id, another is refused", async () => {
  await withQueue(async ({ db }) => {
    const customer = await aCustomer(db);
    const connections = await db.connections(20);
    const insert = (sql: postgres.Sql, name: string) =>
      sql<{ id: string }[]>`
        insert into public.ai_jobs (user_id, job_type, input_url, metadata, idempotency_key)
        values (${customer.id}, 'voice_clone', ${customer.inputUrl}, ${
        sql.json({ name })
      }, 'once') returning id`.then(
        ([row]) => ({ code: "made", id: row?.id }),
        (error: postgres.PostgresError) => ({
          code: error.code,
          id: error.hint,
        }),
      );
    const outcomes = await Promise.all(
      Array.from({ length: 200 }, (_, i) => {
        const sql = connections[i % connections.length];
        assert(sql !== undefined);
        return insert(sql, "v");
      }),
    );
    const made = outcomes.filter(({ code }) => code === "made");
    assertEquals(made.length, 1);
    for (const { code, id } of outcomes) {
      assert(code === "made" || code === "AJ031" || code === "AJ032", code);
      if (code === "AJ032") assertEquals(id, made[0]?.id);
    }
    assertEquals((await insert(db.sql, "other")).code, "AJ030");
    const [row] = await db.sql<
      { n: number }[]
    >`select count(*)::integer as n from public.ai_jobs`;
    assertEquals(row?.n, 1);
  });
});
