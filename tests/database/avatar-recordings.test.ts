/** The recording that a photo speaks: one that its provider does not accept is refused when the job is created. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type postgres from "postgres";
import { spokenSeconds } from "../../supabase/functions/_shared/media/spoken-seconds.ts";
import { createDIdTalks } from "../../supabase/functions/_shared/providers/d-id/talks.ts";
import { createHeyGenVideos } from "../../supabase/functions/_shared/providers/heygen/videos.ts";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import { refusalOf, uploadSample } from "./_support/factories.ts";
import { insertAs } from "./_support/new-jobs.ts";
import type { Job } from "./_support/queue.ts";
import { completeJob } from "./_support/protocol.ts";

const options = {
  apiKey: undefined,
  baseUrl: "https://provider.test",
  timeoutSeconds: 1,
  fetch,
};
const PROVIDERS = {
  "d-id": createDIdTalks({ ...options, keyEncoding: "none" }),
  heygen: createHeyGenVideos(options),
};
type Provider = keyof typeof PROVIDERS;
const names: Provider[] = ["d-id", "heygen"];

async function aPhoto(db: TestDatabase, userId: string, size = 3147) {
  return await uploadSample(db, userId, {
    bucket: "uploads",
    name: `${crypto.randomUUID()}.jpg`,
    mimetype: "image/jpeg",
    size,
  });
}

async function video(
  db: TestDatabase,
  userId: string,
  metadata: postgres.JSONValue,
  dependsOn?: string,
): Promise<Job> {
  return await insertAs(db, userId, {
    job_type: "avatar_video",
    input_url: await aPhoto(db, userId),
    metadata: db.sql.json(metadata),
    ...(dependsOn === undefined ? {} : { depends_on_job_id: dependsOn }),
  });
}

async function speech(
  db: TestDatabase,
  userId: string,
  metadata: Record<string, postgres.JSONValue>,
): Promise<string> {
  const job = await insertAs(db, userId, {
    job_type: "text_to_speech",
    metadata: db.sql.json({ voice_id: "21m00Tcm4TlvDq8ikWAM", ...metadata }),
  });
  return job.id;
}

Deno.test("ai_recording_limits: the database has the limits of the functions", async () => {
  await withDatabase(async (db) => {
    const rows = await db.sql`
      select provider, max_bytes::int, max_seconds, mime_types from private.ai_recording_limits
      where job_type = 'avatar_video' order by provider`;
    assertEquals(
      rows.map((row) => ({ ...row })),
      names.map((provider) => ({
        provider,
        max_bytes: PROVIDERS[provider].maxAudioBytes,
        max_seconds: PROVIDERS[provider].maxAudioSeconds,
        mime_types: [...PROVIDERS[provider].audioTypes],
      })),
    );
  });
});

Deno.test("private.spoken_seconds: a text lasts as long in the database as in the functions", async () => {
  await withDatabase(async (db) => {
    for (
      const text of [
        "",
        "Hello.",
        "x".repeat(12),
        "x".repeat(13),
        "Здравствуйте, дорогие друзья!",
        "今日はいい天気ですね。散歩に行きましょう。",
        "안녕하세요 여러분",
        "नमस्ते दुनिया",
        "👩‍👩‍👧 family 🎉",
      ]
    ) {
      const [row] = await db.sql<{ seconds: number }[]>`
        select private.spoken_seconds(${text})::int as seconds`;
      assertEquals(row?.seconds, spokenSeconds(text), text);
    }
  });
});

Deno.test("avatar_video: a recording that the provider cannot use is refused with its name, size and limit", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    for (const provider of names) {
      const { maxAudioBytes, audioTypes } = PROVIDERS[provider];
      const attempt = async (mimetype: string, size: number) => {
        const audio_url = await uploadSample(db, id, {
          bucket: "recordings",
          mimetype,
          size,
        });
        return await video(db, id, { provider, audio_url });
      };
      for (const mimetype of audioTypes) await attempt(mimetype, maxAudioBytes);
      await attempt("audio/x-wav;codecs=1", 1);

      for (const mimetype of ["audio/webm;codecs=opus", "audio/ogg"]) {
        const refusal = await refusalOf(() => attempt(mimetype, 1000));
        assertEquals(
          [refusal.code, refusal.detail],
          ["AJ013", "metadata.audio_url"],
        );
        assertEquals(
          refusal.message,
          `the recording (metadata.audio_url) has the content type ${
            mimetype.split(";")[0]
          }; ${provider} accepts ${audioTypes.join(", ")}`,
        );
      }
      const refusal = await refusalOf(() =>
        attempt("audio/mpeg", maxAudioBytes + 1)
      );
      assertEquals(
        [refusal.code, refusal.detail],
        ["AJ014", "metadata.audio_url"],
      );
      assertEquals(
        refusal.message,
        `the recording (metadata.audio_url) has ${
          maxAudioBytes + 1
        } bytes; ${provider} accepts at most ${maxAudioBytes}`,
      );
      assertStringIncludes(
        (await refusalOf(() => attempt("audio/mpeg", 0))).message,
        "is empty",
      );
    }
    const m4a = await uploadSample(db, id, { mimetype: "audio/x-m4a" });
    await video(db, id, { provider: "d-id", audio_url: m4a });
    assertEquals(
      (await refusalOf(() =>
        video(db, id, { provider: "heygen", audio_url: m4a })
      )).code,
      "AJ013",
    );
  });
});

Deno.test("avatar_video: errors about the photo name the photo, its size and the limit", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    const withPhoto = (input_url: string) =>
      insertAs(db, id, {
        job_type: "avatar_video",
        input_url,
        metadata: db.sql.json({ text: "Hello you", voice_id: "v" }),
      });
    await withPhoto(await aPhoto(db, id, 10_000_000));
    const tooLarge = await aPhoto(db, id, 10_000_001);
    assertEquals(
      (await refusalOf(() => withPhoto(tooLarge))).message,
      "the photo (input_url) has 10000001 bytes; avatar_video accepts at most 10000000",
    );
    const webp = await uploadSample(db, id, {
      bucket: "uploads",
      mimetype: "image/webp",
    });
    assertEquals(
      (await refusalOf(() => withPhoto(webp))).message,
      "the photo (input_url) has the content type image/webp; avatar_video accepts image/jpeg, image/png",
    );
    const refusal = await refusalOf(() =>
      withPhoto(`uploads/${id}/nothing.jpg`)
    );
    assertEquals(
      refusal.message,
      "the photo (input_url) does not exist; upload it first",
    );
  });
});

Deno.test("avatar_video: a job that is no speech is refused as its recording; another user's is not found", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    const spoken = { text: "Hello you", voice_id: "v" };
    const film = await video(db, id, spoken);
    const refusal = await refusalOf(() => video(db, id, {}, film.id));
    assertEquals(
      [refusal.code, refusal.detail, refusal.message],
      [
        "AJ020",
        "depends_on_job_id",
        "depends_on_job_id must name a text_to_speech job unless metadata has text or audio_url",
      ],
    );
    // With its own text it only waits for the other job.
    assert((await video(db, id, spoken, film.id)).is_blocked);
    const other = await db.createUser();
    const foreign = await refusalOf(() => video(db, other.id, {}, film.id));
    assertEquals(
      [foreign.code, foreign.detail],
      ["AJ016", "depends_on_job_id"],
    );
  });
});

Deno.test("avatar_video: the id of one of the owner's voices is refused, because the provider does not have it", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    const [voice] = await db.sql<{ id: string }[]>`
      insert into public.voices (user_id, provider, provider_voice_id, name, stability, similarity_boost)
      values (${id}, 'elevenlabs', 'v1', 'Grandpa', 0.5, 0.75) returning id`;
    assert(voice !== undefined);
    const spoken = { text: "Hello you", voice_id: voice.id };
    const refusal = await refusalOf(() => video(db, id, spoken));
    assertEquals([refusal.code, refusal.detail], [
      "AJ020",
      "metadata.voice_id",
    ]);
    // For another user it is any id: whether it exists stays unknown.
    await video(db, (await db.createUser()).id, spoken);
    await video(db, id, { ...spoken, voice_id: crypto.randomUUID() });
  });
});

Deno.test("text_to_speech: without a voice, the error says what is wrong with the job that it depends on", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    const without = (dependsOn: string | null) =>
      insertAs(db, id, {
        job_type: "text_to_speech",
        metadata: db.sql.json({ text: "Hello you" }),
        depends_on_job_id: dependsOn,
      });
    const other = await speech(db, id, { text: "Hello you" });
    for (
      const [dependency, code, detail] of [
        [null, "AJ020", "metadata.voice_id"],
        [other, "AJ020", "depends_on_job_id"],
        [crypto.randomUUID(), "AJ016", "depends_on_job_id"],
      ] as const
    ) {
      const refusal = await refusalOf(() => without(dependency));
      assertEquals([refusal.code, refusal.detail], [code, detail]);
    }
  });
});

Deno.test("avatar_video: a speech that would be too large is refused in advance, with the format that fits", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    const text = "x".repeat(5000);
    const large = await speech(db, id, { text });
    const refusal = await refusalOf(() =>
      video(db, id, { provider: "d-id" }, large)
    );
    assertEquals(
      [refusal.code, refusal.detail],
      ["AJ014", "depends_on_job_id"],
    );
    assertEquals(
      refusal.message,
      "the recording (the speech that this job depends on) will have about 6672000 bytes as mp3_44100_128; " +
        "d-id accepts at most 6000000 bytes. Create the speech with output_format mp3_44100_96",
    );
    // The format that it names fits, and so does the other provider; a job with its own text needs no speech.
    const smaller = await speech(db, id, {
      text,
      output_format: "mp3_44100_96",
    });
    assert((await video(db, id, { provider: "d-id" }, smaller)).is_blocked);
    assert((await video(db, id, { provider: "heygen" }, large)).is_blocked);
    await video(
      db,
      id,
      { provider: "d-id", text: "Hello you", voice_id: "v" },
      large,
    );

    // Spoken faster, the same text is shorter.
    const fast = await speech(db, id, { text, settings: { speed: 1.2 } });
    await video(db, id, { provider: "d-id" }, fast);
  });
});

Deno.test("avatar_video: a speech that would be too long is refused before it is created, in every script", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    for (
      const [long, short] of [
        ["x".repeat(7201), "x".repeat(7200)],
        ["語".repeat(2401), "語".repeat(2400)],
      ] as const
    ) {
      const attempt = async (text: string) =>
        await video(
          db,
          id,
          { provider: "heygen" },
          await speech(db, id, { text, output_format: "mp3_44100_64" }),
        );
      await attempt(short);
      const refusal = await refusalOf(() => attempt(long));
      assertEquals(refusal.code, "AJ014");
      assertStringIncludes(refusal.message, "heygen accepts at most 600 s");
      assertStringIncludes(refusal.message, "Shorten its text to about");
    }
    // What a plain insert puts into the parameters of the speech breaks nothing.
    const odd = await speech(db, id, {
      text: "Hello",
      output_format: "opus",
      settings: { speed: "fast" },
    });
    await video(db, id, {}, odd);
  });
});

Deno.test("avatar_video: a completed speech is checked by its actual length", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    const made = async (size: number, seconds: number) => {
      const job = await speech(db, id, { text: "x".repeat(10) });
      const outputUrl = await db.putObject({
        bucket: "outputs",
        path: `${id}/${job}/speech.mp3`,
        mimetype: "audio/mpeg",
        size,
      });
      const [claimed] = await db.sql<{ lease_token: string }[]>`
        select lease_token from public.claim_ai_jobs(1, array[${job}]::uuid[])`;
      await completeJob(
        db.sql,
        { id: job, lease_token: claimed?.lease_token ?? null },
        { result: { duration_seconds: seconds }, outputUrl },
      );
      return job;
    };
    await video(db, id, {}, await made(6_000_000, 600));
    const large = await made(6_000_001, 375);
    assertEquals(
      (await refusalOf(() => video(db, id, {}, large))).message,
      "the recording (the speech that this job depends on) has 6000001 bytes; d-id accepts at most 6000000",
    );
    const long = await made(3_000_000, 601);
    assertEquals(
      (await refusalOf(() => video(db, id, {}, long))).message,
      "the recording (the speech that this job depends on) lasts 601 s; d-id accepts at most 600 s",
    );
  });
});
