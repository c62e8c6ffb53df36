/** The janitor's lists: each entry is claimed once, and objects in use are never claimed. */
import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import type { TestDatabase } from "../_support/database.ts";
import {
  backendOf,
  type Bench,
  insertClaimedJob,
  insertCompletedJob,
  insertJob,
  readJob,
  refusalOf,
  untilBlocked,
  withQueue,
} from "./_support/factories.ts";

interface Claimed {
  id: string;
  lease_token: string;
  provider_object_id: string | null;
  is_lookup_conclusive: boolean;
}

function claim(
  sql: postgres.ISql,
  limit = 10,
  providers = ["elevenlabs", "d-id", "heygen"],
) {
  return sql<Claimed[]>`
    select id::text, lease_token, provider_object_id, is_lookup_conclusive
    from public.claim_provider_removals(${providers}, ${limit})`;
}

async function settle(
  sql: postgres.ISql,
  { id, lease_token }: Claimed,
  outcome: string,
): Promise<boolean | undefined> {
  const [row] = await sql<{ is_settled: boolean }[]>`
    select public.settle_provider_removal(${id}, ${lease_token}, ${outcome}, 'provider_unavailable') as is_settled`;
  return row?.is_settled;
}

/** Removals of voices without an owner. */
async function addRemovals(
  db: TestDatabase,
  count: number,
  provider = "elevenlabs",
): Promise<void> {
  await db.sql`
    insert into private.provider_removals (provider, object_type, provider_object_id)
    select ${provider}, 'voice', 'voice-' || n from generate_series(1, ${count}::int) as n`;
}

/** A job whose paid call created this voice, and which then failed finally. */
async function failedWithVoice(bench: Bench, voiceId: string): Promise<string> {
  const job = await insertClaimedJob(bench);
  const call = await bench.queue.begin(job);
  await bench.queue.settle(job, call?.call_id ?? "", "succeeded", voiceId);
  await bench.queue.fail(job, { isRetryable: false });
  assertEquals((await readJob(bench.db, job.id)).status, "failed");
  return job.id;
}

const setGrace = (
  db: TestDatabase,
  seconds: { orphan?: number; failed?: number; interval?: number },
) =>
  db.sql`
    update private.janitor_settings
    set orphan_grace_seconds = ${seconds.orphan ?? 86_400},
      failed_grace_seconds = ${seconds.failed ?? 604_800},
      scan_interval_seconds = ${seconds.interval ?? 21_600}`;

Deno.test("claim_provider_removals: parallel claims get everything, and nothing twice", async () => {
  await withQueue(async ({ db }) => {
    await addRemovals(db, 100);
    const workers = await db.connections(5, "service_role");
    const taken = (await Promise.all(
      workers.map(async (sql) => {
        const mine: string[] = [];
        for (;;) {
          const batch = await claim(sql, 7);
          if (batch.length === 0) return mine;
          mine.push(...batch.map(({ id }) => id));
        }
      }),
    )).flat();
    assertEquals(new Set(taken).size, taken.length, "nothing twice");
    assertEquals(taken.length, 100, "nothing lost");
  });
});

Deno.test("settle_provider_removal: a caller that lost the lease changes nothing", async () => {
  await withQueue(async ({ db }) => {
    await addRemovals(db, 1);
    const [service] = await db.connections(1, "service_role");
    assert(service !== undefined);
    const [first] = await claim(service);
    assert(first !== undefined);
    assertEquals([...await claim(service)], [], "leased");
    await db.sql`update private.provider_removals set next_attempt_at = now()`;
    const [second] = await claim(service);
    assert(second !== undefined && second.lease_token !== first.lease_token);
    assertEquals(await settle(service, first, "removed"), false);
    assertEquals(await settle(service, second, "failed"), true);
    assertEquals(await settle(service, second, "removed"), false);
    const [row] = await db.sql`
      select attempts, last_error_code, outcome, next_attempt_at > now() + interval '40 seconds' as is_late
      from private.provider_removals`;
    assertEquals(row, {
      attempts: 2,
      last_error_code: "provider_unavailable",
      outcome: null,
      is_late: true,
    });
    await db.sql`update private.provider_removals set next_attempt_at = now()`;
    const [third] = await claim(service);
    assert(third !== undefined);
    assertEquals(await settle(service, third, "removed"), true);
    await db.sql`update private.provider_removals set next_attempt_at = now()`;
    assertEquals([...await claim(service)], []);
  });
});

Deno.test("removal_pause: doubles from half a minute to six hours, ±20 %", async () => {
  await withQueue(async ({ db }) => {
    const rows = await db.sql<{ n: number; seconds: number }[]>`
      select n, extract(epoch from private.removal_pause(n))::float as seconds
      from unnest(array[0, 1, 2, 5, 10, 11, 1000]) as n, generate_series(1, 50)`;
    for (const { n, seconds } of rows) {
      const base = Math.min(30 * 2 ** (Math.max(n, 1) - 1), 21_600);
      assert(
        seconds >= base * 0.8 && seconds <= base * 1.2,
        `${n}: ${seconds} s`,
      );
    }
    assert(new Set(rows.map(({ seconds }) => seconds)).size > 100, "jitter");
  });
});

Deno.test("claim_provider_removals: skips providers that are not named, paused or down", async () => {
  await withQueue(async ({ db }) => {
    await addRemovals(db, 1);
    await addRemovals(db, 1, "d-id");
    await addRemovals(db, 1, "heygen");
    await db
      .sql`update public.ai_providers set paused_at = now() where provider = 'd-id'`;
    await db.sql`
      update public.ai_providers set breaker_opened_at = now(), breaker_probe_at = now() where provider = 'heygen'`;
    assertEquals((await claim(db.sql, 10, ["d-id", "heygen"])).length, 0);
    assertEquals((await claim(db.sql, 10, [])).length, 0);
    assertEquals((await claim(db.sql)).length, 1);
    const open = await db.sql`
      select 1 from private.provider_removals where attempts = 0 and last_error_code is null`;
    assertEquals(open.length, 2, "waiting costs no attempt");
    // There is no job that could have probed the provider for ten minutes.
    await db.sql`
      update public.ai_providers set breaker_probe_at = now() - interval '11 minutes' where provider = 'heygen'`;
    assertEquals((await claim(db.sql, 10, ["d-id", "heygen"])).length, 1);
  });
});

Deno.test("claim_provider_removals: an object with a row is never claimed, however it was queued", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertCompletedJob(bench);
    await db.sql`
      insert into private.provider_removals (provider, object_type, provider_object_id)
      select provider, 'voice', provider_voice_id from public.voices`;
    assertEquals([...await claim(db.sql)], []);
    const [row] = await db.sql`
      select attempts, next_attempt_at > now() + interval '50 minutes' as is_late from private.provider_removals`;
    assertEquals(row, { attempts: 0, is_late: true });
    await db.sql`delete from public.voices where job_id = ${job.id}`;
    await db.sql`update private.provider_removals set next_attempt_at = now()`;
    assertEquals((await claim(db.sql)).length, 1);
  });
});

Deno.test("claim_provider_removals: a failed job keeps its objects for the grace; a racing retry is safe", async (t) => {
  for (const winner of ["retry", "janitor"] as const) {
    await t.step(`${winner} first`, async () => {
      await withQueue(async (bench) => {
        const { db } = bench;
        const jobId = await failedWithVoice(bench, "v_1");
        await db.sql`
          insert into private.provider_removals (provider, object_type, provider_object_id, job_id)
          values ('elevenlabs', 'create_voice', 'v_1', ${jobId})`;
        assertEquals([...await claim(db.sql)], [], "within its grace");
        await setGrace(db, { failed: 0 });
        await db
          .sql`update private.provider_removals set next_attempt_at = now()`;

        const [one, other] = await db.connections(2);
        assert(one !== undefined && other !== undefined);
        const retry = (sql: postgres.ISql) =>
          sql`update public.ai_jobs set retry_requested_at = now() where id = ${jobId}`;
        const janitor = (sql: postgres.ISql) => claim(sql);
        const [first, second] = winner === "retry"
          ? [retry, janitor]
          : [janitor, retry];
        const pid = await backendOf(other);
        let later: Promise<postgres.RowList<postgres.Row[]>> | undefined;
        await one.begin(async (sql) => {
          await first(sql);
          later = Promise.resolve(second(other));
          await untilBlocked(db, pid);
        });
        await later;

        assertEquals((await readJob(db, jobId)).status, "pending");
        const [job] = await bench.queue.claim(1, [jobId]);
        assert(job !== undefined);
        const call = await bench.queue.begin(job);
        const [removal] = await db.sql<
          { attempts: number }[]
        >`select attempts from private.provider_removals`;
        assertEquals(
          [call?.decision, removal?.attempts],
          winner === "retry" ? ["done", 0] : ["send", 1],
        );
      });
    });
  }
});

Deno.test("claim_provider_removals: an empty lookup counts only after the grace period; a find is checked", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertClaimedJob(bench);
    await bench.queue.begin(job);
    await db.sql`delete from public.ai_jobs where id = ${job.id}`;
    assertEquals([...await claim(db.sql)], [], "the call may be in flight");
    await db.sql`update private.provider_removals set next_attempt_at = now()`;
    const [early] = await claim(db.sql);
    assertEquals(early?.is_lookup_conclusive, false);
    await db.sql`
      update private.provider_removals set next_attempt_at = now(), requested_at = now() - interval '25 hours'`;
    const [late] = await claim(db.sql);
    assertEquals(late?.is_lookup_conclusive, true);

    const completed = await insertCompletedJob(bench);
    const [voice] = await db.sql<{ provider_voice_id: string }[]>`
      select provider_voice_id from public.voices where job_id = ${completed.id}`;
    const ask = async (token: string, objectId: string) => {
      const [row] = await db.sql<{ may: boolean }[]>`
        select public.discard_found_object(${
        late?.id ?? ""
      }, ${token}, ${objectId}) as may`;
      return row?.may;
    };
    const token = late?.lease_token ?? "";
    assertEquals(await ask(token, voice?.provider_voice_id ?? ""), false);
    assertEquals(await ask(early?.lease_token ?? "", "v_lost"), false);
    assertEquals(await ask(token, "v_lost"), true);
  });
});

Deno.test("settle_cancelled_call: a cancelled job's reservation is settled once the janitor knows the outcome", async (t) => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await db.sql`
      update public.ai_prices set price_micros = 3000000 where job_type = 'voice_clone' and provider = 'elevenlabs'`;
    for (
      const [made, standing, spent] of [
        ["v_lost", "incurred", 3_000_000],
        [null, "none", 0],
      ] as const
    ) {
      await t.step(made === null ? "nothing" : "a voice", async () => {
        const job = await insertClaimedJob(bench);
        await bench.queue.begin(job);
        await db.sql`
          update public.ai_jobs set cancel_requested_at = now() where id = ${job.id}`;
        await db.asService((sql) =>
          sql`select public.cancel_ai_job(${job.id}, ${job.lease_token})`
        );
        const money = async () => {
          const [row] = await db.sql<
            { spend: string; cost: number; spent: number; reserved: number }[]
          >`
            select j.spend, j.cost_micros::float8 as cost, l.spent_micros::float8 as spent,
              l.reserved_micros::float8 as reserved
            from public.ai_jobs as j join public.ai_limits as l on l.user_id = j.user_id where j.id = ${job.id}`;
          return { ...row };
        };
        assertEquals(await money(), {
          spend: "unknown",
          cost: 0,
          spent: 0,
          reserved: 3_000_000,
        });
        const [listed] = await db.sql<{ id: string }[]>`
          select id from private.ai_job_dead_letters`;
        assertEquals(listed?.id, job.id, "the operator sees it");

        await setGrace(db, { orphan: 0 });
        await db.sql`select private.queue_job_leftovers()`;
        const [removal] = await claim(db.sql);
        assert(removal !== undefined);
        if (made !== null) {
          const [row] = await db.sql<{ may: boolean }[]>`
            select public.discard_found_object(${removal.id}, ${removal.lease_token}, ${made}) as may`;
          assertEquals(row?.may, true);
        }
        await settle(db.sql, removal, made === null ? "absent" : "removed");
        assertEquals(await money(), {
          spend: standing,
          cost: spent,
          spent,
          reserved: 0,
        });
        assertEquals(
          [...await db.sql`select id from private.ai_job_dead_letters`],
          [],
        );
      });
    }
  });
});

Deno.test("provider removals: a lost call of a deleted account is looked up without a delay", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertClaimedJob(bench);
    await bench.queue.begin(job);
    await db.sql`delete from auth.users where id = ${job.user_id}`;
    const [found] = await claim(db.sql);
    assertEquals([found?.provider_object_id, found?.is_lookup_conclusive], [
      null,
      false,
    ]);
  });
});

interface File {
  id: string;
  lease_token: string;
  object_path: string;
}
const claimFiles = (sql: postgres.ISql, limit = 100) =>
  sql<
    File[]
  >`select id::text, lease_token, object_path from public.claim_storage_removals(${limit})`;

Deno.test("claim_storage_removals: parallel claims get every file once, and none that a row names", async () => {
  await withQueue(async ({ db }) => {
    const user = (await db.createUser()).id;
    await db.sql`
      insert into storage.objects (bucket_id, name, created_at, updated_at)
      select 'uploads', ${user} || '/' || n || '.jpg', now() - interval '1 day', now() - interval '1 day'
      from generate_series(1, 60) as n`;
    await db.sql`
      insert into private.storage_removals (object_path, user_id, reason)
      select bucket_id || '/' || name, ${user}, 'media' from storage.objects`;
    await db.sql`
      insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
      values (${user}, 'image', ${`uploads/${user}/7.jpg`}, '7.jpg', 'image/jpeg', 1)`;
    const workers = await db.connections(4, "service_role");
    const taken = (await Promise.all(
      workers.map(async (sql) => {
        const mine: string[] = [];
        for (;;) {
          const batch = await claimFiles(sql, 9);
          if (batch.length === 0) return mine;
          mine.push(...batch.map(({ object_path }) => object_path));
        }
      }),
    )).flat();
    assertEquals(new Set(taken).size, taken.length, "nothing twice");
    assertEquals(taken.length, 59, "nothing lost");
    assert(!taken.includes(`uploads/${user}/7.jpg`));
    // A new request makes it due immediately, and not a day later.
    await db.sql`delete from public.media`;
    assertEquals(
      (await claimFiles(db.sql)).map(({ object_path }) => object_path),
      [`uploads/${user}/7.jpg`],
    );
  });
});

Deno.test("claim_storage_removals: a file that its owner stored again is kept, unless the account is deleted", async () => {
  await withQueue(async ({ db }) => {
    const anna = (await db.createUser()).id;
    const paul = (await db.createUser()).id;
    for (const user of [anna, paul]) {
      await db.sql`
        insert into private.storage_removals (object_path, user_id, reason, requested_at)
        values (${`uploads/${user}/a.jpg`}, ${user}, 'media', now() - interval '1 minute')`;
      await db.putObject({
        bucket: "uploads",
        path: `${user}/a.jpg`,
        mimetype: "image/jpeg",
        size: 1,
      });
    }
    await db.sql`delete from auth.users where id = ${paul}`;
    await db.sql`
      update private.storage_removals set requested_at = now() - interval '1 minute'`;
    assertEquals(
      (await claimFiles(db.sql)).map(({ object_path }) => object_path),
      [`uploads/${paul}/a.jpg`],
    );
    const [row] = await db.sql`
      select outcome from private.storage_removals where user_id = ${anna}`;
    assertEquals(row, { outcome: "replaced" });
  });
});

Deno.test("settle_storage_removals: done only when Storage no longer has the file; the report is not trusted", async () => {
  await withQueue(async ({ db }) => {
    const user = (await db.createUser()).id;
    for (const name of ["a.jpg", "b.jpg"]) {
      await db.putObject({
        bucket: "uploads",
        path: `${user}/${name}`,
        mimetype: "image/jpeg",
        size: 1,
      });
      await db.sql`
        insert into private.storage_removals (object_path, user_id, reason)
        values (${`uploads/${user}/${name}`}, ${user}, 'users')`;
    }
    await db
      .sql`update storage.objects set created_at = now() - interval '1 day', updated_at = now() - interval '1 day'`;
    const files = await claimFiles(db.sql);
    assertEquals(files.length, 2);
    await db
      .sql`select set_config('storage.allow_delete_query', 'true', false)`;
    await db.sql`delete from storage.objects where name like '%a.jpg'`;
    const ids = files.map(({ id }) => id);
    const settleAs = async (token: string) => {
      const [row] = await db.sql<{ done: number }[]>`
        select public.settle_storage_removals(${ids}::bigint[], ${token}) as done`;
      return row?.done;
    };
    assertEquals(await settleAs(crypto.randomUUID()), 0, "another's lease");
    assertEquals(await settleAs(files[0]?.lease_token ?? ""), 1);
    const rows = await db.sql`
      select outcome, last_error_code from private.storage_removals order by object_path`;
    assertEquals([...rows], [
      { outcome: "removed", last_error_code: null },
      { outcome: null, last_error_code: "storage_unavailable" },
    ]);
  });
});

Deno.test("queue_job_leftovers: queues the objects of ended jobs once, in parts, and none of a parked job", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await setGrace(db, { orphan: 0, failed: 0 });
    const failed = [];
    for (let n = 0; n < 5; n++) {
      failed.push(await failedWithVoice(bench, `v_${n}`));
    }
    const parked = await insertClaimedJob(bench);
    await bench.queue.begin(parked);
    await bench.queue.fail(parked, { isRetryable: false });
    assertEquals(
      (await readJob(db, parked.id)).error_code,
      "outcome_unknown",
    );
    const alive = await insertJob(db);
    const path = (job: { id: string; user_id: string }) => ({
      bucket: "outputs",
      path: `${job.user_id}/${job.id}/part-1.mp3`,
      mimetype: "audio/mpeg",
      size: 1,
    });
    const first = await readJob(db, failed[0] ?? "");
    for (const job of [first, parked, alive]) await db.putObject(path(job));
    // All end at the same time: no part of the work may skip jobs with an equal time.
    await db
      .sql`update public.ai_jobs set completed_at = now() where status = 'failed'`;

    const looked = async () => {
      const [row] = await db.sql<{ count: number }[]>`
        select private.queue_job_leftovers(2) as count`;
      return row?.count;
    };
    assertEquals([await looked(), await looked()], [5, 0]);
    const queued = await db.sql<{ id: string }[]>`
      select provider_object_id as id from private.provider_removals order by 1`;
    assertEquals(queued.map(({ id }) => id), [
      "v_0",
      "v_1",
      "v_2",
      "v_3",
      "v_4",
    ]);
    const files = await db.sql<{ object_path: string }[]>`
      select object_path from private.storage_removals where reason = 'job_leftovers'`;
    assertEquals(files.map(({ object_path }) => object_path), [
      `outputs/${first.user_id}/${first.id}/part-1.mp3`,
    ]);
  });
});

interface Scan {
  lease_token: string;
  page_cursor: string | null;
  is_listed: boolean;
}
const beginScan = async (sql: postgres.ISql) => {
  const [scan] = await sql<
    Scan[]
  >`select * from public.begin_provider_scan('elevenlabs')`;
  return scan;
};
async function recordPage(
  sql: postgres.Sql,
  scan: Scan | undefined,
  objects: { object_id: string; job_id: string | null }[],
  next: string | null = null,
): Promise<boolean | undefined> {
  const [row] = await sql<{ is_ours: boolean }[]>`
    select public.record_provider_page(
      'elevenlabs', ${scan?.lease_token ?? null},
      ${
    sql.json(objects.map((one) => ({ ...one, object_type: "voice" })))
  }, ${next}
    ) as is_ours`;
  return row?.is_ours;
}
const endScan = (
  sql: postgres.ISql,
  scan: Scan | undefined,
  code: string | null = null,
) =>
  sql`select public.end_provider_scan('elevenlabs', ${
    scan?.lease_token ?? null
  }, ${code})`;

Deno.test("provider scans: one at a time; interrupted ones resume, failed ones restart, finished ones pause", async () => {
  await withQueue(async ({ db }) => {
    const workers = await db.connections(4, "service_role");
    const begun = (await Promise.all(workers.map(beginScan)))
      .filter((scan) => scan !== undefined);
    assertEquals(begun.length, 1);
    const [scan] = begun;
    assertEquals(await recordPage(db.sql, scan, [], "page 2"), true);
    const expire = () =>
      db.sql`update private.provider_scans set lease_expires_at = now()`;
    await expire();
    const next = await beginScan(db.sql);
    assertEquals([next?.page_cursor, next?.is_listed], ["page 2", false]);
    assertEquals(
      await recordPage(db.sql, scan, [], null),
      false,
      "the lease is lost",
    );
    await endScan(db.sql, next, "provider_unavailable");
    const secondScan = await beginScan(db.sql);
    assertEquals([secondScan?.page_cursor, secondScan?.is_listed], [
      null,
      false,
    ]);
    assertEquals(await recordPage(db.sql, secondScan, [], null), true);
    await expire();
    const listed = await beginScan(db.sql);
    assertEquals(listed?.is_listed, true);
    await endScan(db.sql, listed);
    assertEquals(await beginScan(db.sql), undefined, "it rests");
    await setGrace(db, { interval: 0 });
    assert(await beginScan(db.sql) !== undefined);
  });
});

Deno.test("provider scans: one whose rows cannot be queried reads the list again after an interval", async () => {
  await withQueue(async ({ db }) => {
    const scan = await beginScan(db.sql);
    assertEquals(await recordPage(db.sql, scan, [], null), true);
    await endScan(db.sql, scan, "provider_unauthorized");
    const second = await beginScan(db.sql);
    assertEquals(second?.is_listed, true);
    await endScan(db.sql, second, "provider_unauthorized");
    await db.sql`
      update private.provider_scans
      set started_at = started_at - interval '7 hours', listed_at = listed_at - interval '7 hours'`;
    const third = await beginScan(db.sql);
    assertEquals([third?.is_listed, third?.page_cursor], [false, null]);
    const [row] = await db.sql<{ is_new: boolean; pages: number }[]>`
      select started_at > now() - interval '1 minute' as is_new, pages from private.provider_scans`;
    assertEquals({ ...row }, { is_new: true, pages: 0 });
  });
});

Deno.test("record_provider_page: only orphans are queued, and only when seen again after the grace", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await setGrace(db, { interval: 0 });
    const completed = await insertCompletedJob(bench);
    const [voice] = await db.sql<{ provider_voice_id: string }[]>`
      select provider_voice_id from public.voices`;
    const pending = await insertJob(db);
    const deleted = await insertClaimedJob(bench);
    await bench.queue.begin(deleted);
    await db.sql`delete from public.ai_jobs where id = ${deleted.id}`;
    await db.sql`delete from private.provider_removals`;
    const page = [
      { object_id: voice?.provider_voice_id ?? "", job_id: completed.id },
      { object_id: "v_double", job_id: completed.id },
      { object_id: "v_live", job_id: pending.id },
      { object_id: "v_deleted", job_id: deleted.id },
      { object_id: "v_foreign", job_id: crypto.randomUUID() },
      { object_id: "v_unmarked", job_id: null },
    ];
    const readAll = async () => {
      const scan = await beginScan(db.sql);
      await recordPage(db.sql, scan, page);
      await endScan(db.sql, scan);
    };
    await readAll();
    const standings = await db.sql<{ object_id: string; standing: string }[]>`
      select object_id, standing from private.provider_objects`;
    assertEquals(
      Object.fromEntries(
        standings.map(({ object_id, standing }) => [object_id, standing]),
      ),
      {
        [voice?.provider_voice_id ?? ""]: "named",
        v_double: "orphan",
        v_live: "live",
        v_deleted: "orphan",
        v_foreign: "foreign",
      },
    );
    const queued = async () =>
      (await db.sql<{ id: string }[]>`
        select provider_object_id as id from private.provider_removals order by 1`)
        .map(({ id }) => id);
    await readAll();
    assertEquals(await queued(), [], "within the grace");
    await db
      .sql`update private.provider_objects set orphan_since = orphan_since - interval '25 hours'
      where orphan_since is not null`;
    await readAll();
    assertEquals(await queued(), ["v_deleted", "v_double"]);
    await readAll();
    assertEquals((await queued()).length, 2, "once");
    page.pop();
    page.pop();
    await readAll();
    assertEquals(
      (await db
        .sql`select 1 from private.provider_objects where object_id = 'v_foreign'`)
        .length,
      0,
      "objects that are no longer listed are forgotten",
    );
  });
});

Deno.test("record_provider_rows: a row without an object at the provider is marked until a list shows it again", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await setGrace(db, { interval: 0 });
    const job = await insertCompletedJob(bench);
    const [voice] = await db.sql<{ id: string }[]>`
      select provider_voice_id as id from public.voices`;
    assert(voice !== undefined);
    const unseen = async (scan: Scan | undefined) =>
      (await db.sql<{ id: string }[]>`
        select id from public.unseen_provider_rows('elevenlabs', ${
        scan?.lease_token ?? null
      }, 10) as id`).map(({ id }) => id);
    const isMarked = async () =>
      (await db
        .sql`select 1 from public.voices where provider_missing_since is not null`)
        .length === 1;
    const scan = await beginScan(db.sql);
    assertEquals(await unseen(scan), [], "not before the list is read");
    await recordPage(db.sql, scan, []);
    assertEquals(await unseen(scan), [], "too new: the list may lag");
    await db
      .sql`update public.voices set created_at = now() - interval '2 hours'`;
    assertEquals(await unseen(scan), [voice.id]);
    assertEquals(
      (await db.sql<{ ok: boolean }[]>`
        select public.record_provider_rows('elevenlabs', ${crypto.randomUUID()}, ${[
        voice.id,
      ]}, '{}') as ok`)[0]?.ok,
      false,
    );
    assertEquals(await isMarked(), false);
    await db.sql`select public.record_provider_rows('elevenlabs', ${
      scan?.lease_token ?? ""
    }, ${[voice.id]}, '{}')`;
    assertEquals([await isMarked(), await unseen(scan)], [true, []]);
    await endScan(db.sql, scan);
    const again = await beginScan(db.sql);
    await recordPage(db.sql, again, [{ object_id: voice.id, job_id: job.id }]);
    assertEquals(await isMarked(), false);
  });
});

Deno.test("begin_janitor_run: a repeated or old delivery is refused", async () => {
  await withQueue(async ({ db }) => {
    const begin = (id: string, age: number) =>
      db.asService((sql) =>
        sql`select public.begin_janitor_run(${id}, extract(epoch from now()) - ${age})`
      );
    await begin("msg_1", 0);
    assertEquals((await refusalOf(() => begin("msg_1", 0))).code, "AJ041");
    assertEquals((await refusalOf(() => begin("msg_2", 301))).code, "AJ040");
    assertEquals((await refusalOf(() => begin("msg_3", -301))).code, "AJ040");
  });
});

Deno.test("run_janitor: without URL or secret in the Vault it sends nothing and raises nothing", async () => {
  await withQueue(async ({ db }) => {
    await db
      .sql`select vault.update_secret(id, '') from vault.secrets where name = 'dispatch_secret'`;
    const [row] = await db.sql`select private.run_janitor() as id`;
    assertEquals(row, { id: null });
  });
});
