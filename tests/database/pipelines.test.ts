/** Jobs that depend on another: they wait for it, start with its end, and fail with it. */
import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import {
  backendOf,
  type Bench,
  claimJob,
  eventsOf,
  insertClaimedJob,
  insertCompletedJob,
  insertJob,
  readJob,
  refusalOf,
  untilBlocked,
  withQueue,
} from "./_support/factories.ts";
import { type Job, queueOver } from "./_support/queue.ts";

/** A job of the same owner, over the same recording, that depends on another. */
function insertAfter(
  { db }: Bench,
  job: Job,
  values: { id?: string; scheduled_at?: Date } = {},
): Promise<Job> {
  return insertJob(db, {
    user_id: job.user_id,
    input_url: job.input_url,
    depends_on_job_id: job.id,
    ...values,
  });
}

/** A chain of jobs, each depending on the one before; the first may be given. */
async function insertChain(
  bench: Bench,
  length: number,
  first?: Job,
): Promise<Job[]> {
  const jobs = [first ?? await insertJob(bench.db)];
  while (jobs.length < length) {
    const last = jobs.at(-1);
    assert(last !== undefined);
    jobs.push(await insertAfter(bench, last));
  }
  return jobs;
}

async function standingOf({ db }: Bench, jobs: readonly Job[]) {
  const rows = await Promise.all(jobs.map(({ id }) => readJob(db, id)));
  return rows.map(({ status, error_code, is_blocked }) =>
    `${status}${is_blocked ? " blocked" : ""}${
      error_code === null ? "" : ` ${error_code}`
    }`
  );
}

/** Job ids in each dispatch since the last call of this function, oldest first. */
async function wakes({ db }: Bench): Promise<string[][]> {
  // As if the dispatches had been received: later inserts send their own.
  await db.sql`delete from private.expected_claims`;
  const rows = await db.sql<{ ids: string[] }[]>`
    with taken as (delete from net.http_request_queue returning id, body)
    select array(select jsonb_array_elements_text(convert_from(body, 'UTF8')::jsonb -> 'job_ids')) as ids
    from taken order by id`;
  return rows.map(({ ids }) => ids);
}

async function withDispatch(run: (bench: Bench) => Promise<void>) {
  await withQueue(async (bench) => {
    await bench.db
      .sql`select vault.create_secret('https://project.example', 'project_url'),
      vault.create_secret(${`whsec_${
      btoa("0".repeat(32))
    }`}, 'dispatch_secret')`;
    await run(bench);
  });
}

async function ask(
  { db }: Bench,
  job: Job,
  column: "cancel_requested_at" | "retry_requested_at",
): Promise<void> {
  await db.asUser(job.user_id, async (sql) => {
    await sql`update public.ai_jobs set ${
      sql(column)
    } = now() where id = ${job.id}`;
  });
}

Deno.test("depends_on_job_id: the job waits, cannot be claimed, and is dispatched with its dependency's end", async () => {
  await withDispatch(async (bench) => {
    const { db, queue } = bench;
    const first = await insertJob(db);
    const second = await insertAfter(bench, first);
    assertEquals(
      [second.is_blocked, second.stage],
      [true, "waiting_for_dependency"],
    );
    assertEquals(await wakes(bench), [[first.id]], "the two share a dispatch");
    assertEquals(await queue.claim(5, [second.id]), []);

    const claimed = await claimJob(bench, first.id);
    assertEquals(await queue.claim(5), []);
    assert(await queue.complete(claimed));

    assertEquals(await wakes(bench), [[second.id]]);
    assertEquals(
      (await eventsOf(db, second.id)).map(({ event }) => event),
      ["created", "unblocked"],
    );
    assertEquals((await readJob(db, second.id)).stage, null);
    assertEquals((await queue.claim(5)).map(({ id }) => id), [second.id]);
  });
});

Deno.test("depends_on_job_id: the dependency is dispatched again, because a claim during the insert skips it", async () => {
  await withDispatch(async (bench) => {
    const { db } = bench;
    const first = await insertJob(db);
    assertEquals(await wakes(bench), [[first.id]]);
    await db.sql.begin(async (sql) => {
      await sql`insert into public.ai_jobs (user_id, job_type, input_url, depends_on_job_id)
        values (${first.user_id}, ${first.job_type}, ${first.input_url}, ${first.id})`;
      assertEquals(await bench.queue.claim(1), [], "the insert locks it");
    });
    assertEquals(await wakes(bench), [[first.id]]);
    await claimJob(bench, first.id);
    await insertAfter(bench, first);
    assertEquals(await wakes(bench), [], "it is running, so nothing is due");
  });
});

Deno.test("depends_on_job_id: 120 jobs that wait for one are dispatched by one call, and all can be claimed", async () => {
  await withDispatch(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await db.sql`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata, depends_on_job_id)
      select ${job.user_id}, 'voice_clone', ${job.input_url}, jsonb_build_object('voice_name', 'Voice ' || n), ${job.id}
      from generate_series(1, 120) as n`;
    await wakes(bench);
    assert(await queue.complete(job));
    const [ids, ...more] = await wakes(bench);
    assertEquals([ids?.length, more.length], [50, 0]);
    assertEquals((await queue.claim(200)).length, 120);
  });
});

Deno.test("depends_on_job_id: a job for later is not dispatched when its dependency completes, and waits", async () => {
  await withDispatch(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const later = await insertAfter(bench, job, {
      scheduled_at: new Date(Date.now() + 3_600_000),
    });
    await wakes(bench);
    assert(await queue.complete(job));
    assertEquals(await wakes(bench), []);
    assertEquals(await queue.claim(5), []);
    assertEquals((await readJob(db, later.id)).is_blocked, false);
  });
});

Deno.test("depends_on_job_id: on a job that is completed it does not wait", async () => {
  await withQueue(async (bench) => {
    const done = await insertCompletedJob(bench);
    const job = await insertAfter(bench, done);
    assertEquals(job.is_blocked, false);
    assertEquals((await bench.queue.claim(5)).map(({ id }) => id), [job.id]);
  });
});

Deno.test("depends_on_job_id: the service can insert a whole pipeline in one statement", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const first = await insertJob(db);
    const [a, b] = [crypto.randomUUID(), crypto.randomUUID()];
    await db.asService(async (sql) => {
      await sql`insert into public.ai_jobs ${
        sql([
          { id: a, depends_on_job_id: first.id },
          { id: b, depends_on_job_id: a },
        ].map((row) => ({
          ...row,
          user_id: first.user_id,
          job_type: "voice_clone",
          input_url: first.input_url,
          metadata: sql.json({ voice_name: "Grandpa" }),
        })))
      }`;
    });
    assertEquals((await readJob(db, b)).is_blocked, true);
  });
});

Deno.test("depends_on_job_id: another user's job, a missing one and the job itself get the same refusal", async (t) => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertJob(db);
    const foreign = await insertCompletedJob(bench);
    const own = crypto.randomUUID();
    const after = (sql: postgres.ISql, id: string, values: { id?: string }) =>
      sql`
        insert into public.ai_jobs ${
        sql({
          ...values,
          user_id: job.user_id,
          job_type: "voice_clone",
          input_url: job.input_url,
          metadata: { voice_name: "v" },
          depends_on_job_id: id,
        })
      }`;
    const refusals: unknown[] = [];
    for (
      const [name, insert] of [
        [
          "someone else's",
          () => db.asUser(job.user_id, (sql) => after(sql, foreign.id, {})),
        ],
        [
          "none",
          () =>
            db.asUser(
              job.user_id,
              (sql) => after(sql, crypto.randomUUID(), {}),
            ),
        ],
        // Only the service can choose the id of a job before its insert.
        [
          "itself",
          () => db.asService((sql) => after(sql, own, { id: own })),
        ],
      ] as const
    ) {
      await t.step(name, async () => {
        const refusal = await refusalOf(insert);
        assertEquals([refusal.code, refusal.detail], [
          "AJ016",
          "depends_on_job_id",
        ]);
        refusals.push(refusal);
      });
    }
    assertEquals(refusals[0], refusals[1]);
    assertEquals(refusals[1], refusals[2]);
  });
});

Deno.test("depends_on_job_id: a job that has failed or was cancelled is refused", async () => {
  await withQueue(async (bench) => {
    const failed = await insertClaimedJob(bench);
    await bench.queue.fail(failed, { isRetryable: false });
    const cancelled = await insertJob(bench.db);
    await ask(bench, cancelled, "cancel_requested_at");
    for (const job of [failed, cancelled]) {
      const refusal = await refusalOf(() => insertAfter(bench, job));
      assertEquals(refusal.code, "AJ017", refusal.message);
    }
  });
});

Deno.test("depends_on_job_id: it never changes, so that there is no cycle; its owner has no right to update it", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const [first, second] = await insertChain(bench, 2);
    assert(first !== undefined && second !== undefined);
    const cycle = await refusalOf(() =>
      db.sql`update public.ai_jobs set depends_on_job_id = ${second.id} where id = ${first.id}`
    );
    assertEquals(cycle.code, "AJ051");
    const owner = await refusalOf(() =>
      db.asUser(
        first.user_id,
        (sql) =>
          sql`update public.ai_jobs set depends_on_job_id = null where id = ${second.id}`,
      )
    );
    assertEquals(owner.code, "42501");
  });
});

Deno.test("dependency_failed: a failed or cancelled job fails all its dependents, at every depth", async (t) => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    await t.step("failed", async () => {
      const job = await insertClaimedJob(bench);
      const line = await insertChain(bench, 5, job);
      assertEquals(await queue.fail(job, { isRetryable: false }), "failed");
      assertEquals(await standingOf(bench, line), [
        "failed provider_unavailable",
        ...Array<string>(4).fill("failed dependency_failed"),
      ]);
      const [last] = line.slice(-1);
      assertEquals(
        (await eventsOf(db, last?.id ?? "")).map(({ event }) => event),
        ["created", "failed"],
      );
      assertEquals(await queue.claim(10), []);
    });
    await t.step("cancelled in the middle", async () => {
      const line = await insertChain(bench, 4);
      const [first, second] = line;
      assert(first !== undefined && second !== undefined);
      await ask(bench, second, "cancel_requested_at");
      assertEquals(await standingOf(bench, line), [
        "pending",
        "cancelled cancelled",
        "failed dependency_failed",
        "failed dependency_failed",
      ]);
      assert(await queue.complete(await claimJob(bench, first.id)));
    });
    await t.step("retried by the queue: they continue to wait", async () => {
      const job = await insertClaimedJob(bench);
      const line = await insertChain(bench, 2, job);
      assertEquals(await queue.fail(job), "pending");
      assertEquals(await standingOf(bench, line), [
        "pending provider_unavailable",
        "pending blocked",
      ]);
    });
  });
});

Deno.test("dependency_failed: a chain of maximum length fails in one statement, and one more job is refused", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await db.sql`
      insert into public.ai_jobs (id, user_id, job_type, input_url, metadata, depends_on_job_id)
      select md5('line' || n)::uuid, ${job.user_id}, 'voice_clone', ${job.input_url}, '{"voice_name": "v"}',
        case when n = 1 then ${job.id}::uuid else md5('line' || n - 1)::uuid end
      from generate_series(1, 500) as n order by n`;
    const refusal = await refusalOf(() =>
      db.sql`
        insert into public.ai_jobs (user_id, job_type, input_url, metadata, depends_on_job_id)
        values (${job.user_id}, 'voice_clone', ${job.input_url}, '{"voice_name": "v"}', ${job.id})`
    );
    assertEquals([refusal.code, refusal.detail], ["AJ034", "depends_on"]);
    await queue.fail(job, { isRetryable: false });
    const rows = await db.sql`
      select status, error_code, count(*)::int as jobs from public.ai_jobs where id <> ${job.id} group by 1, 2`;
    assertEquals([...rows], [{
      status: "failed",
      error_code: "dependency_failed",
      jobs: 500,
    }]);
  });
});

Deno.test("dependency_failed: retrying the cause makes its dependents wait again; alone they are refused", async () => {
  await withQueue(async (bench) => {
    const { queue } = bench;
    const job = await insertClaimedJob(bench);
    const line = await insertChain(bench, 4, job);
    await queue.fail(job, { isRetryable: false });
    const [, second] = line;
    assert(second !== undefined);
    const refusal = await refusalOf(() =>
      ask(bench, second, "retry_requested_at")
    );
    assertEquals(refusal.code, "AJ017", refusal.message);

    await ask(bench, job, "retry_requested_at");
    assertEquals(
      (await standingOf(bench, line)).map((text) =>
        text.split(" ", 2).join(" ")
      ),
      [
        "pending provider_unavailable",
        "pending blocked",
        "pending blocked",
        "pending blocked",
      ],
    );
    for (const each of line) {
      assertEquals((await queue.claim(10)).map(({ id }) => id), [each.id]);
      const [claimed] = await bench.db.sql<{ lease_token: string }[]>`
        select lease_token from public.ai_jobs where id = ${each.id}`;
      assert(claimed !== undefined);
      assert(await queue.complete({ id: each.id, ...claimed }));
    }
  });
});

Deno.test("dependency_failed: a redrive of the failed job also requeues its dependents", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const line = await insertChain(bench, 3, job);
    await queue.fail(job, { isRetryable: false });
    const [row] = await db.asService((sql) =>
      sql<{ n: number }[]>`select public.redrive_ai_jobs() as n`
    );
    assertEquals(row?.n, 1);
    assertEquals(
      (await standingOf(bench, line)).map((text) => text.startsWith("pending")),
      [true, true, true],
    );
  });
});

Deno.test("depends_on_job_id: deleting a job fails a waiting dependent, and does not affect a finished one", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const [first, second] = await insertChain(bench, 2);
    const done = await insertCompletedJob(bench);
    const after = await insertAfter(bench, done);
    assert(first !== undefined && second !== undefined);
    await db
      .sql`delete from public.ai_jobs where id in (${first.id}, ${done.id})`;
    assertEquals(await standingOf(bench, [second, after]), [
      "failed dependency_failed",
      "pending",
    ]);
    const refusal = await refusalOf(() =>
      ask(bench, second, "retry_requested_at")
    );
    assertEquals(refusal.code, "AJ017");
    await db.sql`delete from auth.users where id = ${after.user_id}`;
  });
});

Deno.test("depends_on_job_id: jobs that wait for another count towards the quota", async () => {
  await withQueue(async (bench) => {
    const first = await insertJob(bench.db);
    await bench.db.sql`
      insert into public.ai_limits (user_id, max_active_jobs, active_jobs_at_most) values (${first.user_id}, 2, 1)
      on conflict (user_id) do update set max_active_jobs = 2`;
    await insertAfter(bench, first);
    assertEquals(
      (await refusalOf(() => insertAfter(bench, first))).code,
      "AJ034",
    );
  });
});

Deno.test("depends_on_job_id: the same parameters after another job are another request to the result cache", async () => {
  await withQueue(async (bench) => {
    const one = await insertCompletedJob(bench);
    const two = await insertCompletedJob(bench, { user_id: one.user_id });
    const values = { user_id: one.user_id, input_url: one.input_url };
    const hashes = await Promise.all(
      [undefined, one.id, two.id, one.id].map(async (id) => {
        const job = await insertJob(bench.db, {
          ...values,
          ...(id === undefined ? {} : { depends_on_job_id: id }),
        });
        return job.input_hash;
      }),
    );
    assertEquals(new Set(hashes).size, 3);
    assertEquals(hashes[1], hashes[3]);
  });
});

Deno.test("depends_on_job_id: a dependency that ends during the insert of its dependent, in both orders", async (t) => {
  const insert = (sql: postgres.ISql, job: Job) =>
    sql<Job[]>`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata, depends_on_job_id)
      values (${job.user_id}, 'voice_clone', ${job.input_url}, '{"voice_name": "v"}', ${job.id}) returning *`;

  await t.step(
    "the insert first: the end waits for it and finds it",
    () =>
      withQueue(async (bench) => {
        const { db } = bench;
        const job = await insertClaimedJob(bench);
        const [app] = await db.connections(1);
        const [worker] = await db.connections(1, "service_role");
        assert(app !== undefined && worker !== undefined);
        const pid = await backendOf(worker);
        const { row, completing } = await app.begin(async (transaction) => {
          const [row] = await insert(transaction, job);
          const completing = queueOver(worker).complete(job);
          await untilBlocked(db, pid);
          return { row, completing };
        });
        assert(await completing);
        assertEquals(row?.is_blocked, true);
        assertEquals((await readJob(db, row?.id ?? "")).is_blocked, false);
      }),
  );

  await t.step(
    "the end first: the insert waits for it and sees it",
    () =>
      withQueue(async (bench) => {
        const { db } = bench;
        const job = await insertClaimedJob(bench);
        const [app] = await db.connections(1);
        const [worker] = await db.connections(1, "service_role");
        assert(app !== undefined && worker !== undefined);
        const pid = await backendOf(app);
        const { inserting } = await worker.begin(async (transaction) => {
          assert(await queueOver(transaction).complete(job));
          const inserting = insert(app, job).execute();
          await untilBlocked(db, pid);
          return { inserting };
        });
        const [row] = await inserting;
        assertEquals(row?.is_blocked, false);
      }),
  );
});

Deno.test("depends_on_job_id: of 60 jobs inserted while others end, none waits forever and none runs too early", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const jobs: Awaited<ReturnType<typeof insertClaimedJob>>[] = [];
    for (let n = 0; n < 60; n++) jobs.push(await insertClaimedJob(bench));
    const workers = await db.connections(4, "service_role");
    const apps = await db.connections(8);
    const codes: string[] = [];
    await Promise.all([
      ...workers.map(async (sql, index) => {
        const mine = jobs.filter((_, n) => n % workers.length === index);
        for (const [n, job] of mine.entries()) {
          if (n % 3 === 0) {
            await queueOver(sql).fail(job, { isRetryable: false });
          } else await queueOver(sql).complete(job);
        }
      }),
      ...apps.map(async (sql) => {
        for (const job of jobs) {
          await sql`
            insert into public.ai_jobs (user_id, job_type, input_url, metadata, depends_on_job_id)
            values (${job.user_id}, 'voice_clone', ${job.input_url}, '{"voice_name": "v"}', ${job.id})`
            .catch((error: postgres.PostgresError) => codes.push(error.code));
        }
      }),
    ]);
    const wrong = await db.sql`
      select d.status as first, j.status, j.is_blocked, count(*)::int as jobs
      from public.ai_jobs as j join public.ai_jobs as d on d.id = j.depends_on_job_id
      where not (d.status = 'completed' and j.status = 'pending' and not j.is_blocked)
        and not (d.status = 'failed' and j.error_code = 'dependency_failed')
      group by 1, 2, 3`;
    assertEquals([...wrong], []);
    assertEquals(codes.filter((code) => code !== "AJ017"), []);
    const [row] = await db.sql<{ n: number }[]>`
      select count(*)::int as n from public.ai_jobs where depends_on_job_id is not null`;
    assertEquals((row?.n ?? 0) + codes.length, 480);
  });
});
