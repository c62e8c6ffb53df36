/** How many voices a user, and the project, may have: exact, however many jobs are created at the same time. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type postgres from "postgres";
import type { TestDatabase } from "../_support/database.ts";
import {
  type Bench,
  insertClaimedJob,
  insertCompletedJob,
  insertJob,
  refusalOf,
  uploadSample,
  withQueue,
} from "./_support/factories.ts";

async function submit(
  sql: postgres.ISql,
  userId: string,
  inputUrl: string,
): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    insert into public.ai_jobs (user_id, job_type, input_url, metadata)
    values (${userId}, 'voice_clone', ${inputUrl}, ${
    sql.json({ voice_name: crypto.randomUUID() })
  }) returning id`;
  assert(row !== undefined);
  return row.id;
}

async function newCustomer(db: TestDatabase) {
  const { id } = await db.createUser();
  return { id, inputUrl: await uploadSample(db, id) };
}

async function setLimits(
  { db }: Bench,
  { ofUser = null, ofProvider = null }: {
    ofUser?: number | null;
    ofProvider?: number | null;
  },
) {
  await db
    .sql`update public.ai_limits set max_voices = ${ofUser} where user_id is null`;
  await db
    .sql`update public.ai_providers set max_voices = ${ofProvider} where provider = 'elevenlabs'`;
}

/** Why a new voice clone is refused; undefined when it is accepted, and then the insert is rolled back. */
async function refusal(bench: Bench, userId?: string) {
  const { db } = bench;
  const id = userId ?? (await db.createUser()).id;
  const inputUrl = await uploadSample(db, id);
  try {
    await db.sql.begin(async (sql) => {
      await submit(sql, id, inputUrl);
      throw new Error("there is room");
    });
  } catch (error) {
    return error instanceof Error && "code" in error ? error.code : undefined;
  }
}

for (
  const { whose, limits, code, users } of [
    { whose: "a user", limits: { ofUser: 7 }, code: "AJ036", users: 1 },
    {
      whose: "the project",
      limits: { ofProvider: 7 },
      code: "AJ037",
      users: 40,
    },
  ]
) {
  Deno.test(`voice limits: 20 parallel inserts leave ${whose} exactly as many as allowed`, async () => {
    await withQueue(async (bench) => {
      const { db } = bench;
      await setLimits(bench, limits);
      const customers = await Promise.all(
        Array.from({ length: users }, () => newCustomer(db)),
      );
      const connections = await db.connections(20);
      const outcomes = await Promise.all(
        Array.from({ length: 200 }, (_, n) => {
          const sql = connections[n % connections.length];
          const customer = customers[n % customers.length];
          assert(sql !== undefined && customer !== undefined);
          return submit(sql, customer.id, customer.inputUrl).then(
            () => "accepted",
            (error: postgres.PostgresError) => error.code,
          );
        }),
      );
      assertEquals(outcomes.filter((each) => each === "accepted").length, 7);
      assertEquals(outcomes.filter((each) => each === code).length, 193);
    });
  });
}

Deno.test("voice limits: a voice counts until it is deleted, for the project until the provider deleted it", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await setLimits(bench, { ofUser: 1, ofProvider: 2 });
    const job = await insertCompletedJob(bench);
    assertEquals(await refusal(bench, job.user_id), "AJ036");
    const other = await insertCompletedJob(bench);
    await setLimits(bench, { ofProvider: 2 });
    assertEquals(await refusal(bench), "AJ037");

    await db.sql`delete from public.voices where job_id = ${other.id}`;
    assertEquals(await refusal(bench), "AJ037");
    await setLimits(bench, { ofUser: 1 });
    assertEquals(await refusal(bench, other.user_id), undefined);
    await db
      .sql`update private.provider_removals set done_at = now(), outcome = 'removed'`;
    await setLimits(bench, { ofProvider: 2 });
    assertEquals(await refusal(bench), undefined);
    // A voice that the provider no longer has takes no place there.
    await insertCompletedJob(bench);
    assertEquals(await refusal(bench), "AJ037");
    await db.sql`update public.voices set provider_missing_since = now()`;
    assertEquals(await refusal(bench), undefined);
  });
});

Deno.test("voice limits: waiting and running jobs count, and so do voices of ended jobs without a row", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    await setLimits(bench, { ofUser: 1, ofProvider: 1 });
    const job = await insertClaimedJob(bench);
    assertEquals(await refusal(bench, job.user_id), "AJ036");
    assertEquals(await refusal(bench), "AJ037");
    await queue.begin(job);
    await queue.fail(job, { isRetryable: false });
    assertEquals(await refusal(bench, job.user_id), "AJ036");
    assertEquals(await refusal(bench), "AJ037");
    await db.sql`
      update public.ai_provider_calls set outcome = 'absent', settled_at = now() where job_id = ${job.id}`;
    assertEquals(await refusal(bench, job.user_id), undefined);
    assertEquals(await refusal(bench), undefined);
  });
});

Deno.test("voice limits: the possible voice of a deleted job counts once, until the janitor has resolved it", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await queue.begin(job);
    await queue.fail(job, { isRetryable: false });
    await setLimits(bench, { ofProvider: 2 });
    const places = async () => {
      const [row] = await db.sql<{ n: number }[]>`
        select private.count_provider_voices('elevenlabs')::int as n`;
      return row?.n;
    };
    await db.sql`
      insert into private.provider_removals (provider, object_type, marker, job_id)
      values ('elevenlabs', 'create_voice', ${`job:${job.id}`}, ${job.id})`;
    assertEquals(await places(), 1);
    await db.sql`delete from public.ai_jobs where id = ${job.id}`;
    assertEquals(await places(), 1);
    await db
      .sql`update private.provider_removals set done_at = now(), outcome = 'absent'`;
    assertEquals(await places(), 0);
  });
});

Deno.test("voice limits: a retry needs room like a new job; a refused one does not stop the operator's others", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const failed = await insertClaimedJob(bench);
    await queue.fail(failed, { isRetryable: false });
    await insertJob(db, { user_id: failed.user_id });
    await setLimits(bench, { ofUser: 1 });
    const retry = () =>
      db.sql`update public.ai_jobs set retry_requested_at = now() where id = ${failed.id}`;
    assertEquals((await refusalOf(retry)).code, "AJ036");
    await setLimits(bench, { ofProvider: 1 });
    assertEquals((await refusalOf(retry)).code, "AJ037");
    const [redriven] = await db.sql<{ jobs: number }[]>`
      select public.redrive_ai_jobs(p_job_type => 'voice_clone')::int as jobs`;
    assertEquals(redriven?.jobs, 0);
    await setLimits(bench, { ofProvider: 2 });
    await retry();
  });
});

Deno.test("voice limits: there is none by default, other jobs need no place, and a user's own limit wins", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const customer = await newCustomer(db);
    for (let n = 0; n < 12; n++) {
      await submit(db.sql, customer.id, customer.inputUrl);
    }
    await setLimits(bench, { ofUser: 0, ofProvider: 0 });
    await db.sql`
      insert into public.ai_jobs (user_id, job_type, metadata)
      values (${customer.id}, 'text_to_speech', '{"text": "Good evening.", "voice_id": "21m00Tcm4TlvDq8ikWAM"}')`;
    await setLimits(bench, { ofUser: 0 });
    await assertRejects(() => submit(db.sql, customer.id, customer.inputUrl));
    await db
      .sql`update public.ai_limits set max_voices = 13 where user_id = ${customer.id}`;
    await submit(db.sql, customer.id, customer.inputUrl);
    await assertRejects(() => submit(db.sql, customer.id, customer.inputUrl));
  });
});
