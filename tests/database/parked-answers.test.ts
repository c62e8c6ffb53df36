/** An operator's answer about a parked job: an impossible id is refused, and a wrong answer can be corrected. */
import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import type { TestDatabase } from "../_support/database.ts";
import {
  type Bench,
  claimJob,
  createOperator,
  eventsOf,
  insertClaimedJob,
  insertCompletedJob,
  pictureOf,
  readJob,
  refusalOf,
  withQueue,
} from "./_support/factories.ts";
import { settleCall } from "./_support/protocol.ts";
import type { ClaimedJob } from "./_support/queue.ts";

/** A job that failed with paid calls of unknown outcome. */
async function park(
  bench: Bench,
  operations: string[] = ["create_voice"],
): Promise<ClaimedJob> {
  const job = await insertClaimedJob(bench);
  for (const operation of operations) await bench.queue.begin(job, operation);
  await bench.queue.fail(job, { isRetryable: false });
  return job;
}

async function resolveWith(
  sql: postgres.Sql,
  jobId: string,
  objectId: string | null,
  callId: string | null = null,
): Promise<boolean | undefined> {
  const [row] = await sql<{ done: boolean }[]>`
    select public.resolve_unknown_ai_job(
      ${jobId}, ${objectId !== null}, ${objectId}, ${callId}
    ) as done`;
  return row?.done;
}

async function readSpend({ sql }: TestDatabase, jobId: string) {
  const [row] = await sql<{ spend: string }[]>`
    select spend from public.ai_jobs where id = ${jobId}`;
  assert(row !== undefined);
  return row;
}

async function callsOf({ sql }: TestDatabase, jobId: string) {
  return [
    ...await sql<{ outcome: string; provider_object_id: string | null }[]>`
      select outcome, provider_object_id from public.ai_provider_calls where job_id = ${jobId} order by sent_at`,
  ].map((call) => [call.outcome, call.provider_object_id]);
}

async function callIdsOf(
  { sql }: TestDatabase,
  jobId: string,
): Promise<string[]> {
  const calls = await sql<{ id: string }[]>`
    select id from public.ai_provider_calls where job_id = ${jobId} order by sent_at, id`;
  return calls.map(({ id }) => id);
}

/** Ways in which an id at ElevenLabs already belongs to something else. */
const TAKEN: Readonly<
  Record<string, (bench: Bench, id: string) => Promise<unknown>>
> = {
  "another user's job created it": async (bench, id) => {
    const job = await insertClaimedJob(bench);
    const call = await bench.queue.begin(job);
    assert(await bench.queue.settle(job, call?.call_id ?? "", "succeeded", id));
  },
  "it is a voice whose job was deleted": async (bench, id) => {
    const job = await insertCompletedJob(bench);
    await bench.db
      .sql`update public.voices set provider_voice_id = ${id} where job_id = ${job.id}`;
    await bench.db.sql`delete from public.ai_jobs where id = ${job.id}`;
  },
  "it is an avatar": async ({ db }, id) => {
    const user = await db.createUser();
    await db.sql`
      insert into public.avatars (user_id, name, provider, provider_video_id, video_url)
      values (${user.id}, 'Grandpa', 'elevenlabs', ${id}, ${`outputs/${user.id}/a.mp4`})`;
  },
  "it has the marker of another job": ({ db }, id) =>
    db.sql`
      insert into private.provider_objects (provider, object_id, object_type, job_id, standing)
      values ('elevenlabs', ${id}, 'voice', ${crypto.randomUUID()}, 'foreign')`,
  "it was removed": ({ db }, id) =>
    db.sql`
      insert into private.provider_removals (provider, object_type, provider_object_id, outcome, done_at)
      values ('elevenlabs', 'voice', ${id}, 'removed', now())`,
};

for (const [name, take] of Object.entries(TAKEN)) {
  Deno.test(`resolve_unknown_ai_job: refuses an id (AJ098) when ${name}`, async () => {
    await withQueue(async (bench) => {
      const { db } = bench;
      const job = await park(bench);
      await take(bench, "voice-1");
      const before = await pictureOf(db);
      const refusal = await refusalOf(() =>
        resolveWith(db.sql, job.id, "voice-1")
      );
      assertEquals([refusal.code, refusal.detail], [
        "AJ098",
        "p_provider_object_id",
      ]);
      assert(refusal.message.includes(`job:${job.id}`), refusal.message);
      assertEquals(await pictureOf(db), before);
      // Twins: another id, and the same id at another provider.
      assertEquals(await resolveWith(db.sql, job.id, "voice-2"), true);
      await db.sql`update public.ai_provider_calls set provider = 'd-id'`;
      const other = await park(bench);
      await db.sql`
        update public.ai_provider_calls set provider = 'heygen' where job_id = ${other.id}`;
      assertEquals(await resolveWith(db.sql, other.id, "voice-1"), true);
    });
  });
}

Deno.test("resolve_unknown_ai_job: a malformed id is AJ099, and changes nothing", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await park(bench);
    const before = await pictureOf(db);
    for (
      const id of [
        "",
        " voice-1",
        "voice 1",
        "voice-1\n",
        "-voice",
        `job:${job.id}`,
        job.id,
        "https://elevenlabs.io/voice-1",
        "voices/voice-1",
        "Stimme-ä",
        "v".repeat(256),
      ]
    ) {
      const { code } = await refusalOf(() => resolveWith(db.sql, job.id, id));
      assertEquals(code, "AJ099", JSON.stringify(id));
    }
    assertEquals(await pictureOf(db), before);
    // The form of each provider.
    for (
      const id of ["21m00Tcm4TlvDq8ikWAM", "tlk_Zr6zbDqK-4", "v".repeat(255)]
    ) {
      const { id: jobId } = await park(bench);
      assertEquals(await resolveWith(db.sql, jobId, id), true, id);
    }
  });
});

Deno.test("resolve_unknown_ai_job: of two jobs with the same id at the same time, one gets it", async () => {
  await withQueue(async (bench) => {
    const sessions = await bench.db.connections(2, "service_role");
    for (let n = 0; n < 5; n++) {
      const jobs = [await park(bench), await park(bench)];
      const answers = await Promise.all(
        sessions.map((sql, index) =>
          resolveWith(sql, jobs[index]?.id ?? "", `voice-${n}`)
            .then(String, (error) => String(error.code))
        ),
      );
      assertEquals(answers.toSorted(), ["AJ098", "true"]);
    }
  });
});

Deno.test("resolve_unknown_ai_job: several calls get one answer each, and the job runs after the last", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const steps = ["text_to_speech:1", "text_to_speech:2", "text_to_speech:3"];
    const job = await park(bench, steps);
    const statusOf = async () => (await readJob(db, job.id)).status;
    assertEquals(await resolveWith(db.sql, job.id, "speech-1"), true);
    assertEquals(await statusOf(), "failed");
    // The object of another part is not accepted for this one.
    const { code } = await refusalOf(() =>
      resolveWith(db.sql, job.id, "speech-1")
    );
    assertEquals(code, "AJ098");
    assertEquals(await resolveWith(db.sql, job.id, null), true);
    assertEquals(await statusOf(), "failed");
    assertEquals(await resolveWith(db.sql, job.id, "speech-3"), true);
    assertEquals(await statusOf(), "pending");
    assertEquals(await callsOf(db, job.id), [
      ["adopted", "speech-1"],
      ["absent", null],
      ["adopted", "speech-3"],
    ]);
    assertEquals(await resolveWith(db.sql, job.id, "speech-4"), false);
  });
});

Deno.test("resolve_unknown_ai_job: an answered job that cannot run leaves its object to the janitor", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await db.sql`
      update private.janitor_settings set failed_grace_seconds = 0, orphan_grace_seconds = 0`;
    const job = await park(bench);
    const looked = async () => {
      const [row] = await db.sql<{ count: number }[]>`
        select private.queue_job_leftovers(10) as count`;
      return row?.count;
    };
    await looked();
    await db.sql`
      update public.ai_limits set max_active_jobs = 0 where user_id = ${job.user_id}`;
    assertEquals(await resolveWith(db.sql, job.id, "voice-of-the-call"), true);
    assertEquals((await readJob(db, job.id)).status, "failed");
    assertEquals(await looked(), 1);
    const removals = await db.sql<{ id: string }[]>`
      select provider_object_id as id from private.provider_removals where job_id = ${job.id}`;
    assertEquals(removals.map(({ id }) => id), ["voice-of-the-call"]);
  });
});

Deno.test("a parked job is not retried either when another of its calls has succeeded", async (t) => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const steps = ["text_to_speech:1", "text_to_speech:2"];
    const job = await park(bench, steps);
    assertEquals(await resolveWith(db.sql, job.id, "speech-1"), true);
    const { spend } = await readSpend(db, job.id);
    assertEquals(spend, "incurred");
    const operator = await createOperator(db);
    const retry = () =>
      db.asUser(
        job.user_id,
        (sql) =>
          sql`update public.ai_jobs set retry_requested_at = now() where id = ${job.id}`,
      );
    const redrive = async () => {
      const [row] = await db.sql<{ n: number }[]>`
        select public.redrive_ai_jobs() as n`;
      return row?.n;
    };
    const preview = async () => {
      const [row] = await db.sql<{ found: number; unknown: number }[]>`
        select (p ->> 'count')::integer as found, (p -> 'left_out' ->> 'spend_unknown')::integer as unknown
        from public.ops_preview_redrive(${operator}) as p`;
      return row === undefined ? undefined : { ...row };
    };
    const deadLetters = async () => {
      const rows = await db.sql`
        select 1 from private.ai_job_dead_letters where id = ${job.id}`;
      return rows.length;
    };

    const parked = await pictureOf(db);
    await t.step("by its owner", async () => {
      assertEquals((await refusalOf(retry)).code, "AJ072");
    });
    await t.step("by an operator", async () => {
      const { code } = await refusalOf(() =>
        db.sql`select public.ops_retry(${operator}, ${job.id})`
      );
      assertEquals(code, "AJ072");
    });
    await t.step("by a redrive, whose preview leaves it out", async () => {
      assertEquals(await redrive(), 0);
      assertEquals(await preview(), { found: 0, unknown: 1 });
      const [row] = await db.sql<{ retried: string }[]>`
        select r ->> 'retried' as retried from public.ops_redrive(${operator}, 0) as r`;
      assertEquals(row?.retried, "0");
    });
    assertEquals(await pictureOf(db), parked);
    assertEquals(await deadLetters(), 1);

    await t.step("the last answer makes it run again", async () => {
      assertEquals(await resolveWith(db.sql, job.id, null), true);
      assertEquals((await readJob(db, job.id)).status, "pending");
    });
  });
});

Deno.test("dead letters: a cancelled job with a paid call and one of unknown outcome is one of them", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertClaimedJob(bench);
    const paid = await bench.queue.begin(job, "text_to_speech:1");
    assert(
      await bench.queue.settle(
        job,
        paid?.call_id ?? "",
        "succeeded",
        "speech-1",
      ),
    );
    const lost = await bench.queue.begin(job, "text_to_speech:2");
    assert(await bench.queue.settle(job, lost?.call_id ?? "", "unknown"));
    await db
      .sql`update public.ai_jobs set cancel_requested_at = now() where id = ${job.id}`;
    assertEquals(await bench.queue.cancel(job), true);
    const rows = await db.sql<{ spend: string }[]>`
      select spend from private.ai_job_dead_letters where id = ${job.id}`;
    assertEquals(rows.map(({ spend }) => spend), ["incurred"]);
  });
});

Deno.test("resolve_unknown_ai_job: with a call's id the answer is never recorded for another call", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const steps = ["text_to_speech:1", "text_to_speech:2"];
    const job = await park(bench, steps), other = await park(bench, steps);
    const [first = "", second = ""] = await callIdsOf(db, job.id);
    const [foreign = ""] = await callIdsOf(db, other.id);
    const parked = await pictureOf(db);
    for (const id of [foreign, crypto.randomUUID()]) {
      assertEquals(await resolveWith(db.sql, job.id, "speech-2", id), false);
    }
    assertEquals(await pictureOf(db), parked);

    // Not in the order in which they were sent.
    assertEquals(await resolveWith(db.sql, job.id, "speech-2", second), true);
    assertEquals(await callsOf(db, job.id), [
      ["unknown", null],
      ["adopted", "speech-2"],
    ]);
    const half = await pictureOf(db);
    assertEquals(await resolveWith(db.sql, job.id, null, second), false);
    assertEquals(await pictureOf(db), half);

    assertEquals((await readJob(db, job.id)).status, "failed");
    assertEquals(await resolveWith(db.sql, job.id, null, first), true);
    assertEquals((await readJob(db, job.id)).status, "pending");
  });
});

async function takeBack(
  { sql }: Pick<TestDatabase, "sql">,
  jobId: string,
): Promise<boolean | undefined> {
  const [row] = await sql<{ done: boolean }[]>`
    select public.take_back_ai_job_answer(${jobId}) as done`;
  return row?.done;
}

async function doubt(
  { sql }: Pick<TestDatabase, "sql">,
  job: ClaimedJob,
  makingSeconds = 0,
): Promise<string | null | undefined> {
  const [row] = await sql<{ answer: string | null }[]>`
    select public.doubt_provider_call(${job.id}, ${job.lease_token}, 'create_voice', ${makingSeconds}) as answer`;
  return row?.answer;
}

/** Backdates each settlement by more than the lag of a provider's list. */
async function ageAnswers({ sql }: TestDatabase): Promise<void> {
  await sql`
    update public.ai_provider_calls set settled_at = settled_at - interval '61 seconds' where settled_at is not null`;
}

async function moneyOf({ sql }: TestDatabase, job: ClaimedJob) {
  const [row] = await sql<
    { reserved: number; spent: number; spend: string; cost: number }[]
  >`
    select l.reserved_micros::integer as reserved, l.spent_micros::integer as spent, j.spend, j.cost_micros::integer as cost
    from public.ai_limits as l join public.ai_jobs as j on j.user_id = l.user_id where j.id = ${job.id}`;
  return { ...row };
}

Deno.test("take_back_ai_job_answer: the job is parked again, and another answer can be given", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    await db.sql`update public.ai_prices set price_micros = 70, per_units = 1`;
    for (const isFirstMade of [true, false]) {
      for (const isSecondMade of [true, false]) {
        const job = await park(bench);
        const first = isFirstMade ? `voice-of-${job.id}` : null;
        const second = isSecondMade ? `other-of-${job.id}` : null;
        const parked = await moneyOf(db, job);
        assertEquals(parked, {
          reserved: 70,
          spent: 0,
          spend: "unknown",
          cost: 0,
        });
        await resolveWith(db.sql, job.id, first);
        assertEquals(await takeBack(db, job.id), true);
        assertEquals(await moneyOf(db, job), parked);
        assertEquals(await callsOf(db, job.id), [["unknown", null]]);
        const again = await readJob(db, job.id);
        assertEquals(
          [again.status, again.error_code, again.provider_job_id],
          ["failed", "outcome_unknown", null],
        );
        assertEquals((await eventsOf(db, job.id)).at(-1)?.event, "failed");
        // Only the operator can continue it.
        assertEquals(await queue.claim(1, [job.id]), []);
        const { code } = await refusalOf(() =>
          db.sql`update public.ai_jobs set retry_requested_at = now() where id = ${job.id}`
        );
        assertEquals(code, "AJ072");
        assertEquals(await takeBack(db, job.id), false);

        assertEquals(await resolveWith(db.sql, job.id, second), true);
        const begun = await queue.begin(await claimJob(bench, job.id));
        assertEquals(
          [begun?.decision, begun?.provider_object_id],
          second === null ? ["send", null] : ["done", second],
        );
      }
    }
  });
});

Deno.test("take_back_ai_job_answer: not for a job that runs, has completed, or has sent another call", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    for (const answer of ["voice-1", null]) {
      const parked = await park(bench);
      await resolveWith(db.sql, parked.id, answer);
      const job = await claimJob(bench, parked.id);
      assertEquals(await takeBack(db, job.id), false, "it runs");
      if (answer === null) {
        const begun = await queue.begin(job);
        assertEquals(begun?.decision, "send");
        await queue.settle(job, begun?.call_id ?? "", "rejected");
        await queue.fail(job, { isRetryable: false });
        assertEquals(await takeBack(db, job.id), false, "it was sent again");
      } else {
        await queue.complete(job);
        assertEquals(await takeBack(db, job.id), false, "it has completed");
      }
    }
    const never = await park(bench);
    assertEquals(await takeBack(db, never.id), false, "nobody has answered");
    const adopted = await insertClaimedJob(bench);
    const call = await queue.begin(adopted);
    await queue.settle(adopted, call?.call_id ?? "", "unknown");
    await queue.settle(adopted, call?.call_id ?? "", "adopted", "voice-9");
    await queue.fail(adopted, { isRetryable: false });
    assertEquals(await takeBack(db, adopted.id), false, "a worker found it");
  });
});

Deno.test("take_back_ai_job_answer: a cancelled job stays cancelled, and one answer of two is taken back", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await queue.begin(job);
    await db
      .sql`update public.ai_jobs set cancel_requested_at = now() where id = ${job.id}`;
    await queue.cancel(job);
    assertEquals(await resolveWith(db.sql, job.id, "voice-1"), true);
    assertEquals(await takeBack(db, job.id), true);
    assertEquals((await readJob(db, job.id)).status, "cancelled");
    assertEquals(await callsOf(db, job.id), [["unknown", null]]);

    const long = await park(bench, ["text_to_speech:1", "text_to_speech:2"]);
    await resolveWith(db.sql, long.id, "speech-1");
    await resolveWith(db.sql, long.id, "speech-2");
    assertEquals(await takeBack(db, long.id), true);
    assertEquals(await callsOf(db, long.id), [
      ["adopted", "speech-1"],
      ["unknown", null],
    ]);
    assertEquals((await readJob(db, long.id)).provider_job_id, "speech-1");
  });
});

Deno.test("take_back_ai_job_answer: it races with a claim; a job that runs keeps its answer", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const [one] = await db.connections(1, "service_role");
    assert(one !== undefined);
    const seen = new Set<string>();
    for (let n = 0; n < 20; n++) {
      const job = await park(bench);
      await resolveWith(db.sql, job.id, `voice-${n}`);
      const [claimed, isTaken] = await Promise.all([
        bench.queue.claim(1, [job.id]),
        takeBack({ sql: one }, job.id),
      ]);
      assertEquals(claimed.length === 1, isTaken === false);
      assertEquals(
        (await callsOf(db, job.id))[0]?.[0],
        isTaken ? "unknown" : "adopted",
      );
      seen.add(String(isTaken));
    }
    assert(seen.size > 0);
  });
});

Deno.test("an operator's answer, given or taken back, does not affect the provider's breaker", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const failures = async () => {
      const [row] = await db.sql<{ n: number }[]>`
        select breaker_failures as n from public.ai_providers where provider = 'elevenlabs'`;
      return row?.n;
    };
    const job = await insertClaimedJob(bench);
    const call = await queue.begin(job);
    await queue.settle(job, call?.call_id ?? "", "unknown");
    await queue.fail(job, { isRetryable: false });
    await db.sql`
      update public.ai_provider_calls set error_code = 'provider_timeout' where job_id = ${job.id}`;
    await db.sql`
      update public.ai_providers set breaker_threshold = 10, breaker_failures = 3 where provider = 'elevenlabs'`;
    await resolveWith(db.sql, job.id, "voice-1");
    assertEquals(await failures(), 3);
    await takeBack(db, job.id);
    assertEquals(await failures(), 3);
  });
});

Deno.test("doubt_provider_call: an object that was named and that the provider does not have parks the job", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    await db.sql`update public.ai_prices set price_micros = 70, per_units = 1`;
    const parked = await park(bench);
    await resolveWith(db.sql, parked.id, "voice-1");
    const job = await claimJob(bench, parked.id);
    assertEquals(await doubt(db, job), "too_early");
    await ageAnswers(db);
    assertEquals(await doubt(db, job), "doubted");
    assertEquals(await doubt(db, job), "doubted", "its response was lost");
    assertEquals(await doubt(db, parked), null, "an old lease");
    assertEquals(await moneyOf(db, job), {
      reserved: 70,
      spent: 0,
      spend: "unknown",
      cost: 0,
    });
    await queue.fail(job, {
      code: "provider_object_missing",
      isRetryable: false,
    });
    const ended = await readJob(db, job.id);
    assertEquals(
      [ended.status, ended.error_code],
      ["failed", "outcome_unknown"],
    );
    const [row] = await db.sql<{ code: string }[]>`
      select call_error_code as code from private.ai_parked_jobs where job_id = ${job.id}`;
    assertEquals(row?.code, "provider_object_missing");
    assertEquals(await resolveWith(db.sql, job.id, "voice-2"), true);
  });
});

Deno.test("settle_provider_calls: two lost calls never adopt the same object, in one call or from two sessions", async (t) => {
  const lost = async (bench: Bench) => {
    const job = await insertClaimedJob(bench);
    const call = await bench.queue.begin(job);
    assert(call !== undefined);
    await bench.queue.settle(job, call.call_id, "unknown");
    return { job, callId: call.call_id };
  };
  const adopts = async (db: TestDatabase) =>
    (await db.sql<{ n: number }[]>`
    select count(*)::integer as n from public.ai_provider_calls
    where outcome = 'adopted' and provider_object_id = 'speech-1'`)[0]?.n;

  await t.step("in one call", () =>
    withQueue(async (bench) => {
      const { db, queue } = bench;
      const calls = [await lost(bench), await lost(bench)];
      const rows = await db.sql<{ is_settled: boolean; code: string | null }[]>`
        select is_settled, error ->> 'code' as code from public.settle_provider_calls(${
        db.sql.json(calls.map(({ job, callId }) => ({
          job_id: job.id,
          lease_token: job.lease_token,
          call_id: callId,
          outcome: "adopted",
          provider_object_id: "speech-1",
          progress: 50,
        })))
      }) order by 1`;
      assertEquals(rows.map(({ is_settled, code }) => [is_settled, code]), [
        [false, "AJ098"],
        [true, null],
      ]);
      assertEquals(await adopts(db), 1);
      const [second] = await db.sql<{ id: string; job_id: string }[]>`
        select id, job_id from public.ai_provider_calls where outcome = 'unknown'`;
      const job = calls.find((one) => one.job.id === second?.job_id)?.job;
      assert(job !== undefined && second !== undefined);
      assertEquals(
        await queue.settle(job, second.id, "adopted", "speech-2"),
        true,
      );
    }));

  await t.step("from two sessions", () =>
    withQueue(async (bench) => {
      const { db } = bench;
      const calls = [await lost(bench), await lost(bench)];
      const sessions = await db.connections(2, "service_role");
      const answers = await Promise.allSettled(
        calls.map(({ job, callId }, index) => {
          const sql = sessions[index];
          assert(sql !== undefined);
          return settleCall(sql, job, callId, "adopted", {
            objectId: "speech-1",
          });
        }),
      );
      assertEquals(
        answers.map(({ status }) => status).sort(),
        ["fulfilled", "rejected"],
      );
      assertEquals(await adopts(db), 1);
    }));
});

Deno.test("doubt_provider_call: an object that may still be in the making is not doubted", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const parked = await park(bench);
    await resolveWith(db.sql, parked.id, "voice-1");
    const job = await claimJob(bench, parked.id);
    await ageAnswers(db);
    assertEquals(await doubt(db, job, 900), "too_early");
    await db.sql`
      update public.ai_provider_calls set sent_at = sent_at - interval '901 seconds'`;
    assertEquals(await doubt(db, job, 900), "doubted");
  });
});

Deno.test("doubt_provider_call: what a lookup found is doubted after a minute, what was returned never", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const call = await queue.begin(job);
    assertEquals(await doubt(db, job), "kept", "it is in flight");
    await queue.settle(job, call?.call_id ?? "", "unknown");
    assertEquals(await doubt(db, job), "kept", "it was not found yet");
    await queue.settle(job, call?.call_id ?? "", "adopted", "voice-1");
    assertEquals(await doubt(db, job), "too_early");
    await ageAnswers(db);
    assertEquals(await doubt(db, job), "doubted");

    const returned = await insertClaimedJob(bench);
    const sent = await queue.begin(returned);
    await queue.settle(returned, sent?.call_id ?? "", "succeeded", "voice-2");
    await ageAnswers(db);
    assertEquals(await doubt(db, returned), "kept");
    assertEquals(await callsOf(db, returned.id), [["succeeded", "voice-2"]]);
  });
});
