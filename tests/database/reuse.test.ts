/**
 * Reusing the result of an earlier equal job: at insert by cached_from_job_id, after the claim by reuse_ai_job_result.
 */
import { assert, assertEquals } from "@std/assert";
import type { TestDatabase } from "../_support/database.ts";
import {
  type Bench,
  claimJob,
  eventsOf,
  insertClaimedJob,
  insertCompletedJob,
  insertJob,
  type NewJob,
  pictureOf,
  readJob,
  uploadSample,
  withQueue,
} from "./_support/factories.ts";
import type { Job } from "./_support/queue.ts";

/** A reason why a result cannot be reused: in the source or in the request. */
interface Obstacle {
  name: string;
  /** Creates the source; by default one that can be reused. */
  source?: (bench: Bench) => Promise<Job>;
  /** Changes the source so that it cannot be reused. */
  spoil?: (db: TestDatabase, source: Job) => Promise<unknown>;
  /** The new request; by default equal to the source's. */
  request?: (db: TestDatabase, source: Job) => Promise<NewJob>;
}

const obstacles: Obstacle[] = [
  {
    name: "another owner",
    request: async (db, source) => {
      const { id } = await db.createUser();
      return {
        user_id: id,
        input_url: await uploadSample(db, id),
        metadata: { voice_name: String(source.metadata.voice_name) },
      };
    },
  },
  {
    name: "another owner, although the hash is the same",
    spoil: async (db, source) => {
      const { id } = await db.createUser();
      await db.sql`update public.voices set job_id = null`;
      await db
        .sql`update public.ai_jobs set user_id = ${id} where id = ${source.id}`;
    },
  },
  {
    name: "other parameters",
    request: () => Promise.resolve({ metadata: { voice_name: "Grandma" } }),
  },
  {
    name: "another recording",
    request: async (db, source) => ({
      input_url: await uploadSample(db, source.user_id),
    }),
  },
  {
    name: "another version of the recording",
    spoil: (db) =>
      db.sql`update storage.objects set version = ${crypto.randomUUID()}`,
  },
  {
    name: "a source that is still waiting",
    source: ({ db }) => insertJob(db),
  },
  {
    name: "a source that is still running",
    source: (bench) => insertClaimedJob(bench),
  },
  {
    name: "a source that failed",
    source: async (bench) => {
      const job = await insertClaimedJob(bench);
      await bench.queue.fail(job, { isRetryable: false });
      return await readJob(bench.db, job.id);
    },
  },
  {
    name: "a source that failed, of a type whose result is only data",
    source: async (bench) => {
      await bench.db.sql`
        insert into public.ai_job_types (job_type, provider, input_buckets, input_mime_types)
        select 'transcription_of_old', provider, input_buckets, input_mime_types from public.ai_job_types
        where job_type = 'voice_clone'`;
      const job = await insertClaimedJob(bench, {
        job_type: "transcription_of_old",
      });
      await bench.queue.fail(job, { isRetryable: false });
      return await readJob(bench.db, job.id);
    },
    request: (_db, { job_type }) => Promise.resolve({ job_type }),
  },
  {
    name: "a voice that is removed",
    spoil: (db) => db.sql`delete from public.voices`,
  },
  {
    name: "a voice that now belongs to another user",
    spoil: async (db) => {
      const { id } = await db.createUser();
      await db.sql`update public.voices set user_id = ${id}, job_id = null`;
    },
  },
  {
    name: "a source that is too old",
    spoil: (db, source) =>
      db.sql`
        update public.ai_jobs
        set created_at = now() - interval '2 days', started_at = now() - interval '2 days',
          completed_at = now() - interval '1 day 1 second'
        where id = ${source.id}`,
  },
  {
    name: "a type whose results are not reused",
    spoil: (db) => db.sql`update public.ai_job_types set cache_ttl_seconds = 0`,
  },
  {
    name: "an output that will be removed, because its owner deleted it",
    spoil: async (db, source) => {
      const output = await db.putObject({
        bucket: "outputs",
        path: `${source.user_id}/speech.mp3`,
        mimetype: "audio/mpeg",
        size: 1,
      });
      await db
        .sql`update public.ai_jobs set output_url = ${output} where id = ${source.id}`;
      await db.sql`
        insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
        values (${source.user_id}, 'audio', ${output}, 'a.mp3', 'audio/mpeg', 1)`;
      await db.sql`delete from public.media where storage_path = ${output}`;
    },
  },
  {
    name: "an output that its owner deleted, and that another job still reads",
    spoil: async (db, source) => {
      const output = await db.putObject({
        bucket: "outputs",
        path: `${source.user_id}/speech.mp3`,
        mimetype: "audio/mpeg",
        size: 1,
      });
      await db
        .sql`update public.ai_jobs set output_url = ${output} where id = ${source.id}`;
      await db.sql`
        insert into private.storage_removals (object_path, user_id, reason)
        values (${output}, ${source.user_id}, 'media')`;
      await insertJob(db, {
        user_id: source.user_id,
        job_type: "transcription",
        input_url: output,
        metadata: {},
      });
    },
  },
  {
    name: "an output that is gone",
    spoil: (db, source) =>
      db.sql`
        update public.ai_jobs set output_url = ${`outputs/${source.user_id}/gone.mp3`}
        where id = ${source.id}`,
  },
];

async function makeCase(
  bench: Bench,
  obstacle: Partial<Obstacle>,
): Promise<{ source: Job; request: NewJob }> {
  const { db } = bench;
  const source = await (obstacle.source ?? insertCompletedJob)(bench);
  const request = {
    user_id: source.user_id,
    input_url: source.input_url,
    ...await obstacle.request?.(db, source),
  };
  await obstacle.spoil?.(db, source);
  return { source, request };
}

/** Sources that can be reused. */
const reusable: Partial<Obstacle>[] = [
  { name: "an equal request of the same owner" },
  {
    name: "a source that is almost too old",
    spoil: (db, source) =>
      db.sql`
        update public.ai_jobs
        set created_at = now() - interval '2 days', started_at = now() - interval '2 days',
          completed_at = now() - interval '23 hours 59 minutes'
        where id = ${source.id}`,
  },
  {
    name: "an output whose removal waits, because a job still has it",
    spoil: async (db, source) => {
      const output = await db.putObject({
        bucket: "outputs",
        path: `${source.user_id}/shared.mp3`,
        mimetype: "audio/mpeg",
        size: 1,
      });
      await db
        .sql`update public.ai_jobs set output_url = ${output} where id = ${source.id}`;
      await db.sql`
        insert into private.storage_removals (object_path, user_id, reason)
        values (${output}, ${source.user_id}, 'ai_jobs')`;
    },
  },
  {
    name: "an output that still exists",
    spoil: async (db, source) => {
      const output = await db.putObject({
        bucket: "outputs",
        path: `${source.user_id}/speech.mp3`,
        mimetype: "audio/mpeg",
        size: 1,
      });
      await db
        .sql`update public.ai_jobs set output_url = ${output} where id = ${source.id}`;
    },
  },
];

Deno.test("cached_from_job_id: an equal job is completed immediately, with the result and both events", async (t) => {
  for (const { name = "", ...rest } of reusable) {
    await t.step(name, () =>
      withQueue(async (bench) => {
        const { db, queue } = bench;
        const { source, request } = await makeCase(bench, rest);
        const earlier = await readJob(db, source.id);

        const job = await insertJob(db, {
          ...request,
          cached_from_job_id: source.id,
        });

        assertEquals(job.status, "completed");
        assertEquals(job.progress_percentage, 100);
        assertEquals(job.result_data, earlier.result_data);
        assertEquals(job.output_url, earlier.output_url);
        assertEquals(job.cached_from_job_id, source.id);
        assertEquals([job.attempt, job.billable_calls], [0, 0]);
        assertEquals([job.started_at, job.completed_at], [
          job.created_at,
          job.created_at,
        ]);
        assertEquals(await eventsOf(db, job.id), [
          {
            seq: 1,
            event: "created",
            attempt: 0,
            data: { job_type: "voice_clone" },
          },
          {
            seq: 2,
            event: "completed",
            attempt: 0,
            data: { status: "completed", progress: 100 },
          },
        ]);
        assertEquals([job.event_seq, job.last_event], [2, "completed"]);
        assertEquals(await queue.claim(10), []);
      }));
  }
});

Deno.test("cached_from_job_id: a job that does not match is ignored for every caller, and the new job waits", async (t) => {
  for (const { name, ...rest } of obstacles) {
    await t.step(name, () =>
      withQueue(async (bench) => {
        const { db } = bench;
        const { source, request } = await makeCase(bench, rest);
        const job = await insertJob(db, {
          ...request,
          cached_from_job_id: source.id,
        });
        assertEquals([job.status, job.cached_from_job_id, job.result_data], [
          "pending",
          null,
          null,
        ]);
        assertEquals((await eventsOf(db, job.id)).length, 1);
      }));
  }
  await t.step("a job that does not exist", () =>
    withQueue(async ({ db }) => {
      const job = await insertJob(db, {
        cached_from_job_id: crypto.randomUUID(),
      });
      assertEquals([job.status, job.cached_from_job_id], ["pending", null]);
    }));
});

Deno.test("cached_from_job_id: another user's job is ignored; the user's own job is reused", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const theirs = await insertCompletedJob(bench);
    const mine = await insertCompletedJob(bench);
    const insert = (sourceId: string) =>
      db.asUser(mine.user_id, async (sql) => {
        const [job] = await sql<Job[]>`
          insert into public.ai_jobs (job_type, input_url, metadata, cached_from_job_id)
          values ('voice_clone', ${mine.input_url}, ${
          sql.json({ voice_name: "Grandpa" })
        }, ${sourceId})
          returning *`;
        return job;
      });
    const refused = await insert(theirs.id);
    assertEquals([refused?.status, refused?.cached_from_job_id], [
      "pending",
      null,
    ]);
    const answered = await insert(mine.id);
    assertEquals([answered?.status, answered?.result_data], [
      "completed",
      mine.result_data,
    ]);
  });
});

Deno.test("reuse_ai_job_result: a claimed job is completed with an equal job's result", async (t) => {
  for (const { name = "", ...rest } of reusable) {
    await t.step(name, () =>
      withQueue(async (bench) => {
        const { db, queue } = bench;
        const { source, request } = await makeCase(bench, rest);
        const earlier = await readJob(db, source.id);
        const { id } = await insertJob(db, request);
        const claimed = await claimJob(bench, id);

        assertEquals(await queue.reuse(claimed, source.id), true);

        const job = await readJob(db, id);
        assertEquals(job.status, "completed");
        assertEquals(job.result_data, earlier.result_data);
        assertEquals(job.output_url, earlier.output_url);
        assertEquals(job.cached_from_job_id, source.id);
        assertEquals([job.lease_token, job.lease_expires_at, job.stage], [
          null,
          null,
          null,
        ]);
        assert(job.completed_at !== null);
        assertEquals(
          (await eventsOf(db, id)).map(({ event }) => event),
          ["created", "claimed", "completed"],
        );
      }));
  }
});

Deno.test("reuse_ai_job_result: a job that does not match changes nothing, and the claimed job continues", async (t) => {
  for (const { name, ...rest } of obstacles) {
    await t.step(name, () =>
      withQueue(async (bench) => {
        const { db, queue } = bench;
        const { source, request } = await makeCase(bench, rest);
        const { id } = await insertJob(db, request);
        const claimed = await claimJob(bench, id);
        const before = await pictureOf(db);
        assertEquals(await queue.reuse(claimed, source.id), false);
        assertEquals(await pictureOf(db), before);
        assert(await queue.heartbeat(claimed) !== undefined);
      }));
  }
  await t.step(
    "itself, or a job that does not exist",
    () =>
      withQueue(async (bench) => {
        const { db, queue } = bench;
        const claimed = await insertClaimedJob(bench);
        const before = await pictureOf(db);
        for (const id of [claimed.id, crypto.randomUUID()]) {
          assertEquals(await queue.reuse(claimed, id), false);
        }
        assertEquals(await pictureOf(db), before);
      }),
  );
});

Deno.test("cached jobs: a reused result can be reused again, and outlives its first job", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const { source, request } = await makeCase(bench, {});
    const second = await insertJob(db, {
      ...request,
      cached_from_job_id: source.id,
    });
    await db.sql`delete from public.ai_jobs where id = ${source.id}`;
    assertEquals((await readJob(db, second.id)).cached_from_job_id, null);
    const third = await insertJob(db, {
      ...request,
      cached_from_job_id: second.id,
    });
    assertEquals([third.status, third.result_data], [
      "completed",
      second.result_data,
    ]);
  });
});
