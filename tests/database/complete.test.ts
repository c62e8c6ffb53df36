/** complete_ai_jobs: the result and its row, in one commit. */
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
} from "./_support/factories.ts";
import type { TestDatabase } from "../_support/database.ts";
import { type ClaimedJob, queueOver } from "./_support/queue.ts";
import { completeJob } from "./_support/protocol.ts";

Deno.test("complete_ai_jobs: the job is completed with its result, without lease, error or stage", async () => {
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

Deno.test("complete_ai_jobs: a job completes once", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    assertEquals(await queue.complete(job, { first: true }), true);
    const before = await pictureOf(db);
    assertEquals(await queue.complete(job, { first: false }), false);
    assertEquals(await pictureOf(db), before);
  });
});

Deno.test("complete_ai_jobs: an expired lease that was not rescued still completes", async () => {
  await withQueue(async (bench) => {
    const job = await insertClaimedJob(bench);
    await expireLease(bench.db, job.id);
    assertEquals(await bench.queue.complete(job), true);
  });
});

Deno.test("complete_ai_jobs: an invalid output path is refused, and the job is unchanged", async () => {
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

Deno.test("complete_ai_jobs: job and voice appear in the same commit", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertClaimedJob(bench);
    const [worker] = await db.connections(1, "service_role");
    assert(worker !== undefined);
    const { kind, ...voice } = aVoice();
    const seen = async (sql: postgres.ISql = db.sql) => {
      const [row] = await sql<{ jobs: number; voices: number }[]>`
        select (select count(*)::int from public.ai_jobs where status = 'completed') as jobs,
          (select count(*)::int from public.voices) as voices`;
      return row;
    };

    await worker.begin(async (transaction) => {
      const isCompleted = await queueOver(transaction).completeWithProduct(
        job,
        { kind, ...voice },
        {
          voice_id: voice.id,
          provider_voice_id: voice.provider_voice_id,
          voice_name: voice.name,
        },
      );
      assert(isCompleted);
      assertEquals(await seen(transaction), { jobs: 1, voices: 1 });
      assertEquals(await seen(), { jobs: 0, voices: 0 }, "before the commit");
    });

    assertEquals(await seen(), { jobs: 1, voices: 1 });
    const [row] = await db.sql<Record<string, unknown>[]>`
      select id, job_id, user_id, provider, provider_voice_id, name, description, labels,
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

Deno.test("complete_ai_jobs: a voice that cannot be written rolls back the completion", async (t) => {
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
        "labels that are not an object": {
          voice: { ...aVoice(), labels: ["warm"] },
          code: "23514",
        },
        "no setting": { voice: withoutStability, code: "23502" },
        "no id": { voice: withoutId, code: "23502" },
        "a setting that is not a number": {
          voice: { ...aVoice(), stability: "even" },
          code: "22P02",
        },
        "only its kind": { voice: { kind: "voice" }, code: "23502" },
        "an empty object": { voice: {}, code: "AJ080" },
        "another kind": { voice: { ...aVoice(), kind: "song" }, code: "AJ080" },
        "a list": { voice: [aVoice()], code: "AJ080" },
      };
    const before = await pictureOf(db);
    for (const [name, { voice, code }] of Object.entries(voices)) {
      await t.step(name, async () => {
        const refusal = await refusalOf(() =>
          queue.completeWithProduct(job, voice)
        );
        assertEquals(refusal.code, code, refusal.message);
        assertEquals(await pictureOf(db), before);
      });
    }
    await t.step(
      "the lease is still valid, and a valid voice completes",
      async () => {
        const { description: _3, labels: _4, ...plain } = aVoice();
        assertEquals(await queue.completeWithProduct(job, plain), true);
      },
    );
  });
});

/** Rows of one user, one of each kind that a product may refer to. */
async function insertReferenced(
  db: TestDatabase,
  userId: string,
  photo: string,
) {
  const [row] = await db.sql<
    Record<"photo" | "slideshow" | "call" | "voice", string>[]
  >`
    with photo as (
      insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
      values (${userId}, 'image', ${photo}, 'photo.png', 'image/png', 10) returning id
    ), slideshow as (
      insert into public.slideshows (user_id, title) values (${userId}, 'Summer') returning id
    ), call as (
      insert into public.calls (user_id, title, duration_seconds) values (${userId}, 'A talk', 60) returning id
    ), voice as (
      insert into public.voices (user_id, provider, provider_voice_id, name, stability, similarity_boost)
      values (${userId}, 'elevenlabs', ${crypto.randomUUID()}, 'Grandpa', 0.5, 0.5) returning id
    )
    select photo.id as photo, slideshow.id as slideshow, call.id as call, voice.id as voice
    from photo, slideshow, call, voice`;
  assert(row !== undefined);
  return row;
}

Deno.test("complete_ai_jobs: avatar, pdf and transcript take owner, job, provider and file from the job", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const mine = await insertReferenced(db, job.user_id, job.input_url ?? "");
    const complete = (
      claimed: ClaimedJob,
      product: postgres.JSONValue,
      bucket: string,
    ) =>
      db.asService((sql) =>
        completeJob(sql, claimed, {
          outputUrl: `${bucket}/${job.user_id}/${claimed.id}/file`,
          product,
        })
      );
    await complete(job, {
      kind: "avatar",
      provider_video_id: "tlk_1",
      name: "Grandpa's story",
      voice_id: mine.voice,
      duration_seconds: 24.2,
    }, "outputs");
    const [avatar] = await db.sql`
      select user_id, job_id, voice_id, photo_id, name, provider, provider_video_id, video_url, duration_seconds::float8
      from public.avatars`;
    assertEquals({ ...avatar }, {
      user_id: job.user_id,
      job_id: job.id,
      voice_id: mine.voice,
      photo_id: mine.photo,
      name: "Grandpa's story",
      provider: "elevenlabs",
      provider_video_id: "tlk_1",
      video_url: `outputs/${job.user_id}/${job.id}/file`,
      duration_seconds: 24.2,
    });

    const second = await insertClaimedJob(bench, { user_id: job.user_id });
    await complete(second, {
      kind: "pdf",
      title: "Summer",
      slideshow_id: mine.slideshow,
      page_count: 24,
      size_bytes: 18443021,
    }, "pdfs");
    const [pdf] = await db.sql`
      select user_id, job_id, slideshow_id, title, pdf_url, page_count, size_bytes::float8 from public.pdfs`;
    assertEquals({ ...pdf }, {
      user_id: job.user_id,
      job_id: second.id,
      slideshow_id: mine.slideshow,
      title: "Summer",
      pdf_url: `pdfs/${job.user_id}/${second.id}/file`,
      page_count: 24,
      size_bytes: 18443021,
    });

    const third = await insertClaimedJob(bench, { user_id: job.user_id });
    assert(
      await queue.completeWithProduct(third, {
        kind: "transcript",
        call_id: mine.call,
        transcript: "Good morning.",
        transcript_data: { words: [] },
      }),
    );
    const [call] = await db.sql`
      select transcript, transcript_data, transcript_job_id, duration_seconds::float8 from public.calls`;
    assertEquals({ ...call }, {
      transcript: "Good morning.",
      transcript_data: { words: [] },
      transcript_job_id: third.id,
      duration_seconds: 60,
    });
  });
});

Deno.test("complete_ai_jobs: each product of a batch gets its own job, also two transcripts of one phone call", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const mine = await insertClaimedJob(bench);
    const others = await insertClaimedJob(bench);
    const first = await insertClaimedJob(bench, { user_id: mine.user_id });
    const second = await insertClaimedJob(bench, { user_id: mine.user_id });
    const { call } = await insertReferenced(
      db,
      mine.user_id,
      mine.input_url ?? "",
    );
    const transcript = (text: string) => ({
      kind: "transcript",
      call_id: call,
      transcript: text,
    });
    const products: [ClaimedJob, Record<string, postgres.JSONValue>][] = [
      [mine, { ...aVoice(), provider_voice_id: "mine" }],
      [others, { ...aVoice(), provider_voice_id: "another's" }],
      [first, transcript("One.")],
      [second, transcript("Two.")],
    ];
    const rows = await db.asService((sql) =>
      sql`select error from public.complete_ai_jobs(${
        sql.json(products.map(([{ id, lease_token }, product]) => ({
          job_id: id,
          lease_token,
          result_data: {},
          product,
        })))
      })`
    );
    assertEquals(rows.map(({ error }) => error), [null, null, null, null]);
    const voices = await db.sql`
      select provider_voice_id, job_id, user_id from public.voices
      where job_id is not null order by provider_voice_id desc`;
    assertEquals([...voices], [
      { provider_voice_id: "mine", job_id: mine.id, user_id: mine.user_id },
      {
        provider_voice_id: "another's",
        job_id: others.id,
        user_id: others.user_id,
      },
    ]);
    const [saved] = await db.sql`select transcript_job_id from public.calls`;
    assert(
      [first.id, second.id].includes(saved?.["transcript_job_id"]),
    );
  });
});

Deno.test("complete_ai_jobs: a product never links to another user's rows, and its sources may be deleted", async (t) => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const job = await insertClaimedJob(bench);
    const other = await insertClaimedJob(bench);
    const theirs = await insertReferenced(
      db,
      other.user_id,
      other.input_url ?? "",
    );
    const before = await pictureOf(db);

    await t.step("another's call", async () => {
      const refusal = await refusalOf(() =>
        queue.completeWithProduct(job, {
          kind: "transcript",
          call_id: theirs.call,
          transcript: "Good morning.",
        })
      );
      assertEquals([refusal.code, refusal.detail], [
        "AJ081",
        "p_product.call_id",
      ]);
      assertEquals(await pictureOf(db), before);
    });
    await t.step("a file outside the owner's folder", async () => {
      const refusal = await refusalOf(() =>
        db.asService((sql) =>
          completeJob(sql, job, {
            outputUrl: `pdfs/${other.user_id}/x.pdf`,
            product: {
              kind: "pdf",
              title: "Summer",
              page_count: 1,
              size_bytes: 1,
            },
          })
        )
      );
      assertEquals(refusal.constraint, "pdfs_pdf_url_is_owners");
      assertEquals(await pictureOf(db), before);
    });
    await t.step("another user's voice is left out", async () => {
      await db.asService((sql) =>
        completeJob(sql, job, {
          outputUrl: `outputs/${job.user_id}/x.mp4`,
          product: {
            kind: "avatar",
            provider_video_id: "tlk_2",
            name: "A talk",
            voice_id: theirs.voice,
          },
        })
      );
      const rows = await db.sql`select voice_id, photo_id from public.avatars`;
      assertEquals([...rows], [{ voice_id: null, photo_id: null }]);
    });
    await t.step(
      "a transcript whose call was deleted completes its job",
      async () => {
        const last = await insertClaimedJob(bench);
        const { call } = await insertReferenced(
          db,
          last.user_id,
          last.input_url ?? "",
        );
        await db.sql`delete from public.calls where id = ${call}`;
        assert(
          await queue.completeWithProduct(last, {
            kind: "transcript",
            call_id: call,
            transcript: "Good morning.",
          }),
        );
        assertEquals((await readJob(db, last.id)).status, "completed");
      },
    );
  });
});

Deno.test("complete_ai_jobs: it changes nothing after a rescue, and a rescue after it changes nothing", async (t) => {
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
        const completing = queueOver(worker).completeWithProduct(job, aVoice());
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
        assert(await queueOver(transaction).completeWithProduct(job, aVoice()));
        assertEquals(
          await queueOver(sweeper).rescue(),
          [],
          "the sweep neither waits nor rescues the job",
        );
      });

      assertEquals(await queueOver(sweeper).rescue(), []);
      assertEquals((await readJob(db, job.id)).status, "completed");
    }));
});

Deno.test("complete_ai_jobs and rescue: 40 expired jobs, completed and rescued in parallel: each has one ending", async () => {
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
          if (await queueOver(sql).completeWithProduct(job, aVoice())) {
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
