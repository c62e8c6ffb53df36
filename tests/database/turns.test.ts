import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import {
  backendOf,
  type Bench,
  untilBlocked,
  uploadSample,
  withQueue,
} from "./_support/factories.ts";

/** Inserts `count` waiting jobs of one user in one statement. */
async function queueUp(
  { db }: Bench,
  count: number,
  values: { userId?: string; priority?: number; since?: string } = {},
): Promise<string> {
  const userId = values.userId ?? (await db.createUser()).id;
  const inputUrl = await uploadSample(db, userId, {
    name: `${crypto.randomUUID()}.mp3`,
  });
  await db.sql`
    insert into public.ai_jobs (user_id, job_type, input_url, metadata, priority, created_at, scheduled_at)
    select ${userId}, 'voice_clone', ${inputUrl}, jsonb_build_object('voice_name', 'v', 'i', i), ${
    values.priority ?? 0
  }, t.at, t.at
    from generate_series(1, ${count}) as i, (select now() + ${
    values.since ?? "0 s"
  }::interval as at) as t`;
  return userId;
}

Deno.test("claim_ai_jobs: a user's single job is among the next two, behind any number of another user's", async () => {
  await withQueue(async (bench) => {
    const busy = await queueUp(bench, 10_000);
    const first = await bench.queue.claim(5);
    assert(first.every((job) => job.user_id === busy));
    const guest = await queueUp(bench, 1);
    const next = await bench.queue.claim(2);
    assertEquals(next.filter((job) => job.user_id === guest).length, 1);
  });
});

Deno.test("claim_ai_jobs: twin: in order of arrival the single job would have waited for all of them", async () => {
  await withQueue(async (bench) => {
    await queueUp(bench, 200);
    const guest = await queueUp(bench, 1);
    await bench.db.sql`
      update public.ai_jobs as j set queue_key = o.position
      from (select id, row_number() over (order by created_at, id) as position from public.ai_jobs) as o
      where o.id = j.id`;
    const next = await bench.queue.claim(50);
    assertEquals(next.filter((job) => job.user_id === guest).length, 0);
  });
});

Deno.test("claim_ai_jobs: users with many jobs each get equal turns", async () => {
  await withQueue(async (bench) => {
    const users = [
      await queueUp(bench, 40),
      await queueUp(bench, 40),
      await queueUp(bench, 40),
    ];
    const taken = await bench.queue.claim(30);
    for (const user of users) {
      const share = taken.filter((job) => job.user_id === user).length;
      assert(share >= 9 && share <= 11, `a third of 30, not ${share}`);
    }
  });
});

Deno.test("claim_ai_jobs: lower priority first, but every eighth claim begins with the longest waiting job", async () => {
  await withQueue(async (bench) => {
    const lowPriority = await queueUp(bench, 1, { priority: 10 });
    await queueUp(bench, 20);
    const order: string[] = [];
    for (let i = 0; i < 8; i++) {
      const [job] = await bench.queue.claim(1);
      assert(job !== undefined);
      order.push(job.user_id === lowPriority ? "lowPriority" : "urgent");
    }
    assertEquals(order, [...Array(7).fill("urgent"), "lowPriority"]);
  });
});

Deno.test("claim_ai_jobs: a job that becomes due later joins the turns then, and not before", async () => {
  await withQueue(async (bench) => {
    const user = await queueUp(bench, 1, { since: "1 hour" });
    assertEquals(await bench.queue.claim(1), []);
    await bench.db.sql`update public.ai_jobs set scheduled_at = now()`;
    const [job] = await bench.queue.claim(1);
    assertEquals(job?.user_id, user);
  });
});

/** Ten parallel inserts of a user, of `rows` jobs each: none sees another's rows, and each waits for the one before. */
async function insertInParallel(
  { db }: Bench,
  userId: string,
  rows: number,
): Promise<void> {
  const inputUrl = await uploadSample(db, userId, {
    name: `${crypto.randomUUID()}.mp3`,
  });
  const insert = (sql: postgres.ISql) =>
    sql`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata)
      select ${userId}, 'voice_clone', ${inputUrl}, '{"voice_name": "v"}' from generate_series(1, ${rows}::integer)`;
  const [first, ...others] = await db.connections(10);
  assert(first !== undefined);
  const pids = await Promise.all(others.map(backendOf));
  const { waiting } = await first.begin(async (sql) => {
    await insert(sql);
    const waiting = others.map((other) => insert(other).execute());
    for (const pid of pids) await untilBlocked(db, pid);
    return { waiting };
  });
  await Promise.all(waiting);
}

/** Disables the separation of turns of parallel inserts. */
async function disableSeparation({ db }: Bench): Promise<void> {
  await db.sql.unsafe(`
    create or replace function private.separate_turns(
      p_user_id uuid, p_job_type text, p_provider text, p_priority integer, p_job_ids uuid[], p_first bigint, p_last bigint
    )
    returns boolean language sql as 'select false'`);
}

/** The most jobs in one turn of a user. */
async function mostPerTurn({ db }: Bench, userId: string): Promise<number> {
  const [row] = await db.sql<{ jobs: number }[]>`
    select count(*)::integer as jobs from public.ai_jobs
    where user_id = ${userId} and status = 'pending' group by queue_key order by 1 desc limit 1`;
  return row?.jobs ?? 0;
}

/** How many jobs of others are claimed, one by one, before each of this user's. */
async function othersBefore(
  { queue }: Bench,
  userId: string,
): Promise<number[]> {
  const before: number[] = [];
  let others = 0;
  for (
    let [job] = await queue.claim(1);
    job !== undefined;
    [job] = await queue.claim(1)
  ) {
    if (job.user_id === userId) before.push(others);
    else others++;
  }
  return before;
}

for (const rows of [1, 7]) {
  Deno.test(`claim_ai_jobs: next to parallel inserts of ${rows}, another's five jobs wait for at most one each`, async () => {
    await withQueue(async (bench) => {
      const busy = (await bench.db.createUser()).id;
      await insertInParallel(bench, busy, rows);
      // Also behind jobs that already wait.
      await insertInParallel(bench, busy, rows);
      assertEquals(await mostPerTurn(bench, busy), 1);
      const guest = await queueUp(bench, 5);
      const before = await othersBefore(bench, guest);
      assertEquals(before.length, 5);
      // One per turn, and those of every eighth claim, which goes by age.
      before.forEach((others, n) => {
        const most = n + 1 + Math.ceil((n + others) / 8);
        assert(others <= most, `${others} before job ${n + 1}, not ${most}`);
      });
    });
  });
}

Deno.test("claim_ai_jobs: twin: without separation, parallel inserts share turns, and the five wait for many", async () => {
  await withQueue(async (bench) => {
    await disableSeparation(bench);
    const busy = (await bench.db.createUser()).id;
    await insertInParallel(bench, busy, 7);
    assertEquals(await mostPerTurn(bench, busy), 7);
    const guest = await queueUp(bench, 5);
    const before = await othersBefore(bench, guest);
    assert(before[4] !== undefined && before[4] > 15, `${before}`);
  });
});

Deno.test("ai_jobs: parallel single inserts choose different turns, so that none has to be moved", async () => {
  await withQueue(async (bench) => {
    await disableSeparation(bench);
    const busy = (await bench.db.createUser()).id;
    await insertInParallel(bench, busy, 1);
    // Also behind jobs that already wait.
    await insertInParallel(bench, busy, 1);
    assertEquals(await mostPerTurn(bench, busy), 1);
  });
});

Deno.test("ai_jobs: an insert that commits after a later turn of its user keeps its turn", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const busy = await queueUp(bench, 1);
    const inputUrl = await uploadSample(db, busy);
    await db.sql.unsafe(`
      create function private.wait_here() returns trigger language plpgsql as $$
      begin
        perform pg_advisory_xact_lock_shared(42);
        return null;
      end;
      $$;
      create trigger wait_here after insert on public.ai_jobs
      for each row when (new.metadata ->> 'voice_name' = 'late') execute function private.wait_here()`);
    const insert = (sql: postgres.ISql, name: string) =>
      sql`
        insert into public.ai_jobs (user_id, job_type, input_url, metadata)
        values (${busy}, 'voice_clone', ${inputUrl}, ${
        db.sql.json({ voice_name: name })
      })`;
    const [holder, late] = await db.connections(2);
    assert(holder !== undefined && late !== undefined);
    const pid = await backendOf(late);
    const { waiting } = await holder.begin(async (sql) => {
      await sql`select pg_advisory_xact_lock(42)`;
      const waiting = insert(late, "late").execute();
      await untilBlocked(db, pid);
      await insert(db.sql, "soon");
      return { waiting };
    });
    await waiting;
    const rows = await db.sql`
      select metadata ->> 'voice_name' as name, queue_key::integer as turn from public.ai_jobs order by queue_key`;
    assertEquals([...rows], [
      { name: "v", turn: 0 },
      { name: "late", turn: 1 },
      { name: "soon", turn: 2 },
    ]);
  });
});

Deno.test("ai_jobs: an insert of many jobs reserves one turn, however many users they belong to", async () => {
  await withQueue(async ({ db }) => {
    const users = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const { id } = await db.createUser();
        return { id, inputUrl: await uploadSample(db, id) };
      }),
    );
    const [sql] = await db.connections(1);
    assert(sql !== undefined);
    await sql.begin(async (sql) => {
      await sql`
        insert into public.ai_jobs (user_id, job_type, input_url, metadata)
        select u.id, 'voice_clone', u.input_url, '{"voice_name": "v"}'
        from unnest(${users.map(({ id }) => id)}::uuid[], ${
        users.map(({ inputUrl }) => inputUrl)
      }::text[]) as u (id, input_url), generate_series(1, 20)`;
      const [held] = await sql`
        select count(*)::integer as locks from pg_locks
        where pid = pg_backend_pid() and locktype = 'advisory' and mode = 'ExclusiveLock'`;
      assertEquals(held?.["locks"], 1);
    });
  });
});

Deno.test("claim_ai_jobs: of a batch at most the first goes by age, the others by turns", async () => {
  await withQueue(async (bench) => {
    await queueUp(bench, 200);
    const guest = await queueUp(bench, 40);
    const shares: number[] = [];
    for (let claims = 0; claims < 8; claims++) {
      const jobs = await bench.queue.claim(5);
      shares.push(jobs.filter((job) => job.user_id === guest).length);
    }
    assertEquals(shares.filter((share) => share >= 2).length, 8, `${shares}`);
  });
});

Deno.test("claim_ai_jobs: a due job next to another's backlog is claimed immediately; the backlog keeps order", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await queueUp(bench, 1_000, { since: "1 hour" });
    const guest = await queueUp(bench, 1, { since: "2 hours" });
    await db.sql`
      update public.ai_jobs as j set scheduled_at = o.at from (
        select id, clock_timestamp() - interval '1 hour' + interval '1 s' * row_number() over (order by scheduled_at) as at
        from public.ai_jobs
      ) as o where o.id = j.id`;
    const jobs = await bench.queue.claim(4);
    assertEquals(jobs.filter((job) => job.user_id === guest).length, 1);
    const [row] = await db.sql`
      select count(*) filter (where queue_key is null)::integer as unready,
        min(scheduled_at) filter (where queue_key is null)
          > max(scheduled_at) filter (where queue_key is not null) as is_in_order
      from public.ai_jobs where status = 'pending'`;
    assertEquals(row, { unready: 900, is_in_order: true });
  });
});

Deno.test("ready_due_ai_jobs: a parallel second call changes nothing, and no turn is assigned twice", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const user = await queueUp(bench, 30, { since: "1 hour" });
    await db.sql`update public.ai_jobs set scheduled_at = now()`;
    const [sweep] = await db.connections(1);
    assert(sweep !== undefined);
    await sweep.begin(async (sql) => {
      await sql`select private.ready_due_ai_jobs(10)`;
      assertEquals(await bench.queue.claim(5), []);
    });
    assertEquals((await bench.queue.claim(5)).length, 5);
    assertEquals(await mostPerTurn(bench, user), 1);
  });
});
