/** Operators: only the role may call the console's functions, and every action and read is recorded. */
import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import { z } from "zod";
import type { TestDatabase, Transaction } from "../_support/database.ts";
import {
  type Bench,
  createOperator,
  insertClaimedJob,
  insertJob,
  insertJobs,
  readJob,
  refusalOf,
  withQueue,
} from "./_support/factories.ts";
import type { ClaimedJob } from "./_support/queue.ts";

/** Calls a function as the Edge Function does: with the secret key, for an operator. */
function call(
  db: TestDatabase,
  name: string,
  args: Record<string, postgres.SerializableParameter>,
): Promise<unknown> {
  return db.asService(async (sql) => {
    const names = Object.keys(args);
    // As text, because postgres.js truncates times to milliseconds.
    const parameters = names.map((one, index) =>
      `${one} => $${index + 1}${
        one.endsWith("_at") ? "::text::timestamptz" : ""
      }`
    ).join(", ");
    const [row] = await sql.unsafe(
      `select public.${name}(${parameters}) as answer`,
      Object.values(args),
    );
    return row?.["answer"];
  });
}

async function actionsOf(db: TestDatabase) {
  return [
    ...await db.sql<
      { operator_id: string; action: string; details: unknown }[]
    >`
      select operator_id, action, details from private.operator_actions order by id`,
  ];
}

/** Every function of the console, with arguments that have an effect. */
function everyCall(operatorId: string, jobId: string) {
  const p_operator_id = operatorId, p_job_id = jobId;
  const calls: [string, Record<string, postgres.SerializableParameter>][] = [
    ["ops_overview", { p_operator_id }],
    ["ops_charts", { p_operator_id, p_range: "1h" }],
    ["ops_failures", { p_operator_id, p_range: "1h" }],
    ["ops_providers", { p_operator_id }],
    ["ops_parked", { p_operator_id }],
    ["ops_budgets", { p_operator_id }],
    ["ops_search_jobs", { p_operator_id }],
    ["ops_job", { p_operator_id, p_job_id }],
    ["ops_job_payload", { p_operator_id, p_job_id }],
    ["ops_actions", { p_operator_id }],
    ["ops_preview_redrive", { p_operator_id }],
    ["ops_redrive", { p_operator_id, p_expected_count: 0 }],
    ["ops_pause", { p_operator_id, p_is_paused: true, p_provider: "heygen" }],
    ["ops_probe_provider", { p_operator_id, p_provider: "heygen" }],
    ["ops_parked_call", { p_operator_id, p_job_id }],
    ["ops_resolve", { p_operator_id, p_job_id, p_was_made: false }],
    ["ops_take_back", { p_operator_id, p_job_id }],
    ["ops_cancel", { p_operator_id, p_job_id }],
    ["ops_retry", { p_operator_id, p_job_id }],
    ["ops_set_budget", { p_operator_id, p_budget_micros: 5 }],
  ];
  return calls;
}

Deno.test("operators: without the role every function of the console is AJ095, and changes and records nothing", async () => {
  await withQueue(async ({ db }) => {
    const { id } = await insertJob(db);
    const user = (await db.createUser()).id;
    await db.sql`
      update auth.users
      set raw_app_meta_data = raw_app_meta_data || '{"role": "admin", "roles": ["ai_operator"]}' where id = ${user}`;
    const [{ count } = { count: 0 }] = await db.sql<{ count: number }[]>`
      select count(*)::integer as count from pg_proc where pronamespace = 'public'::regnamespace and proname ~ '^ops_'`;
    assertEquals(everyCall(user, id).length, count, "a function is not tested");

    for (const nobody of [user, crypto.randomUUID(), null]) {
      for (const [name, args] of everyCall(user, id)) {
        const { code } = await refusalOf(() =>
          call(db, name, { ...args, p_operator_id: nobody })
        );
        assertEquals(code, "AJ095", name);
      }
    }
    assertEquals(await actionsOf(db), []);
    assertEquals((await readJob(db, id)).status, "pending");
  });
});

Deno.test("operators: anon and signed-in users may call none of the functions, not even an operator directly", async () => {
  await withQueue(async ({ db }) => {
    const { id } = await insertJob(db);
    const operator = await createOperator(db);
    for (const [name, args] of everyCall(operator, id)) {
      const names = Object.keys(args);
      const text = `select public.${name}(${
        names.map((one, index) => `${one} => $${index + 1}`).join(", ")
      })`;
      const run = (sql: Transaction) => sql.unsafe(text, Object.values(args));
      assertEquals((await refusalOf(() => db.asAnon(run))).code, "42501", name);
      assertEquals(
        (await refusalOf(() => db.asUser(operator, run))).code,
        "42501",
        name,
      );
    }
  });
});

Deno.test("operators: a revoked role takes effect immediately", async () => {
  await withQueue(async ({ db }) => {
    const operator = await createOperator(db);
    await call(db, "ops_overview", { p_operator_id: operator });
    await db.sql`
      update auth.users set raw_app_meta_data = raw_app_meta_data - 'role' where id = ${operator}`;
    const { code } = await refusalOf(() =>
      call(db, "ops_overview", { p_operator_id: operator })
    );
    assertEquals(code, "AJ095");
  });
});

Deno.test("operators: each action is recorded with who and what, and a refused one is not", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const done = await insertClaimedJob(bench);
    await queue.complete(done);
    const { id } = await insertJob(db);
    const operator = await createOperator(db);
    await call(db, "ops_pause", {
      p_operator_id: operator,
      p_is_paused: true,
      p_provider: "heygen",
    });
    await call(db, "ops_cancel", { p_operator_id: operator, p_job_id: id });
    const recorded = [
      {
        operator_id: operator,
        action: "pause",
        details: { provider: "heygen" },
      },
      { operator_id: operator, action: "cancel", details: { job_id: id } },
    ];
    assertEquals(await actionsOf(db), recorded);

    const refused: [
      string,
      Record<string, postgres.SerializableParameter>,
      string,
    ][] = [
      ["ops_cancel", { p_job_id: done.id }, "AJ071"],
      ["ops_cancel", { p_job_id: crypto.randomUUID() }, "AJ075"],
      ["ops_retry", { p_job_id: id }, "AJ070"],
      ["ops_retry", { p_job_id: crypto.randomUUID() }, "AJ075"],
      ["ops_parked_call", { p_job_id: id }, "AJ097"],
      ["ops_resolve", { p_job_id: id, p_was_made: false }, "AJ097"],
      ["ops_resolve", { p_job_id: id, p_was_made: true }, "AJ073"],
      ["ops_take_back", { p_job_id: id }, "AJ097"],
      ["ops_pause", { p_is_paused: true }, "AJ074"],
      ["ops_pause", { p_is_paused: true, p_provider: "nobody" }, "AJ075"],
      ["ops_probe_provider", { p_provider: "nobody" }, "AJ075"],
      ["ops_set_budget", { p_budget_micros: 1, p_provider: "nobody" }, "AJ075"],
      [
        "ops_set_budget",
        { p_budget_micros: 1, p_user_id: crypto.randomUUID() },
        "AJ075",
      ],
      ["ops_redrive", { p_expected_count: 3 }, "AJ096"],
    ];
    for (const [name, args, expected] of refused) {
      const { code } = await refusalOf(() =>
        call(db, name, { p_operator_id: operator, ...args })
      );
      assertEquals(code, expected, `${name} ${JSON.stringify(args)}`);
    }
    assertEquals(await actionsOf(db), recorded);
  });
});

Deno.test("operators: the janitor removes actions older than the setting, and none when it is null", async () => {
  await withQueue(async ({ db }) => {
    const operator = await createOperator(db);
    for (const age of ["731 days", "729 days", "8 days", "0 days"]) {
      await db.sql`
        insert into private.operator_actions (operator_id, action, details, created_at)
        values (${operator}, 'pause', ${
        db.sql.json({ age })
      }, now() - ${age}::interval)`;
    }
    let runs = 0;
    const left = async (days?: number | null) => {
      if (days !== undefined) {
        await db
          .sql`update private.janitor_settings set operator_action_days = ${days}`;
      }
      await db.asService((sql) =>
        sql`select public.begin_janitor_run(${`run-${++runs}`}, extract(epoch from clock_timestamp()))`
      );
      const rows = await db.sql<{ age: string }[]>`
        select details ->> 'age' as age from private.operator_actions order by id`;
      return rows.map(({ age }) => age);
    };
    assertEquals(await left(null), [
      "731 days",
      "729 days",
      "8 days",
      "0 days",
    ]);
    assertEquals(await left(730), ["729 days", "8 days", "0 days"]);
    assertEquals(await left(7), ["0 days"]);
    const { code } = await refusalOf(() => left(0));
    assertEquals(code, "23514");
  });
});

Deno.test("operators: a job is shown without its input and result, which need a separate, recorded read", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench, {
      metadata: { voice_name: "Secret name" },
    });
    await queue.complete(job, { transcript: "Secret words" });
    const operator = await createOperator(db);
    for (
      const [name, args] of [
        ["ops_job", { p_job_id: job.id }],
        ["ops_search_jobs", {}],
        ["ops_failures", { p_range: "1h" }],
      ] satisfies [string, Record<string, postgres.SerializableParameter>][]
    ) {
      const shown = JSON.stringify(
        await call(db, name, { p_operator_id: operator, ...args }),
      );
      assert(!/Secret|voice-samples|lease_token/.test(shown), name);
    }
    assertEquals(await actionsOf(db), []);
    const payload = JSON.stringify(
      await call(db, "ops_job_payload", {
        p_operator_id: operator,
        p_job_id: job.id,
      }),
    );
    assert(payload.includes("Secret name") && payload.includes("Secret words"));
    assertEquals(await actionsOf(db), [{
      operator_id: operator,
      action: "read_payload",
      details: { job_id: job.id },
    }]);
  });
});

/** Fails `count` new jobs of one user with the code, after a paid call with the estimate was refused. */
async function failJobs(
  { db, queue }: Bench,
  count: number,
  code: string,
): Promise<ClaimedJob[]> {
  await insertJobs(db, count);
  const jobs = await queue.claim(count);
  for (const job of jobs) {
    const begun = await queue.begin(job);
    assert(begun !== undefined);
    await queue.settle(job, begun.call_id, "rejected");
    await queue.fail(job, { code, isRetryable: false });
  }
  return jobs;
}

Deno.test("redrive: the preview shows number and cost of the jobs to retry, and why others are left out", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    await db.sql`
      update public.ai_prices set price_micros = 300 where job_type = 'voice_clone' and provider = 'elevenlabs'`;
    await failJobs(bench, 4, "provider_quota_exceeded");
    await failJobs(bench, 2, "provider_rejected_input");
    const parked = await insertClaimedJob(bench);
    await queue.begin(parked);
    await queue.fail(parked, { isRetryable: false });
    await queue.fail(await insertClaimedJob(bench), {
      code: "input_not_found",
      isRetryable: false,
    });
    const operator = await createOperator(db);
    const preview = (args: Record<string, postgres.SerializableParameter>) =>
      call(db, "ops_preview_redrive", { p_operator_id: operator, ...args });
    const { oldest_failed_at: _, newest_failed_at: __, ...all } = Object(
      await preview({}),
    );
    assertEquals(all, {
      count: 7,
      user_count: 3,
      price_micros: 1800,
      without_estimate: 1,
      left_out: { spend_unknown: 1, dependency_failed: 0, tried_too_often: 0 },
    });
    const quota = Object(
      await preview({ p_error_code: "provider_quota_exceeded" }),
    );
    assertEquals([quota.count, quota.price_micros], [4, 1200]);
    assertEquals(Object(await preview({ p_provider: "heygen" })).count, 0);
    assertEquals(await actionsOf(db), []);
  });
});

Deno.test("redrive: exactly the previewed jobs run again; with another count none does", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await failJobs(bench, 5, "provider_quota_exceeded");
    await failJobs(bench, 2, "provider_rejected_input");
    const operator = await createOperator(db);
    const filter = { p_error_code: "provider_quota_exceeded" };
    const { code, message } = await refusalOf(() =>
      call(db, "ops_redrive", {
        p_operator_id: operator,
        p_expected_count: 4,
        ...filter,
      })
    );
    assertEquals([code, message], [
      "AJ096",
      "the filter matches 5 jobs now, and not 4",
    ]);
    assertEquals(
      await call(db, "ops_redrive", {
        p_operator_id: operator,
        p_expected_count: 5,
        ...filter,
      }),
      { retried: 5, refused: 0, remaining: 0 },
    );
    const rows = await db.sql`
      select status, count(*)::integer as count from public.ai_jobs group by 1 order by 1`;
    assertEquals(rows.map((row) => ({ ...row })), [
      { status: "failed", count: 2 },
      { status: "pending", count: 5 },
    ]);
  });
});

Deno.test("redrive: it reports the jobs that one call leaves, and refuses those whose owner has no room", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await failJobs(bench, 5, "provider_quota_exceeded");
    const operator = await createOperator(db);
    await db
      .sql`update public.ai_limits set max_active_jobs = 3 where user_id is null`;
    assertEquals(
      await call(db, "ops_redrive", {
        p_operator_id: operator,
        p_expected_count: 5,
        p_limit: 4,
      }),
      { retried: 3, refused: 2, remaining: 0 },
    );
  });
});

Deno.test("redrive: jobs whose owner has no room do not keep it from the jobs behind them", async (t) => {
  for (const name of ["ops_redrive", "redrive_ai_jobs"]) {
    await t.step(name, async () => {
      await withQueue(async (bench) => {
        const { db } = bench;
        const code = "provider_quota_exceeded";
        const [full] = await failJobs(bench, 3, code);
        assert(full !== undefined);
        await db.sql`
          update public.ai_limits set max_active_jobs = 0 where user_id = ${full.user_id}`;
        const others = await failJobs(bench, 4, code);
        const operator = await createOperator(db);
        const results: unknown[] = [];
        for (const found of [7, 5]) {
          results.push(
            name === "ops_redrive"
              ? await call(db, name, {
                p_operator_id: operator,
                p_expected_count: found,
                p_limit: 2,
              })
              : await call(db, name, { p_limit: 2 }),
          );
        }
        assertEquals(
          results,
          name === "ops_redrive"
            ? [
              { retried: 2, refused: 3, remaining: 2 },
              { retried: 2, refused: 3, remaining: 0 },
            ]
            : [2, 2],
        );
        for (const { id } of others) {
          assertEquals((await readJob(db, id)).status, "pending");
        }
        assertEquals((await readJob(db, full.id)).status, "failed");
      });
    });
  }
});

Deno.test("parked: the view has the marker, the call and both answers; an answer settles the job", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const operator = await createOperator(db);
    const park = async () => {
      const job = await insertClaimedJob(bench);
      await queue.begin(job);
      await queue.fail(job, { isRetryable: false });
      return job.id;
    };
    const made = await park(), absent = await park();
    const listed = await call(db, "ops_parked", { p_operator_id: operator });
    assert(Array.isArray(listed));
    assertEquals(
      listed.map(({ job_id, marker, operation, status }) => ({
        job_id,
        marker,
        operation,
        status,
      })),
      [made, absent].map((id) => ({
        job_id: id,
        marker: `job:${id}`,
        operation: "create_voice",
        status: "failed",
      })),
    );
    assertEquals(
      await call(db, "ops_resolve", {
        p_operator_id: operator,
        p_job_id: made,
        p_was_made: true,
        p_provider_object_id: `voice-${made}`,
      }),
      { job_id: made, status: "pending", spend: "incurred" },
    );
    assertEquals(
      await call(db, "ops_take_back", {
        p_operator_id: operator,
        p_job_id: made,
      }),
      { job_id: made, status: "failed", spend: "unknown" },
    );
    assertEquals((await actionsOf(db)).at(-1), {
      operator_id: operator,
      action: "take_back",
      details: { job_id: made, provider_object_id: `voice-${made}` },
    });
    await call(db, "ops_resolve", {
      p_operator_id: operator,
      p_job_id: made,
      p_was_made: true,
      p_provider_object_id: `voice-of-${made}`,
    });
    assertEquals(
      await call(db, "ops_resolve", {
        p_operator_id: operator,
        p_job_id: absent,
        p_was_made: false,
      }),
      { job_id: absent, status: "pending", spend: "none" },
    );
    assertEquals(
      await call(db, "ops_parked", { p_operator_id: operator }),
      [],
    );
  });
});

Deno.test("parked: of two operators who answer at the same time, one settles the job, the other gets an error", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const operators = [await createOperator(db), await createOperator(db)];
    const sessions = await db.connections(2, "service_role");
    for (const wasMade of [true, false]) {
      const job = await insertClaimedJob(bench);
      await queue.begin(job);
      await queue.fail(job, { isRetryable: false });
      const codes = await Promise.all(sessions.map((sql, index) =>
        sql`
          select public.ops_resolve(
            ${operators[index] ?? ""}, ${job.id}, ${wasMade},
            ${wasMade ? `voice-${job.id}` : null}
          )`.then(() => "settled", (error) => String(error.code))
      ));
      assertEquals(codes.toSorted(), ["AJ097", "settled"]);
      const recorded = (await actionsOf(db)).filter(({ details }) =>
        JSON.stringify(details).includes(job.id)
      );
      assertEquals(recorded.map(({ operator_id }) => operator_id), [
        operators[codes.indexOf("settled")] ?? "",
      ]);
      assertEquals((await readJob(db, job.id)).status, "pending");
    }
  });
});

Deno.test("parked: an answer about a call that another operator has resolved is an error, not the next call's", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const operator = await createOperator(db);
    const job = await insertClaimedJob(bench);
    await queue.begin(job, "text_to_speech:1");
    await queue.begin(job, "text_to_speech:2");
    await queue.fail(job, { isRetryable: false });
    const of = { p_operator_id: operator, p_job_id: job.id };
    const callSchema = z.object({ call_id: z.uuid(), operation: z.string() });
    const parkedCall = async (more: Record<string, string> = {}) =>
      callSchema.parse(await call(db, "ops_parked_call", { ...of, ...more }));
    const first = await parkedCall();
    assertEquals(first.operation, "text_to_speech:1");
    const named = { p_call_id: first.call_id };
    assertEquals(await parkedCall(named), first);

    const answer = { ...of, ...named, p_was_made: false };
    await call(db, "ops_resolve", answer);
    assertEquals((await actionsOf(db)).at(-1)?.details, {
      job_id: job.id,
      call_id: first.call_id,
      was_made: false,
      is_unchecked: false,
    });
    const before = await actionsOf(db);
    for (
      const [name, args] of [
        ["ops_resolve", answer],
        ["ops_parked_call", { ...of, ...named }],
      ] as const
    ) {
      const { code, detail } = await refusalOf(() => call(db, name, args));
      assertEquals([code, detail], ["AJ097", "call_id"], name);
    }
    assertEquals(await actionsOf(db), before);
    assertEquals((await parkedCall()).operation, "text_to_speech:2");
  });
});

Deno.test("redrive: of two operators who run the same filter again, each job runs again once", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const operators = [await createOperator(db), await createOperator(db)];
    const sessions = await db.connections(2, "service_role");
    // Of many users, in another order than their jobs failed, because quotas are locked by user.
    for (let round = 0; round < 3; round++) {
      for (let count = 0; count < 10; count++) await insertJobs(db, 2);
      for (const job of await queue.claim(20)) {
        await queue.fail(job, { code: "input_not_found", isRetryable: false });
      }
      const [found] = await db.sql<{ count: number }[]>`
        select count(*)::int as count from public.ai_jobs where status = 'failed'`;
      const answers = await Promise.all(
        sessions.map(async (sql, index) => {
          const [row] = await sql<{ answer: { retried: number } }[]>`
          select public.ops_redrive(${operators[index] ?? ""}, ${
            found?.count ?? 0
          }) as answer`;
          return row?.answer.retried ?? 0;
        }).map((one) =>
          // A call that begins after the other has ended finds another count.
          one.catch((error) => {
            assertEquals(error.code, "AJ096");
            return 0;
          })
        ),
      );
      assertEquals(answers.reduce((a, b) => a + b), found?.count);
      const [left] = await db.sql`
        select count(*)::int as count from public.ai_jobs where status = 'failed'`;
      assertEquals(left?.["count"], 0);
      const pending = await queue.claim(100);
      for (const job of pending) await queue.complete(job);
    }
  });
});

Deno.test("search: every filter narrows, pages neither skip nor repeat, an unknown address finds no user", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const operator = await createOperator(db);
    await insertJobs(db, 7);
    const failed = await insertClaimedJob(bench);
    await queue.fail(failed, { code: "input_not_found", isRetryable: false });
    const [owner] = await db.sql<{ email: string }[]>`
      select email from auth.users where id = ${failed.user_id}`;
    const search = async (
      args: Record<string, postgres.SerializableParameter>,
    ): Promise<{ job_id: string; created_at: string }[]> => {
      const rows = await call(db, "ops_search_jobs", {
        p_operator_id: operator,
        ...args,
      });
      assert(Array.isArray(rows));
      return rows;
    };
    const only: Record<string, postgres.SerializableParameter>[] = [
      { p_job_id: failed.id },
      { p_user_id: failed.user_id },
      { p_user_email: owner?.email ?? "" },
      { p_status: "failed" },
      { p_error_code: "input_not_found" },
      {
        p_status: "failed",
        p_job_type: "voice_clone",
        p_provider: "elevenlabs",
      },
    ];
    for (const filter of only) {
      assertEquals(
        (await search(filter)).map(({ job_id }) => job_id),
        [failed.id],
        JSON.stringify(filter),
      );
    }
    assertEquals(await search({ p_user_email: "nobody@example.com" }), []);
    assertEquals(await search({ p_job_type: "pdf_render" }), []);

    const all = await search({});
    assertEquals(all.length, 8);
    const pages: string[] = [];
    let page = await search({ p_limit: 3 });
    while (page.length > 0) {
      pages.push(...page.map(({ job_id }) => job_id));
      const last = page.at(-1);
      assert(last !== undefined);
      page = await search({
        p_limit: 3,
        p_before_created_at: last.created_at,
        p_before_id: last.job_id,
      });
    }
    assertEquals(pages, all.map(({ job_id }) => job_id));
  });
});

Deno.test("budgets: sorted by spend, in pages, with the budgets that apply", async () => {
  await withQueue(async ({ db }) => {
    const operator = await createOperator(db);
    for (const spent of [5, 9, 9, 1]) {
      const { id } = await db.createUser();
      await db
        .sql`insert into public.ai_limits (user_id, spent_micros) values (${id}, ${spent})`;
    }
    const read = async (
      args: Record<string, postgres.SerializableParameter>,
    ): Promise<{ user_id: string; spent_micros: number }[]> =>
      Object(
        await call(db, "ops_budgets", { p_operator_id: operator, ...args }),
      ).users;
    const all = await read({});
    assertEquals(all.map(({ spent_micros }) => spent_micros), [9, 9, 5, 1]);
    const first = await read({ p_limit: 1 });
    const rest = await read({
      p_after_spent_micros: first[0]?.spent_micros ?? 0,
      p_after_user_id: first[0]?.user_id ?? null,
    });
    assertEquals([...first, ...rest], all);
    await call(db, "ops_set_budget", {
      p_operator_id: operator,
      p_budget_micros: 77,
      p_user_id: first[0]?.user_id ?? null,
    });
    await call(db, "ops_set_budget", {
      p_operator_id: operator,
      p_budget_micros: 88,
    });
    const [rows] = await db.sql`
      select
        (select budget_micros::integer from public.ai_limits where user_id is null) as everyone,
        (select budget_micros::integer from public.ai_limits where user_id = ${
      first[0]?.user_id ?? null
    }) as one`;
    assertEquals({ ...rows }, { everyone: 88, one: 77 });
  });
});

Deno.test("probe: an open breaker accepts one job immediately; a closed one reports that it is closed", async () => {
  await withQueue(async ({ db }) => {
    const operator = await createOperator(db);
    const probe = () =>
      call(db, "ops_probe_provider", {
        p_operator_id: operator,
        p_provider: "elevenlabs",
      });
    assertEquals(await probe(), false);
    await db.sql`
      update public.ai_providers set breaker_opened_at = now(), breaker_probe_at = now() + interval '1 hour'
      where provider = 'elevenlabs'`;
    assertEquals(await probe(), true);
    const [row] = await db.sql`
      select state from private.ai_provider_states where provider = 'elevenlabs'`;
    assertEquals(row?.["state"], "probing");
  });
});
