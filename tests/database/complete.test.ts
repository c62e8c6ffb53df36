/** complete_ai_job and complete_voice_clone_job: the result, and the row that it is, in one commit. */
import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import {
  aVoice,
  backendOf,
  eventsOf,
  expireLease,
  insertClaimedJob,
  insertCompletedJob,
  pictureOf,
  readJob,
  refusalOf,
  untilBlocked,
  withQueue,
} from "./factories.ts";
import { type ClaimedJob, queueOver } from "./queue.ts";

Deno.test("complete_ai_job: the job is completed with its result, without lease, error or stage", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    await db
      .sql`update public.ai_jobs set error_code = 'provider_timeout', error_message = 'An earlier attempt.'`;
    const outputUrl = `outputs/${job.user_id}/${job.id}/speech.mp3`;

    assertEquals(
      await queue.completeWithOutput(job, { seconds: 12 }, outputUrl),
      true,
    );

    const done = await readJob(db, job.id);
    assertEquals(done.status, "completed");
    assertEquals(done.progress_percentage, 100);
    assertEquals(done.result_data, { seconds: 12 });
    assertEquals(done.output_url, outputUrl);
    assertEquals([done.error_code, done.error_message, done.stage], [
      null,
      null,
      null,
    ]);
    assertEquals([done.lease_token, done.lease_expires_at], [null, null]);
    assert(done.completed_at !== null && done.started_at !== null);
    assert(done.completed_at >= done.started_at);
    const events = await eventsOf(db, job.id);
    assertEquals(events.at(-1)?.event, "completed");
    assertEquals(events.at(-1)?.data, { status: "completed", progress: 100 });
  });
});

Deno.test("complete_ai_job: a job completes once", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    assertEquals(await queue.complete(job, { first: true }), true);
    const before = await pictureOf(db);
    assertEquals(await queue.complete(job, { first: false }), false);
    assertEquals(await pictureOf(db), before);
  });
});

Deno.test("complete_ai_job: an expired lease that nobody took back still completes", async () => {
  await withQueue(async (bench) => {
    const job = await insertClaimedJob(bench);
    await expireLease(bench.db, job.id);
    assertEquals(await bench.queue.complete(job), true);
  });
});

Deno.test("complete_ai_job: an output that is no object path is refused, and the job stays as it was", async () => {
  await withQueue(async (bench) => {
    const job = await insertClaimedJob(bench);
    const before = await pictureOf(bench.db);
    const refusal = await refusalOf(() =>
      bench.queue.completeWithOutput(
        job,
        {},
        "https://provider.example/speech.mp3?token=secret",
      )
    );
    assertEquals(
      refusal.constraint,
      "ai_jobs_output_url_is_object_path",
    );
    assertEquals(await pictureOf(bench.db), before);
  });
});

Deno.test("complete_voice_clone_job: job and voice appear in the same commit", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertClaimedJob(bench);
    const [worker] = await db.connections(1, "service_role");
    assert(worker !== undefined);
    const voice = aVoice();
    const seen = async (sql: postgres.ISql = db.sql) => {
      const [row] = await sql<{ jobs: number; voices: number }[]>`
        select (select count(*)::int from public.ai_jobs where status = 'completed') as jobs,
          (select count(*)::int from public.voices) as voices`;
      return row;
    };

    await worker.begin(async (transaction) => {
      const isCompleted = await queueOver(transaction).completeVoiceClone(
        job,
        voice,
        { voice_id: voice.provider_voice_id, voice_name: voice.name },
      );
      assert(isCompleted);
      assertEquals(await seen(transaction), { jobs: 1, voices: 1 });
      assertEquals(await seen(), { jobs: 0, voices: 0 }, "before the commit");
    });

    assertEquals(await seen(), { jobs: 1, voices: 1 });
    const [row] = await db.sql<Record<string, unknown>[]>`
      select job_id, user_id, provider, provider_voice_id, name, description, labels,
        stability::float8 as stability, similarity_boost::float8 as similarity_boost, sample_url
      from public.voices`;
    assertEquals(row, {
      job_id: job.id,
      user_id: job.user_id,
      provider: "elevenlabs",
      ...voice,
      sample_url: job.input_url,
    });
  });
});

Deno.test("complete_voice_clone_job: a voice that cannot be written takes the completion back with it", async (t) => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const earlier = await insertCompletedJob(bench);
    const [taken] = await db.sql<{ id: string }[]>`
      select provider_voice_id as id from public.voices where job_id = ${earlier.id}`;
    assert(taken !== undefined);
    const job = await insertClaimedJob(bench);
    const { stability: _1, ...withoutStability } = aVoice();
    const { provider_voice_id: _2, ...withoutId } = aVoice();

    const voices: Record<string, { voice: postgres.JSONValue; code: string }> =
      {
        "a voice that belongs to another job": {
          voice: { ...aVoice(), provider_voice_id: taken.id },
          code: "23505",
        },
        "a setting out of range": {
          voice: { ...aVoice(), stability: 1.5 },
          code: "23514",
        },
        "an empty name": { voice: { ...aVoice(), name: "" }, code: "23514" },
        "a name that is too long": {
          voice: { ...aVoice(), name: "x".repeat(101) },
          code: "23514",
        },
        "labels that are no object": {
          voice: { ...aVoice(), labels: ["warm"] },
          code: "23514",
        },
        "no setting": { voice: withoutStability, code: "23502" },
        "no id": { voice: withoutId, code: "23502" },
        "a setting that is no number": {
          voice: { ...aVoice(), stability: "even" },
          code: "22P02",
        },
        "an empty object": { voice: {}, code: "23502" },
        "a list": { voice: [aVoice()], code: "22023" },
      };
    const before = await pictureOf(db);
    for (const [name, { voice, code }] of Object.entries(voices)) {
      await t.step(name, async () => {
        const refusal = await refusalOf(() =>
          queue.completeVoiceClone(job, voice)
        );
        assertEquals(refusal.code, code, refusal.message);
        assertEquals(await pictureOf(db), before);
      });
    }
    for (const [text, code] of [[null, "23502"], ["null", "22023"]] as const) {
      await t.step(
        `no voice: ${text === null ? "SQL" : "JSON"} null`,
        async () => {
          const refusal = await refusalOf(() =>
            db.asService((sql) =>
              sql`select public.complete_voice_clone_job(${job.id}, ${job.lease_token}, '{}', ${text}::text::jsonb)`
            )
          );
          assertEquals(refusal.code, code, refusal.message);
          assertEquals(await pictureOf(db), before);
        },
      );
    }
    await t.step(
      "the lease is still good, and a sound voice completes",
      async () => {
        const { description: _3, labels: _4, ...plain } = aVoice();
        assertEquals(await queue.completeVoiceClone(job, plain), true);
      },
    );
  });
});

Deno.test("complete_ai_job: against a rescue that came first it changes nothing; against one that came later it stands", async (t) => {
  await t.step("rescue first", () =>
    withQueue(async (bench) => {
      const { db } = bench;
      const job = await insertClaimedJob(bench);
      await expireLease(db, job.id);
      const [sweeper, worker] = await db.connections(2, "service_role");
      assert(sweeper !== undefined && worker !== undefined);
      const pid = await backendOf(worker);

      const late = await sweeper.begin(async (transaction) => {
        assertEquals((await queueOver(transaction).rescue()).length, 1);
        const completing = queueOver(worker).completeVoiceClone(job, aVoice());
        await untilBlocked(db, pid);
        return { completing };
      });

      assertEquals(await late.completing, false);
      assertEquals((await readJob(db, job.id)).status, "pending");
      assertEquals((await db.sql`select 1 from public.voices`).length, 0);
    }));

  await t.step("completion first", () =>
    withQueue(async (bench) => {
      const { db } = bench;
      const job = await insertClaimedJob(bench);
      await expireLease(db, job.id);
      const [sweeper, worker] = await db.connections(2, "service_role");
      assert(sweeper !== undefined && worker !== undefined);

      await worker.begin(async (transaction) => {
        assert(await queueOver(transaction).completeVoiceClone(job, aVoice()));
        assertEquals(
          await queueOver(sweeper).rescue(),
          [],
          "the sweep neither waits nor takes the job",
        );
      });

      assertEquals(await queueOver(sweeper).rescue(), []);
      assertEquals((await readJob(db, job.id)).status, "completed");
    }));
});

Deno.test("complete_ai_job and rescue: 40 expired jobs, completed and rescued at once: each has one ending", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const jobs: ClaimedJob[] = [];
    for (let n = 0; n < 40; n++) jobs.push(await insertClaimedJob(bench));
    await db
      .sql`update public.ai_jobs set lease_expires_at = now() - interval '1 second'`;
    const workers = await db.connections(8, "service_role");
    const sweepers = await db.connections(4, "service_role");

    const [completed, rescued] = await Promise.all([
      Promise.all(workers.map(async (sql, index) => {
        const mine = jobs.filter((_, n) => n % workers.length === index);
        const done: string[] = [];
        for (const job of mine) {
          if (await queueOver(sql).completeVoiceClone(job, aVoice())) {
            done.push(job.id);
          }
        }
        return done;
      })),
      Promise.all(sweepers.map(async (sql) => {
        const taken: string[] = [];
        for (let turn = 0; turn < 10; turn++) {
          taken.push(
            ...(await queueOver(sql).rescue(2)).map((row) => row.job_id),
          );
        }
        return taken;
      })),
    ]);

    const ends = [...completed.flat(), ...rescued.flat()];
    assertEquals(new Set(ends).size, ends.length, "a job ended twice");
    const rows = await db.sql<{ status: string; jobs: number }[]>`
      select status, count(*)::int as jobs from public.ai_jobs group by status`;
    const count = (status: string) =>
      rows.find((row) => row.status === status)?.jobs ?? 0;
    assertEquals(count("completed"), completed.flat().length);
    assertEquals(
      (await db.sql`select 1 from public.voices`).length,
      completed.flat().length,
    );
    assertEquals(
      count("completed") + count("pending") + count("processing"),
      40,
      "a job was lost",
    );
  });
});
