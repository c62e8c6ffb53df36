/** begin_provider_calls and settle_provider_calls: a paid call is recorded before it is sent, and never sent blindly. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type postgres from "postgres";
import type { TestDatabase } from "../_support/database.ts";
import {
  backendOf,
  type Bench,
  claimJob,
  eventsOf,
  expireLease,
  insertClaimedJob,
  insertJob,
  makeDue,
  pictureOf,
  readJob,
  refusalOf,
  untilBlocked,
  withQueue,
} from "./_support/factories.ts";
import {
  type BegunCall,
  type ClaimedJob,
  queueOver,
} from "./_support/queue.ts";
import { beginCall } from "./_support/protocol.ts";

interface Call {
  id: string;
  operation: string;
  attempt: number;
  outcome: string;
  provider: string;
  provider_object_id: string | null;
  settled_at: Date | null;
}

async function callsOf(db: TestDatabase, jobId: string): Promise<Call[]> {
  return [
    ...await db.sql<Call[]>`
      select id, operation, attempt, outcome, provider, provider_object_id, settled_at
      from public.ai_provider_calls where job_id = ${jobId} order by sent_at`,
  ];
}

async function begin(
  bench: Bench,
  job: ClaimedJob,
  operation?: string,
): Promise<BegunCall> {
  const begun = await bench.queue.begin(job, operation);
  assert(begun !== undefined, "the lease is lost");
  return begun;
}

/** Gives the job to another worker without settling its call. */
async function changeWorker(
  bench: Bench,
  job: ClaimedJob,
): Promise<ClaimedJob> {
  assert(await bench.queue.release(job));
  return await claimJob(bench, job.id);
}

Deno.test("begin_provider_calls: the call is committed to the journal before it is sent", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await db.sql`update public.ai_job_types set lease_seconds = 60`;
    const job = await insertClaimedJob(bench);
    await expireLease(db, job.id);

    const begun = await begin(bench, job);

    assertEquals([begun.decision, begun.is_lookup_conclusive], ["send", false]);
    assertEquals(await callsOf(db, job.id), [{
      id: begun.call_id,
      operation: "create_voice",
      attempt: 1,
      outcome: "sent",
      provider: "elevenlabs",
      provider_object_id: null,
      settled_at: null,
    }]);
    const [lease] = await db.sql<{ isTrue: boolean }[]>`
      select lease_expires_at > clock_timestamp() + interval '50 seconds' as "isTrue" from public.ai_jobs`;
    assertEquals(lease?.isTrue, true, "the lease is fresh");
    const written = await readJob(db, job.id);
    assertEquals(
      [written.billable_calls, written.progress_percentage, written.stage],
      [1, 30, "calling_provider"],
    );
    assertEquals((await eventsOf(db, job.id)).at(-1)?.event, "submitted");
  });
});

Deno.test("provider calls: a success holds for every later attempt, and the job has the provider's id with it", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const { call_id } = await begin(bench, job);

    assert(await queue.settle(job, call_id, "succeeded", "voice-1", 70));

    const settled = await readJob(db, job.id);
    assertEquals(
      [settled.provider_job_id, settled.progress_percentage],
      ["voice-1", 70],
    );
    assertEquals((await eventsOf(db, job.id)).at(-1)?.event, "settled");

    const again = await begin(bench, job);
    const later = await begin(bench, await changeWorker(bench, job));
    for (const begun of [again, later]) {
      assertEquals(
        [begun.decision, begun.call_id, begun.provider_object_id],
        ["done", call_id, "voice-1"],
      );
    }
    assertEquals((await callsOf(db, job.id)).length, 1);
    assertEquals((await readJob(db, job.id)).billable_calls, 1);
  });
});

Deno.test("provider calls: sent, unknown, reconciled and adopted, with one row and one billable call", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    let job = await insertClaimedJob(bench);
    const { call_id } = await begin(bench, job);
    assert(await queue.settle(job, call_id, "unknown"));
    assertEquals((await callsOf(db, job.id))[0]?.settled_at, null);
    assert(await queue.snooze(job));
    await makeDue(db, job.id);
    job = await claimJob(bench, job.id);

    const begun = await begin(bench, job);
    assertEquals([begun.decision, begun.call_id], ["reconcile", call_id]);
    assertEquals((await readJob(db, job.id)).stage, "reconciling");
    assert(await queue.settle(job, call_id, "adopted", "voice-1", 70));

    const done = await begin(bench, job);
    assertEquals([done.decision, done.provider_object_id], ["done", "voice-1"]);
    assertEquals((await callsOf(db, job.id)).map(({ outcome }) => outcome), [
      "adopted",
    ]);
    assertEquals((await readJob(db, job.id)).billable_calls, 1);
  });
});

Deno.test("provider calls: the step is sent again only after a refusal, or after a query found nothing", async (t) => {
  for (const outcome of ["rejected", "absent"]) {
    await t.step(
      `${outcome}: send, as a second call`,
      () =>
        withQueue(async (bench) => {
          const { db, queue } = bench;
          const job = await insertClaimedJob(bench);
          const first = await begin(bench, job);
          assert(await queue.settle(job, first.call_id, outcome));
          const second = await begin(bench, job);
          assertEquals(second.decision, "send");
          assertNotEquals(second.call_id, first.call_id);
          assertEquals(
            (await callsOf(db, job.id)).map(({ outcome }) => outcome),
            [outcome, "sent"],
          );
          assertEquals((await readJob(db, job.id)).billable_calls, 2);
        }),
    );
  }
});

Deno.test("begin_provider_calls: however the sender lost the job, the next worker reconciles first", async (t) => {
  const ways: Record<
    string,
    (bench: Bench, job: ClaimedJob) => Promise<unknown>
  > = {
    "it died": async ({ db, queue }, job) => {
      await expireLease(db, job.id);
      await queue.rescue();
    },
    "it failed": ({ queue }, job) => queue.fail(job),
    "it released the job": ({ queue }, job) => queue.release(job),
    "it snoozed": ({ queue }, job) => queue.snooze(job),
  };
  for (const [name, lose] of Object.entries(ways)) {
    await t.step(name, () =>
      withQueue(async (bench) => {
        const { db } = bench;
        const job = await insertClaimedJob(bench);
        const sent = await begin(bench, job);
        await lose(bench, job);
        await makeDue(db, job.id);
        const begun = await begin(bench, await claimJob(bench, job.id));
        assertEquals([begun.decision, begun.call_id], [
          "reconcile",
          sent.call_id,
        ]);
        assertEquals(
          (await callsOf(db, job.id)).map(({ outcome }) => outcome),
          ["unknown"],
        );
        assertEquals((await readJob(db, job.id)).billable_calls, 1);
      }));
  }
});

Deno.test("begin_provider_calls: an empty lookup is conclusive reconcile_seconds after the outcome is unknown", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    await db.sql`update public.ai_job_types set reconcile_seconds = 3600`;
    const job = await insertClaimedJob(bench);
    const { call_id } = await begin(bench, job);
    assert(await queue.settle(job, call_id, "unknown"));
    const isConclusiveAt = async (age: number) => {
      await db.sql`
        update public.ai_provider_calls set unknown_since = clock_timestamp() - make_interval(secs => ${age})`;
      const begun = await begin(bench, job);
      assertEquals(begun.decision, "reconcile");
      return begun.is_lookup_conclusive;
    };
    assertEquals(await isConclusiveAt(0), false);
    assertEquals(await isConclusiveAt(3540), false);
    assertEquals(await isConclusiveAt(3600), true);
    assertEquals(await isConclusiveAt(7200), true);
    await db.sql`update public.ai_job_types set reconcile_seconds = 14400`;
    assertEquals(await isConclusiveAt(7200), false);
  });
});

Deno.test("begin_provider_calls: a call that its provider knows by a key is repeated while that is safe", async (t) => {
  const repeat = { repeatWithinSeconds: 600 };
  const cases: {
    name: string;
    change?: (bench: Bench) => Promise<unknown>;
    decision: string;
    outcome?: string;
  }[] = [
    { name: "immediately", decision: "repeat" },
    {
      name: "after its time",
      change: ({ db }) =>
        db.sql`update public.ai_provider_calls set sent_at = sent_at - interval '601 seconds'`,
      decision: "reconcile",
    },
    {
      name: "when an empty query is conclusive",
      change: ({ db }) =>
        db.sql`update public.ai_provider_calls set unknown_since = unknown_since - interval '61 seconds'`,
      decision: "reconcile",
    },
    {
      name: "when its owner has cancelled",
      change: ({ db }) =>
        db.sql`update public.ai_jobs set cancel_requested_at = clock_timestamp()`,
      decision: "reconcile",
    },
  ];
  for (const { name, change, decision } of cases) {
    await t.step(name, () =>
      withQueue(async (bench) => {
        const { db, queue } = bench;
        await db.sql`update public.ai_job_types set reconcile_seconds = 60`;
        const job = await insertClaimedJob(bench);
        const first = await begin(bench, job);
        assert(
          await queue.settle(job, first.call_id, "unknown"),
        );
        // Only a begin after an empty query requests it.
        assertEquals((await begin(bench, job)).decision, "reconcile");
        await change?.(bench);
        const again = await beginCall(db.sql, job, repeat);
        assertEquals(
          [again?.decision, again?.call_id],
          [decision, first.call_id],
        );
        const isRepeated = decision === "repeat";
        const [call, ...others] = await db.sql<
          { outcome: string; is_unknown: boolean }[]
        >`
          select outcome, unknown_since is not null as is_unknown from public.ai_provider_calls`;
        assertEquals(others, []);
        assertEquals({ ...call }, {
          outcome: isRepeated ? "sent" : "unknown",
          is_unknown: !isRepeated,
        });
        assertEquals((await readJob(db, job.id)).billable_calls, 1);
      }));
  }
});

Deno.test("begin_provider_calls: refused and discarded calls of a step are counted, absent ones are not", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const first = await begin(bench, job);
    assert(await queue.settle(job, first.call_id, "rejected"));
    const second = await begin(bench, job);
    assert(await queue.settle(job, second.call_id, "unknown"));
    const repeated = await beginCall(db.sql, job, { repeatWithinSeconds: 600 });
    assert(await queue.settle(job, second.call_id, "unknown"));
    assert(await queue.settle(job, second.call_id, "absent"));
    const other = await beginCall(db.sql, job, { operation: "other_step" });
    const third = await begin(bench, job);
    // A begin whose response was lost.
    const again = await beginCall(db.sql, job, { callId: third.call_id });
    assert(await queue.settle(job, third.call_id, "succeeded", "voice-1"));
    await db.sql`
      update public.ai_provider_calls set discarded_at = clock_timestamp() where id = ${third.call_id}`;
    const fourth = await begin(bench, job);
    assertEquals(
      [first, second, repeated, other, third, again, fourth].map((call) => [
        call?.decision,
        call?.ended_calls,
      ]),
      [
        ["send", 0],
        ["send", 1],
        ["repeat", 1],
        ["send", 0],
        ["send", 1],
        ["send", 1],
        ["send", 2],
      ],
    );
  });
});

Deno.test("begin_provider_calls: a repeated call that is lost is unknown again, from then on", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const { call_id } = await begin(bench, job);
    assert(await queue.settle(job, call_id, "unknown"));
    await db.sql`
      update public.ai_provider_calls set unknown_since = clock_timestamp() - interval '50 seconds'`;
    const repeat = { repeatWithinSeconds: 600 };
    assertEquals((await beginCall(db.sql, job, repeat))?.decision, "repeat");
    const next = await changeWorker(bench, job);
    const [age] = await db.sql<{ seconds: number }[]>`
      select extract(epoch from clock_timestamp() - unknown_since)::float8 as seconds from public.ai_provider_calls`;
    assert(
      age !== undefined && age.seconds < 40,
      "it counts from its last sender",
    );
    assertEquals((await beginCall(db.sql, next, repeat))?.decision, "repeat");
    assert(
      await queue.settle(next, call_id, "succeeded", "voice-1"),
    );
    assertEquals((await begin(bench, next)).decision, "done");
  });
});

Deno.test("begin_provider_calls: connections that race with one lease open one call; none is lost", async (t) => {
  await withQueue(async (bench) => {
    const { db } = bench;
    for (const count of [2, 10]) {
      await t.step(`${count} connections`, async () => {
        const job = await insertClaimedJob(bench);
        const sessions = await db.connections(count, "service_role");
        const answers = await Promise.all(sessions.map(async (sql) => {
          try {
            return (await queueOver(sql).begin(job))?.decision;
          } catch (error) {
            // The unique index refused its call, so it must not send.
            assert(error instanceof Error && "constraint_name" in error);
            assertEquals(
              error.constraint_name,
              "ai_provider_calls_one_per_step_key",
            );
            return "stopped";
          }
        }));
        assertEquals(
          answers.filter((answer) => answer === "send").length,
          1,
          answers.join(),
        );
        assertEquals((await callsOf(db, job.id)).length, 1);
        assertEquals((await readJob(db, job.id)).billable_calls, 1);
      });
    }
  });
});

Deno.test("begin_provider_calls: twin of the race: different steps of one job do not block each other", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertClaimedJob(bench);
    const sessions = await db.connections(4, "service_role");
    const answers = await Promise.all(
      sessions.map(async (sql, index) =>
        (await queueOver(sql).begin(job, `step_${index}`))?.decision
      ),
    );
    assertEquals(answers, ["send", "send", "send", "send"]);
    assertEquals((await readJob(db, job.id)).billable_calls, 4);
    assertEquals((await callsOf(db, job.id)).length, 4);
  });
});

Deno.test("ai_provider_calls: the table refuses a second call of a step that is open or has succeeded", async (t) => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const insert = (job: { id: string; user_id: string }, outcome: string) =>
      db.asService((sql) =>
        sql`
        insert into public.ai_provider_calls (
          job_id, user_id, provider, operation, attempt, outcome, provider_object_id, settled_at
        )
        select ${job.id}, ${job.user_id}, 'elevenlabs', 'create_voice', 1, ${outcome}, 'voice-1',
          case when ${outcome} not in ('sent', 'unknown') then now() end`
      );
    for (const first of ["sent", "unknown", "succeeded", "adopted"]) {
      await t.step(`after ${first}`, async () => {
        const job = await insertJob(db);
        await insert(job, first);
        for (const second of ["sent", "unknown", "succeeded", "adopted"]) {
          const refusal = await refusalOf(() => insert(job, second));
          assertEquals(
            refusal.constraint,
            "ai_provider_calls_one_per_step_key",
          );
        }
      });
    }
    await t.step("after rejected and absent it is accepted", async () => {
      const job = await insertJob(db);
      for (const outcome of ["rejected", "absent", "rejected", "sent"]) {
        await insert(job, outcome);
      }
    });
  });
});

Deno.test("settle_provider_calls: a call is settled once, and only through its own job", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const other = await insertClaimedJob(bench);
    const { call_id } = await begin(bench, job);
    const foreign = await begin(bench, other);

    let before = await pictureOf(db);
    for (const id of [foreign.call_id, crypto.randomUUID()]) {
      assertEquals(await queue.settle(job, id, "succeeded", "voice-1"), false);
    }
    assertEquals(await pictureOf(db), before);

    assertEquals(
      await queue.settle(job, call_id, "succeeded", "voice-1"),
      true,
    );
    before = await pictureOf(db);
    for (const outcome of ["succeeded", "absent", "rejected", "unknown"]) {
      assertEquals(await queue.settle(job, call_id, outcome, "voice-2"), false);
    }
    assertEquals(await pictureOf(db), before);
  });
});

Deno.test("settle_provider_calls: a repeated settlement returns true and changes nothing", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const { call_id } = await begin(bench, job);
    assert(await queue.settle(job, call_id, "unknown"));
    const inDoubt = await pictureOf(db);
    assert(await queue.settle(job, call_id, "unknown"));
    assertEquals(await pictureOf(db), inDoubt);
    assert(await queue.settle(job, call_id, "succeeded", "voice-1", 70));
    const before = await pictureOf(db);
    assert(await queue.settle(job, call_id, "succeeded", "voice-1", 70));
    assertEquals(await pictureOf(db), before);
    const later = await changeWorker(bench, job);
    assertEquals(
      [
        await queue.settle(job, call_id, "succeeded", "voice-1", 70),
        await queue.settle(later, call_id, "adopted", "voice-1", 70),
      ],
      [false, false],
      "a lost lease, and another outcome",
    );
  });
});

Deno.test("begin_provider_calls: the same id repeats the call; another id reconciles it", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertClaimedJob(bench);
    const id = crypto.randomUUID();
    const ask = async (lease: typeof job, callId: string) => {
      const begun = await beginCall(db.sql, lease, { callId });
      return begun === undefined ? null : {
        call_id: begun.call_id,
        decision: String(begun.decision),
      };
    };
    const send = { call_id: id, decision: "send" };
    assertEquals(await ask(job, id), send);
    const before = await pictureOf(db);
    assertEquals(await ask(job, id), send);
    assertEquals(await pictureOf(db), before);

    const wrongLease = { ...job, lease_token: crypto.randomUUID() };
    assertEquals(await ask(wrongLease, id), null);
    assertEquals(await pictureOf(db), before);
    assertEquals(
      await ask(job, crypto.randomUUID()),
      { call_id: id, decision: "reconcile" },
    );
    // The call that is queried may have been sent.
    assertEquals(
      await ask(job, id),
      { call_id: id, decision: "reconcile" },
    );
  });
});

Deno.test("begin_provider_calls: a repetition during the first call waits for it, and is the same call", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertClaimedJob(bench);
    const id = crypto.randomUUID();
    const [first, second] = await db.connections(2);
    assert(first && second);
    const ask = (sql: postgres.ISql) => beginCall(sql, job, { callId: id });
    const pid = await backendOf(second);
    const again = await first.begin(async (sql) => {
      await ask(sql);
      const answer = ask(second).then((begun) => begun?.decision);
      await untilBlocked(db, pid);
      return { answer };
    });
    assertEquals(await again.answer, "send");
    assertEquals((await callsOf(db, job.id)).length, 1);
    assertEquals((await readJob(db, job.id)).billable_calls, 1);
  });
});

Deno.test("settle_provider_calls: an invalid outcome is refused and changes nothing", async (t) => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const { call_id } = await begin(bench, job);
    const before = await pictureOf(db);
    const cases = [
      {
        outcome: "succeeded",
        constraint: "ai_provider_calls_success_has_object",
      },
      {
        outcome: "adopted",
        constraint: "ai_provider_calls_success_has_object",
      },
      {
        outcome: "sent",
        constraint: "ai_provider_calls_settled_matches_outcome",
      },
      { outcome: "perhaps", constraint: "ai_provider_calls_outcome_is_known" },
    ];
    for (const { outcome, constraint } of cases) {
      await t.step(`${outcome} without an object`, async () => {
        const refusal = await refusalOf(() =>
          queue.settle(job, call_id, outcome)
        );
        assertEquals(refusal.constraint, constraint);
        assertEquals(await pictureOf(db), before);
      });
    }
    await t.step("a step with an invalid name", async () => {
      for (const operation of ["Create voice", "", "x"]) {
        const refusal = await refusalOf(() => queue.begin(job, operation));
        assertEquals(
          refusal.constraint,
          "ai_provider_calls_operation_is_word",
        );
      }
      assertEquals(await pictureOf(db), before);
    });
  });
});

Deno.test("provider calls: a failed job that is retried uses what was paid for", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const { call_id } = await begin(bench, job);
    assert(await queue.settle(job, call_id, "succeeded", "voice-1"));
    await queue.fail(job, { isRetryable: false });
    await db.sql`
      update public.ai_jobs set status = 'pending', completed_at = null, error_code = null, attempt = 0`;

    const begun = await begin(bench, await claimJob(bench, job.id));

    assertEquals([begun.decision, begun.provider_object_id], [
      "done",
      "voice-1",
    ]);
    assertEquals((await readJob(db, job.id)).billable_calls, 1);
  });
});
