import { assert, assertEquals, assertRejects } from "@std/assert";
import type postgres from "postgres";
import {
  backendOf,
  refusalOf,
  untilBlocked,
  uploadSample,
  withQueue,
} from "./_support/factories.ts";
import { queueOver } from "./_support/queue.ts";
import type { TestDatabase } from "../_support/database.ts";

async function submit(
  sql: postgres.ISql,
  userId: string,
  inputUrl: string,
): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    insert into public.ai_jobs (user_id, job_type, input_url, metadata)
    values (${userId}, 'voice_clone', ${inputUrl}, '{"voice_name": "v"}') returning id`;
  assert(row !== undefined);
  return row.id;
}

async function newCustomer(db: TestDatabase) {
  const { id } = await db.createUser();
  return { id, inputUrl: await uploadSample(db, id) };
}

/** The recorded upper bound of active jobs, and their actual number. */
async function counts(db: TestDatabase, userId: string) {
  const [row] = await db.sql<{ counted: number; real: number }[]>`
    select l.active_jobs_at_most as counted,
      (select count(*)::integer from public.ai_jobs as j
       where j.user_id = l.user_id and j.status in ('pending', 'processing')) as real
    from public.ai_limits as l where l.user_id = ${userId}`;
  return row;
}

Deno.test("caps: 20 parallel claims never exceed a provider's cap, and lose no job", async () => {
  await withQueue(async ({ db }) => {
    for (let user = 0; user < 10; user++) {
      const customer = await newCustomer(db);
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

Deno.test("caps: a user never has more jobs in processing than allowed, while others continue", async () => {
  await withQueue(async ({ db }) => {
    const busy = await newCustomer(db);
    const other = await newCustomer(db);
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

/**
 * The most jobs that were in processing at the same time, of all users and of one, according to the timeline. It is
 * exact: a claim counts every job whose end was not committed before it, and an end is dated before its commit.
 */
async function mostAtOnce(db: TestDatabase) {
  const [row] = await db.sql<{ all: number; ofOneUser: number }[]>`
    with steps as (
      select user_id, created_at, case event when 'claimed' then 1 else -1 end as step
      from public.ai_job_events where event in ('claimed', 'completed')
    ),
    running as (
      select
        sum(step) over (order by created_at, step rows unbounded preceding) as of_all,
        sum(step) over (partition by user_id order by created_at, step rows unbounded preceding) as of_user
      from steps
    )
    select max(of_all)::integer as all, max(of_user)::integer as "ofOneUser" from running`;
  return row;
}

/** 1,000 submits of 10 users over 20 connections, while 8 workers claim and complete until nothing is left. */
async function submitAndWork(db: TestDatabase) {
  await db
    .sql`update public.ai_providers set max_concurrent = 7 where provider = 'elevenlabs'`;
  await db
    .sql`update public.ai_limits set max_concurrent_jobs = 3 where user_id is null`;
  const customers: Awaited<ReturnType<typeof newCustomer>>[] = [];
  for (let user = 0; user < 10; user++) customers.push(await newCustomer(db));
  const connections = await db.connections(20);
  const workers = await db.connections(8, "service_role");
  const submitting = { now: true };
  const submits = Promise.all(
    Array.from({ length: 1_000 }, (_, i) => {
      const sql = connections[i % connections.length];
      // Half of them are of one user, whose jobs in the end run alone, up to the user's cap.
      const customer = customers[i % 2 === 0 ? 0 : i % customers.length];
      assert(sql !== undefined && customer !== undefined);
      return submit(sql, customer.id, customer.inputUrl);
    }),
  ).finally(() => submitting.now = false);
  const ended = new Set<string>();
  const work = workers.map(async (sql) => {
    const queue = queueOver(sql);
    while (submitting.now || ended.size < 1_000) {
      for (const job of await queue.claim(3)) {
        assert(!ended.has(job.id), "claimed twice");
        assertEquals(await queue.complete(job, {}), true);
        ended.add(job.id);
      }
    }
  });
  const ids = await submits;
  await Promise.all(work);
  assertEquals(ended, new Set(ids), "none lost, none invented");
}

Deno.test("caps: 1,000 parallel submits and 8 workers never exceed the provider's or a user's cap by one", async () => {
  await withQueue(async ({ db }) => {
    await submitAndWork(db);
    assertEquals(await mostAtOnce(db), { all: 7, ofOneUser: 3 });
  });
});

Deno.test("caps: twin: claims without the lock exceed the cap, and the count shows it", async () => {
  await withQueue(async ({ db }) => {
    const [row] = await db.sql<{ definition: string }[]>`
      select pg_get_functiondef('public.claim_ai_jobs'::regproc) as definition`;
    const turns =
      "perform pg_advisory_xact_lock(hashtextextended('claim_ai_jobs', 0));";
    assert(row !== undefined && row.definition.includes(turns));
    await db.sql.unsafe(row.definition.replace(turns, ""));
    await submitAndWork(db);
    const most = await mostAtOnce(db);
    assert(most !== undefined && most.all > 7, JSON.stringify(most));
  });
});

for (
  const { what, column, code } of [
    { what: "active jobs", column: "max_active_jobs", code: "AJ034" },
    { what: "jobs a day", column: "max_jobs_per_day", code: "AJ035" },
  ]
) {
  Deno.test(`quota: 1,000 parallel submits leave exactly as many ${what} as allowed`, async () => {
    await withQueue(async ({ db }) => {
      const customer = await newCustomer(db);
      await db
        .sql`insert into public.ai_limits (user_id, ${
        db.sql(column)
      }) values (${customer.id}, 137)`;
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
      assertEquals(outcomes.filter((each) => each === code).length, 863);
      assertEquals(await counts(db, customer.id), { counted: 137, real: 137 });
    });
  });
}

Deno.test("quota: an ended job frees a place, and the count is corrected before a refusal", async () => {
  await withQueue(async ({ db, queue }) => {
    const customer = await newCustomer(db);
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

Deno.test("quota: jobs that end while others are submitted never allow one job too many", async () => {
  await withQueue(async ({ db }) => {
    const customer = await newCustomer(db);
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
    assert(most <= 5, `${most} at the same time`);
    // Otherwise no job has ended in between, and the test proves nothing.
    assert(ended > 10, `${ended} ended`);
  });
});

Deno.test("quota: a retried job takes a place, and is refused when there is none", async () => {
  await withQueue(async ({ db, queue }) => {
    const customer = await newCustomer(db);
    await db
      .sql`insert into public.ai_limits (user_id, max_active_jobs, max_jobs_per_day) values (${customer.id}, 1, 2)`;
    await submit(db.sql, customer.id, customer.inputUrl);
    const [job] = await queue.claim(1);
    assert(job !== undefined);
    await queue.fail(job, { isRetryable: false });
    const retry = () =>
      db.asUser(
        customer.id,
        (sql) =>
          sql`update public.ai_jobs set retry_requested_at = now() where id = ${job.id}`,
      );
    const waiting = await submit(db.sql, customer.id, customer.inputUrl);
    const refusal = await assertRejects(retry);
    assertEquals("code" in refusal && refusal.code, "AJ034");
    await db.sql`delete from public.ai_jobs where id = ${waiting}`;
    await retry();
    assertEquals((await counts(db, customer.id))?.real, 1);
    // The job was created before, so the day's count, which is full, does not apply.
    assert((await counts(db, customer.id))?.counted === 1);
  });
});

Deno.test("quota: the daily limit counts what was created today and starts again tomorrow", async () => {
  await withQueue(async ({ db }) => {
    const customer = await newCustomer(db);
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

Deno.test("quota: the day is that of UTC in every session time zone", async () => {
  await withQueue(async ({ db }) => {
    const customer = await newCustomer(db);
    await db
      .sql`insert into public.ai_limits (user_id, max_jobs_per_day) values (${customer.id}, 2)`;
    // The zones are twenty-six hours apart, so they never have the same day.
    const submitFrom = (zone: string) =>
      db.asUser(customer.id, async (sql) => {
        await sql`select set_config('timezone', ${zone}, true)`;
        return await submit(sql, customer.id, customer.inputUrl);
      });
    await submitFrom("Pacific/Kiritimati");
    await submitFrom("Etc/GMT+12");
    for (const zone of ["Pacific/Kiritimati", "Etc/GMT+12"]) {
      const refusal = await assertRejects(() => submitFrom(zone));
      assertEquals("code" in refusal && refusal.code, "AJ035", zone);
    }
  });
});

Deno.test("quota: a bulk insert that would exceed it inserts nothing", async () => {
  await withQueue(async ({ db }) => {
    const customer = await newCustomer(db);
    await db
      .sql`insert into public.ai_limits (user_id, max_active_jobs) values (${customer.id}, 10)`;
    await assertRejects(() =>
      db.sql`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata)
      select ${customer.id}, 'voice_clone', ${customer.inputUrl}, '{"voice_name": "v"}' from generate_series(1, 11)`
    );
    const [row] = await db.sql<
      { n: number }[]
    >`select count(*)::integer as n from public.ai_jobs`;
    assertEquals(row?.n, 0);
  });
});

Deno.test("idempotency: 1,000 parallel inserts with one key create one job; a different request is refused", async () => {
  await withQueue(async ({ db }) => {
    const customer = await newCustomer(db);
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
      Array.from({ length: 1_000 }, (_, i) => {
        const sql = connections[i % connections.length];
        assert(sql !== undefined);
        return insert(sql, "v");
      }),
    );
    const made = outcomes.filter(({ code }) => code === "made");
    assertEquals(made.length, 1);
    for (const { code, id } of outcomes) {
      assert(code === "made" || code === "23505" || code === "AJ032", code);
      if (code === "AJ032") assertEquals(id, made[0]?.id);
    }
    // A caller that was refused because of a concurrent insert repeats it, and gets the id.
    assertEquals(await insert(db.sql, "v"), { code: "AJ032", id: made[0]?.id });
    assertEquals((await insert(db.sql, "other")).code, "AJ030");
    const [row] = await db.sql<
      { n: number }[]
    >`select count(*)::integer as n from public.ai_jobs`;
    assertEquals(row?.n, 1);
  });
});

Deno.test("idempotency: 20,000 rows with keys in one insert do not lock one by one, and every key is stored", async () => {
  await withQueue(async ({ db }) => {
    const rows = 20_000;
    const customer = await newCustomer(db);
    await db.sql`
      insert into public.ai_limits (user_id, max_active_jobs, max_jobs_per_day)
      values (${customer.id}, ${rows}, ${rows})`;
    const insert = (sql: postgres.ISql, keys: postgres.Fragment) =>
      sql`
        insert into public.ai_jobs (user_id, job_type, input_url, metadata, idempotency_key)
        select ${customer.id}, 'voice_clone', ${customer.inputUrl}, '{"voice_name": "v"}', k.key
        from (${keys}) as k (key)`;
    const all = db
      .sql`select 'key ' || n from generate_series(1, ${rows}::integer) as n`;
    await db.sql.begin(async (sql) => {
      await sql`set local statement_timeout = 0`;
      assertEquals((await insert(sql, all)).count, rows);
      const [locks] = await sql<{ n: number }[]>`
        select count(*)::integer as n from pg_locks where pid = pg_backend_pid() and locktype = 'advisory'`;
      assertEquals(locks?.n, 1, "the lock of the first row");
    });
    for (
      const keys of [
        all,
        db.sql`select 'key ${db.sql.unsafe(`${rows}`)}'`,
        // A new key does not exempt the other.
        db.sql`values ('a new key'), ('key 1')`,
      ]
    ) {
      assertEquals((await refusalOf(() => insert(db.sql, keys))).code, "AJ032");
    }
    const [row] = await db.sql<
      { n: number }[]
    >`select count(*)::integer as n from public.ai_jobs`;
    assertEquals(row?.n, rows);
  });
});

Deno.test("idempotency: an insert waits for another one with the same key, and succeeds if that rolls back", async () => {
  await withQueue(async ({ db }) => {
    const customer = await newCustomer(db);
    const [first, second] = await db.connections(2);
    assert(first !== undefined && second !== undefined);
    const pid = await backendOf(second);
    const insert = (sql: postgres.ISql) =>
      sql`
        insert into public.ai_jobs (user_id, job_type, input_url, metadata, idempotency_key)
        values (${customer.id}, 'voice_clone', ${customer.inputUrl}, '{"voice_name": "v"}', 'once')`;
    const meanwhile: Promise<unknown>[] = [];
    const withdrawn = first.begin(async (sql) => {
      await insert(sql);
      meanwhile.push(insert(second).execute());
      await untilBlocked(db, pid);
      throw new Error("taken back");
    });
    await assertRejects(() => withdrawn, Error, "taken back");
    await Promise.all(meanwhile);
    assertEquals((await db.sql`select 1 from public.ai_jobs`).length, 1);
  });
});

Deno.test("quota: its row is locked last, after everything else that an insert does", async () => {
  await withQueue(async ({ db }) => {
    const customer = await newCustomer(db);
    const [first, second] = await db.connections(2);
    assert(first !== undefined && second !== undefined);
    const pid = await backendOf(second);
    const insert = (sql: postgres.ISql) =>
      sql`
        insert into public.ai_jobs (user_id, job_type, input_url, metadata)
        values (${customer.id}, 'voice_clone', ${customer.inputUrl}, '{"voice_name": "v"}')`;
    await insert(first);
    const { waiting, written } = await first.begin(async (sql) => {
      await sql`select 1 from public.ai_limits where user_id = ${customer.id} for update`;
      const waiting = insert(second).execute();
      await untilBlocked(db, pid);
      const rows = await db.sql<{ name: string }[]>`
        select l.relation::regclass::text as name from pg_locks as l
        where l.pid = ${pid} and l.locktype = 'relation'`;
      return { waiting, written: new Set(rows.map(({ name }) => name)) };
    });
    await waiting;
    for (
      const table of [
        "public.ai_jobs",
        "public.ai_job_events",
        "private.ai_counter_queue",
        "private.expected_claims",
        "public.ai_limits",
      ]
    ) {
      assert(written.has(table), `${table} is written before the wait`);
    }
    // The triggers that no other follows.
    const triggers = await db.sql<{ tgname: string }[]>`
      select t.tgname from pg_trigger as t
      where t.tgrelid = 'public.ai_jobs'::regclass and not t.tgisinternal
        and t.tgtype & 1 = 0 and t.tgtype & 2 = 0 and t.tgtype & 4 = 4`;
    assertEquals(triggers.map(({ tgname }) => tgname), [
      "ai_jobs_after_insert_follow",
    ]);
  });
});
