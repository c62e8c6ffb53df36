/** A job type with two providers: each job belongs to one of them, and counts towards that provider's cap. */
import { assert, assertEquals } from "@std/assert";
import type { TestDatabase } from "../_support/database.ts";
import { refusalOf, uploadSample, withQueue } from "./_support/factories.ts";
import type { Job } from "./_support/queue.ts";

async function aPhoto(db: TestDatabase, userId: string): Promise<string> {
  return await uploadSample(db, userId, {
    bucket: "uploads",
    name: `${crypto.randomUUID()}.jpg`,
    mimetype: "image/jpeg",
    size: 3147,
  });
}

async function insertVideo(
  db: TestDatabase,
  userId: string,
  inputUrl: string,
  metadata: Record<string, string>,
): Promise<Job> {
  const [job] = await db.sql<Job[]>`
    insert into public.ai_jobs (user_id, job_type, input_url, metadata)
    values (${userId}, 'avatar_video', ${inputUrl}, ${db.sql.json(metadata)})
    returning *`;
  if (job === undefined) throw new Error("no job");
  return job;
}

Deno.test("intake: metadata.provider, else the type, selects a video's provider; unknown ones are refused", async () => {
  await withQueue(async ({ db }) => {
    const { id } = await db.createUser();
    const photo = await aPhoto(db, id);
    const providers = [];
    for (const metadata of [{}, { provider: "heygen" }, { provider: "d-id" }]) {
      providers.push((await insertVideo(db, id, photo, metadata)).provider);
    }
    assertEquals(providers, ["d-id", "heygen", "d-id"]);
    const refusal = await refusalOf(() =>
      insertVideo(db, id, photo, { provider: "elevenlabs" })
    );
    assertEquals([refusal.code, refusal.detail], [
      "AJ020",
      "metadata.provider",
    ]);
  });
});

Deno.test("intake: metadata.provider is ignored for a type with a single provider", async () => {
  await withQueue(async ({ db }) => {
    const { id } = await db.createUser();
    const [job] = await db.sql<Job[]>`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata)
      values (${id}, 'voice_clone', ${await uploadSample(
      db,
      id,
    )}, '{"provider": "heygen"}') returning *`;
    assertEquals(job?.provider, "elevenlabs");
  });
});

Deno.test("claim: each provider of a type has its own cap, and a full one does not block the others", async () => {
  await withQueue(async ({ db, queue }) => {
    const { id } = await db.createUser();
    const photo = await aPhoto(db, id);
    for (let n = 0; n < 6; n++) await insertVideo(db, id, photo, {});
    for (let n = 0; n < 6; n++) {
      await insertVideo(db, id, photo, { provider: "heygen" });
    }
    await db
      .sql`update public.ai_providers set max_concurrent = 2 where provider = 'd-id'`;
    await db
      .sql`update public.ai_providers set max_concurrent = 3 where provider = 'heygen'`;
    const claimed = await queue.claim(50);
    const of = (provider: string) =>
      claimed.filter((job) => job.provider === provider).length;
    assertEquals([of("d-id"), of("heygen"), claimed.length], [2, 3, 5]);
    assertEquals(await queue.claim(50), []);
    const [first] = claimed.filter((job) => job.provider === "heygen");
    if (first !== undefined) {
      await queue.complete(first, { provider_video_id: "v" });
    }
    assertEquals((await queue.claim(50)).map((job) => job.provider), [
      "heygen",
    ]);
  });
});

Deno.test("claim: pausing one provider leaves the other's videos of the same type claimable and dispatched", async () => {
  await withQueue(async ({ db, queue }) => {
    const { id } = await db.createUser();
    const photo = await aPhoto(db, id);
    await insertVideo(db, id, photo, {});
    await insertVideo(db, id, photo, { provider: "heygen" });
    await db.sql`select public.pause_ai_jobs(p_provider => 'd-id')`;
    const [swept] = await db.sql<{ dispatched: number }[]>`
      select (private.sweep_ai_jobs() ->> 'dispatched')::int as dispatched`;
    assertEquals(swept?.dispatched, 1);
    assertEquals((await queue.claim(50)).map((job) => job.provider), [
      "heygen",
    ]);
  });
});

Deno.test("intake: requests with different recordings are not equal", async () => {
  await withQueue(async ({ db }) => {
    const { id } = await db.createUser();
    const photo = await aPhoto(db, id);
    const audio_url = await uploadSample(db, id);
    const hashes = [];
    for (let n = 0; n < 2; n++) {
      hashes.push((await insertVideo(db, id, photo, { audio_url })).input_hash);
    }
    assertEquals(hashes[0], hashes[1]);
    await db.sql`
      update storage.objects set updated_at = updated_at + interval '1 second', version = gen_random_uuid()::text
      where bucket_id || '/' || name = ${audio_url}`;
    const changed =
      (await insertVideo(db, id, photo, { audio_url })).input_hash;
    assertEquals(changed === hashes[0], false);
  });
});

for (
  const [what, audioUrl, code] of [
    [
      "another's",
      "voice-samples/00000000-0000-4000-8000-000000000001/a.mp3",
      "AJ015",
    ],
    ["in a bucket without recordings", "pdfs/<own>/a.mp3", "AJ011"],
    ["outside the folder by ..", "uploads/<own>/../b/a.mp3", "AJ011"],
    ["missing", "uploads/<own>/a.mp3", "AJ012"],
    ["on another host", "https://example.com/a.mp3", "AJ011"],
  ] as const
) {
  Deno.test(`intake: a recording to speak that is ${what} is refused with ${code}, and creates no job`, async () => {
    await withQueue(async ({ db }) => {
      const { id } = await db.createUser();
      const photo = await aPhoto(db, id);
      const refusal = await refusalOf(() =>
        insertVideo(db, id, photo, { audio_url: audioUrl.replace("<own>", id) })
      );
      assertEquals([refusal.code, refusal.detail], [
        code,
        "metadata.audio_url",
      ]);
      assertEquals([...await db.sql`select id from public.ai_jobs`], []);
    });
  });
}

Deno.test("intake: a recording uploaded as a picture or a video is refused with AJ013 and creates no job", async () => {
  await withQueue(async ({ db }) => {
    const { id } = await db.createUser();
    const photo = await aPhoto(db, id);
    for (const mimetype of ["image/png", "video/mp4", "application/pdf"]) {
      const audio_url = await uploadSample(db, id, {
        bucket: "uploads",
        mimetype,
      });
      const refusal = await refusalOf(() =>
        insertVideo(db, id, photo, { audio_url })
      );
      assertEquals(
        [refusal.code, refusal.detail],
        ["AJ013", "metadata.audio_url"],
        mimetype,
      );
    }
    assertEquals([...await db.sql`select id from public.ai_jobs`], []);
  });
});

Deno.test("receive_provider_webhook: 20 simultaneous deliveries of an event wake the job once", async () => {
  await withQueue(async ({ db, queue }) => {
    const { id } = await db.createUser();
    const job = await insertVideo(db, id, await aPhoto(db, id), {});
    const [claimed] = await queue.claim(1);
    assertEquals(claimed?.id, job.id);
    await db.sql`select public.snooze_ai_job(${job.id}, ${
      claimed?.lease_token ?? null
    }, 60, 'rendering')`;
    const receivers = await db.connections(20, "service_role");
    const answers = await Promise.all(receivers.map(async (sql) => {
      const [row] = await sql<{ answer: string }[]>`
        select public.receive_provider_webhook('d-id', array['event-1'], p_job_id => ${job.id}) as answer`;
      return row?.answer;
    }));
    assertEquals(answers.filter((answer) => answer === "woken").length, 1);
    assertEquals(answers.filter((answer) => answer === "replayed").length, 19);
  });
});

Deno.test("receive_provider_webhook: only a job with a submitted call gets the id of its video", async () => {
  await withQueue(async ({ db, queue }) => {
    const { id } = await db.createUser();
    const photo = await aPhoto(db, id);
    const jobs = [
      await insertVideo(db, id, photo, {}),
      await insertVideo(db, id, photo, {}),
    ];
    for (const job of await queue.claim(2)) {
      const begun = await queue.begin(job, "create_video");
      assert(begun !== undefined);
      assert(
        await queue.settle(
          job,
          begun.call_id,
          "succeeded",
          `submission-${job.id}`,
        ),
      );
      await db
        .sql`select public.snooze_ai_job(${job.id}, ${job.lease_token}, 60, 'rendering')`;
    }
    const receive = (event: string, named: string, submissionOf: string) =>
      db.sql`
        select public.receive_provider_webhook(
          'd-id', array[${event}], p_job_id => ${named}, p_provider_job_id => ${`made-${event}`},
          p_submission_id => ${`submission-${submissionOf}`}
        )`;
    const idsOf = async () =>
      [
        ...await db.sql<{ id: string; on_job: string; in_journal: string }[]>`
        select j.id, j.provider_job_id as on_job, c.provider_object_id as in_journal
        from public.ai_jobs as j join public.ai_provider_calls as c on c.job_id = j.id order by j.id`,
      ].map((row) => [row.id, row.on_job, row.in_journal]);
    const [own = "", other = ""] = jobs.map((job) => job.id).sort();
    const submitted = [own, other].map((
      job,
    ) => [job, `submission-${job}`, `submission-${job}`]);
    await receive("1", own, other);
    assertEquals(await idsOf(), submitted);
    await receive("2", own, own);
    assertEquals(await idsOf(), [
      [own, "made-2", "made-2"],
      submitted[1] ?? [],
    ]);
    // A job never gets the object of another job.
    await db.sql`
      select public.receive_provider_webhook(
        'd-id', array['stolen'], p_job_id => ${other}, p_provider_job_id => 'made-2',
        p_submission_id => ${`submission-${other}`}
      )`;
    await receive("3", own, own);
    assertEquals(await idsOf(), [
      [own, "made-2", "made-2"],
      submitted[1] ?? [],
    ]);
  });
});

Deno.test("prune_provider_webhook_receipts: forgets events of more than two days ago, and no others", async () => {
  await withQueue(async ({ db }) => {
    await db.sql`
      insert into private.provider_webhook_receipts (provider, event_id, received_at) values
        ('heygen', 'old', now() - interval '49 hours'), ('heygen', 'new', now() - interval '47 hours')`;
    await db.sql`select private.prune_provider_webhook_receipts()`;
    const left = await db.sql<{ event_id: string }[]>`
      select event_id from private.provider_webhook_receipts`;
    assertEquals(left.map((row) => row.event_id), ["new"]);
  });
});
