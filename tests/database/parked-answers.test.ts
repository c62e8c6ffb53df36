/** What an operator answers about a parked job: an id that cannot be right is refused. */
import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import type { TestDatabase } from "../_support/database.ts";
import {
  type Bench,
  insertClaimedJob,
  insertCompletedJob,
  pictureOf,
  readJob,
  refusalOf,
  withQueue,
} from "./_support/factories.ts";
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
): Promise<boolean | undefined> {
  const [row] = await sql<{ done: boolean }[]>`
    select public.resolve_unknown_ai_job(${jobId}, ${
    objectId !== null
  }, ${objectId}) as done`;
  return row?.done;
}

async function callsOf({ sql }: TestDatabase, jobId: string) {
  return [
    ...await sql<{ outcome: string; provider_object_id: string | null }[]>`
      select outcome, provider_object_id from public.ai_provider_calls where job_id = ${jobId} order by sent_at`,
  ].map((call) => [call.outcome, call.provider_object_id]);
}

/** Ways in which an id is already something else, at ElevenLabs. */
const TAKEN: Readonly<
  Record<string, (bench: Bench, id: string) => Promise<unknown>>
> = {
  "another user's job made it": async (bench, id) => {
    const job = await insertClaimedJob(bench);
    const call = await bench.queue.begin(job);
    assert(await bench.queue.settle(job, call?.call_id ?? "", "succeeded", id));
  },
  "a voice is it, whose job was deleted": async (bench, id) => {
    const job = await insertCompletedJob(bench);
    await bench.db
      .sql`update public.voices set provider_voice_id = ${id} where job_id = ${job.id}`;
    await bench.db.sql`delete from public.ai_jobs where id = ${job.id}`;
  },
  "an avatar is it": async ({ db }, id) => {
    const user = await db.createUser();
    await db.sql`
      insert into public.avatars (user_id, name, provider, provider_avatar_id, video_url)
      values (${user.id}, 'Grandpa', 'elevenlabs', ${id}, ${`outputs/${user.id}/a.mp4`})`;
  },
  "it bears the marker of another job": ({ db }, id) =>
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

Deno.test("resolve_unknown_ai_job: what has not the form of an id is AJ099, and changes nothing", async () => {
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
    // The forms of the providers.
    for (
      const id of ["21m00Tcm4TlvDq8ikWAM", "tlk_Zr6zbDqK-4", "v".repeat(255)]
    ) {
      const { id: jobId } = await park(bench);
      assertEquals(await resolveWith(db.sql, jobId, id), true, id);
    }
  });
});

Deno.test("resolve_unknown_ai_job: two jobs that are given one id at once: one gets it", async () => {
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
    // The object of another part is no answer for this one.
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
