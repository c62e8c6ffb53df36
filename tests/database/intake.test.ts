/** Which inserts become a job: the intake trigger and the constraints, for a signed-in app. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type postgres from "postgres";
import { withDatabase } from "../_support/database.ts";
import {
  eventsOf,
  pictureOf,
  refusalOf,
  uploadSample,
} from "./_support/factories.ts";
import { type Columns, insertAs, voiceClone } from "./_support/new-jobs.ts";
import type { Job } from "./_support/queue.ts";

Deno.test("ai_jobs: an app that inserts three columns gets a job with the policy of its type", async () => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const inputUrl = await uploadSample(db, userId);
    await db.sql`update public.ai_job_types set max_attempts = 7`;

    const job = await insertAs(db, userId, voiceClone(db, inputUrl));

    assertEquals(job.user_id, userId);
    assertEquals(job.status, "pending");
    assertEquals(job.provider, "elevenlabs");
    assertEquals([job.attempt, job.max_attempts], [0, 7]);
    assertEquals(job.progress_percentage, 0);
    assertEquals(job.scheduled_at, job.created_at);
    assertEquals(/^[0-9a-f]{64}$/.test(job.input_hash), true);
    assertEquals(job.input_url, inputUrl);
    assertEquals(await eventsOf(db, job.id), [{
      seq: 1,
      event: "created",
      attempt: 0,
      data: { job_type: "voice_clone" },
    }]);

    await db.sql`update public.ai_job_types set max_attempts = 2`;
    const [unchanged] = await db.sql<
      Job[]
    >`select max_attempts from public.ai_jobs where id = ${job.id}`;
    assertEquals(
      unchanged?.max_attempts,
      7,
      "a job keeps the policy of its type at its creation",
    );
  });
});

Deno.test("admit_ai_job: each refusal has its own code, names the field and changes nothing; twins pass", async (t) => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const { id: otherId } = await db.createUser();
    const good = voiceClone(db, await uploadSample(db, userId));
    const sample = (
      values: { bucket?: string; mimetype?: string; size?: number },
    ) => uploadSample(db, userId, values);
    const json = (value: postgres.JSONValue) => db.sql.json(value);
    const setSwitch = (isEnabled: boolean) =>
      db.sql`update public.ai_job_types set is_enabled = ${isEnabled}`;
    const stripped = async (key: string) => {
      const inputUrl = await sample({});
      await db.sql`
        update storage.objects set metadata = metadata - ${key}
        where bucket_id || '/' || name = ${inputUrl}`;
      return inputUrl;
    };
    const maxBytes = 10_485_760;
    /** Metadata of this size in bytes of jsonb's text, including quotes and braces. */
    const metadataOf = (bytes: number) =>
      json({ voice_name: "x".repeat(bytes - '{"voice_name": ""}'.length) });

    const cases: {
      name: string;
      code: string;
      field: string;
      refused: Columns | (() => Promise<Columns>);
      accepted?: Columns | (() => Promise<Columns>);
    }[] = [
      {
        name: "an unknown job type",
        code: "AJ001",
        field: "job_type",
        refused: { job_type: "voice_clones" },
      },
      {
        name: "no job type",
        code: "AJ001",
        field: "job_type",
        refused: { job_type: null },
      },
      {
        name: "a disabled job type",
        code: "AJ002",
        field: "job_type",
        refused: async () => {
          await setSwitch(false);
          return {};
        },
        accepted: async () => {
          await setSwitch(true);
          return {};
        },
      },
      {
        name: "no input for a type that needs one",
        code: "AJ010",
        field: "input_url",
        refused: { input_url: null },
      },
      ...[
        "https://example.com/voice.mp3",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "voice.mp3",
        "voice-samples/voice.mp3",
        `voice-samples/${userId}/`,
        `voice-samples//${userId}/voice.mp3`,
        `/voice-samples/${userId}/voice.mp3`,
        `voice-samples/${userId}/../${otherId}/voice.mp3`,
        `voice-samples/${userId}/./voice.mp3`,
        `voice-samples/${userId}/..`,
        `voice-samples/${userId}/a\nb.mp3`,
        `voice-samples/${userId}/a\\b.mp3`,
        `Voice-samples/${userId}/voice.mp3`,
        "",
      ].map((inputUrl) => ({
        name: `an input that is no object path: ${JSON.stringify(inputUrl)}`,
        code: "AJ011",
        field: "input_url",
        refused: { input_url: inputUrl },
      })),
      {
        name: "an object of a bucket that the type does not accept",
        code: "AJ011",
        field: "input_url",
        refused: async () => ({
          input_url: await sample({ bucket: "profile-photos" }),
        }),
        accepted: async () => ({
          input_url: await sample({ bucket: "uploads" }),
        }),
      },
      {
        name: "an object that does not exist",
        code: "AJ012",
        field: "input_url",
        refused: { input_url: `voice-samples/${userId}/nothing.mp3` },
      },
      {
        name: "a content type that the type does not accept",
        code: "AJ013",
        field: "input_url",
        refused: async () => ({
          input_url: await sample({
            bucket: "uploads",
            mimetype: "application/pdf",
          }),
        }),
        accepted: async () => ({
          input_url: await sample({
            bucket: "uploads",
            mimetype: "Audio/Webm;codecs=opus",
          }),
        }),
      },
      {
        name: "an object without a content type",
        code: "AJ013",
        field: "input_url",
        refused: async () => ({ input_url: await stripped("mimetype") }),
        accepted: async () => ({ input_url: await stripped("cacheControl") }),
      },
      {
        name: "an empty object",
        code: "AJ014",
        field: "input_url",
        refused: async () => ({ input_url: await sample({ size: 0 }) }),
        accepted: async () => ({ input_url: await sample({ size: 1 }) }),
      },
      {
        name: "an object that is too large by one byte",
        code: "AJ014",
        field: "input_url",
        refused: async () => ({
          input_url: await sample({ size: maxBytes + 1 }),
        }),
        accepted: async () => ({ input_url: await sample({ size: maxBytes }) }),
      },
      {
        name: "an object without a size",
        code: "AJ014",
        field: "input_url",
        refused: async () => ({ input_url: await stripped("size") }),
      },
      {
        name: "another user's object",
        code: "AJ015",
        field: "input_url",
        refused: async () => ({ input_url: await uploadSample(db, otherId) }),
      },
      ...([[], "text", 5] satisfies postgres.JSONValue[]).map((
        value,
      ) => ({
        name: `metadata that is no object: ${JSON.stringify(value)}`,
        code: "AJ020",
        field: "metadata",
        refused: { metadata: json(value) },
      })),
      {
        name: "metadata that is null",
        code: "AJ020",
        field: "metadata",
        refused: { metadata: null },
        accepted: { metadata: json({}) },
      },
      {
        name: "metadata that is too long by one byte",
        code: "AJ020",
        field: "metadata",
        refused: { metadata: metadataOf(65_537) },
        accepted: { metadata: metadataOf(65_536) },
      },
    ];

    for (const { name, code, field, refused, accepted } of cases) {
      await t.step(`${code}: ${name}`, async () => {
        const bad = typeof refused === "function" ? await refused() : refused;
        const before = await pictureOf(db);
        const refusal = await refusalOf(() =>
          insertAs(db, userId, { ...good, ...bad })
        );
        assertEquals(
          [refusal.code, refusal.detail],
          [code, field],
          refusal.message,
        );
        assertEquals(await pictureOf(db), before);

        const twin = typeof accepted === "function"
          ? await accepted()
          : accepted ?? {};
        const job = await insertAs(db, userId, { ...good, ...twin });
        assertEquals(job.status, "pending");
      });
    }

    await t.step("AJ020: metadata that is JSON null", async () => {
      const refusal = await refusalOf(() =>
        db.asUser(userId, (sql) =>
          sql`
          insert into public.ai_jobs (job_type, input_url, metadata)
          values ('voice_clone', ${good.input_url ?? null}, 'null'::jsonb)`)
      );
      assertEquals([refusal.code, refusal.detail], ["AJ020", "metadata"]);
    });
  });
});

Deno.test("admit_ai_job: a type whose input is optional accepts none, and checks a given one", async () => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    await db.sql`update public.ai_job_types set is_input_required = false`;
    const job = await insertAs(db, userId, { job_type: "voice_clone" });
    assertEquals([job.input_url, job.metadata], [null, {
      voice_name: "Cloned Voice",
    }]);
    const refusal = await refusalOf(() =>
      insertAs(db, userId, {
        job_type: "voice_clone",
        input_url: `voice-samples/${userId}/nothing.mp3`,
      })
    );
    assertEquals(refusal.code, "AJ012");
  });
});

Deno.test("ai_jobs: a job can be scheduled up to 31 days ahead, and a time in the past means now", async () => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const inputUrl = await uploadSample(db, userId);
    const insertAt = (offset: string) =>
      db.asUser(userId, async (sql) => {
        const [row] = await sql<{ offset: number }[]>`
          insert into public.ai_jobs (job_type, input_url, scheduled_at)
          values ('voice_clone', ${inputUrl}, now() + nullif(${offset}, '')::interval)
          returning extract(epoch from scheduled_at - created_at)::float8 as offset`;
        return row?.offset;
      });
    assertEquals(await insertAt("90 seconds"), 90);
    assertEquals(await insertAt("31 days"), 31 * 86_400);
    assertEquals(await insertAt("-1 year"), 0);
    assertEquals(await insertAt("-infinity"), 0);
    assertEquals(await insertAt(""), 0);
    for (const offset of ["31 days 1 second", "infinity"]) {
      const { code, constraint } = await refusalOf(() => insertAt(offset));
      assertEquals([code, constraint], [
        "23514",
        "ai_jobs_scheduled_within_a_month",
      ]);
    }
  });
});

Deno.test("ai_job_input_hash: it depends only on owner, type, parameters and object version", async (t) => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const { id: otherId } = await db.createUser();
    const inputUrl = await uploadSample(db, userId);
    const hash = async (
      values: {
        user_id?: string;
        job_type?: string;
        input_url?: string;
        metadata?: string;
      } = {},
      sql: postgres.ISql = db.sql,
    ) => {
      const [row] = await sql<{ hash: string }[]>`
        select public.ai_job_input_hash(
          ${values.user_id ?? userId},
          ${values.job_type ?? "voice_clone"},
          ${values.input_url ?? inputUrl},
          ${
        values.metadata ?? '{"voice_name": "a", "labels": {"x": 1, "y": 2}}'
      }::text::jsonb
        ) as hash`;
      assert(row !== undefined);
      return row.hash;
    };
    const reference = await hash();

    await t.step(
      "order and spaces of the parameters do not matter",
      async () => {
        assertEquals(
          await hash({
            metadata: '{ "labels":{"y":2,"x":1},"voice_name":"a"}',
          }),
          reference,
        );
      },
    );
    await t.step("the owner computes the same as the database", async () => {
      assertEquals(
        await db.asUser(userId, (sql) => hash({}, sql)),
        reference,
      );
    });
    await t.step(
      "time zone and date style of the session do not matter",
      async () => {
        const elsewhere = await db.sql.begin(async (sql) => {
          await sql`select set_config('timezone', 'Asia/Kathmandu', true), set_config('datestyle', 'German', true)`;
          return await hash({}, sql);
        });
        assertEquals(elsewhere, reference);
      },
    );
    await t.step(
      "an update of the object that keeps its version does not matter",
      async () => {
        await db.sql`
          update storage.objects set updated_at = now() + interval '1 hour' where ${inputUrl} = bucket_id || '/' || name`;
        assertEquals(await hash(), reference);
      },
    );
    const others = {
      "another owner": { user_id: otherId },
      "another type": { job_type: "transcription" },
      "another object": { input_url: await uploadSample(db, userId) },
      "another parameter": { metadata: '{"voice_name": "b"}' },
    };
    for (const [name, values] of Object.entries(others)) {
      await t.step(name, async () => {
        assertNotEquals(await hash(values), reference);
      });
    }
    await t.step("another user gets the hash of no object", async () => {
      const seen = await db.asUser(otherId, (sql) => hash({}, sql));
      assertNotEquals(seen, reference);
      assertEquals(
        await db.asUser(
          otherId,
          (sql) => hash({ input_url: `${inputUrl}.none` }, sql),
        ),
        await hash({ input_url: `${inputUrl}.none` }),
        "the hash of an object that does not exist does not depend on the caller",
      );
    });
    await t.step(
      "an object in another folder does not matter, for every caller",
      async () => {
        const foreign = await uploadSample(db, otherId);
        const touch = () =>
          db.sql`
          update storage.objects set version = ${crypto.randomUUID()}
          where bucket_id || '/' || name = ${foreign}`;
        const named = JSON.stringify({ audio_url: foreign });
        const hashes = async () => {
          // The type has no audio_url, so it does not refuse it.
          const job = await insertAs(db, userId, {
            ...voiceClone(db, inputUrl),
            metadata: db.sql.json({ voice_name: "a", audio_url: foreign }),
          });
          return [
            job.input_hash,
            await hash({ metadata: named }),
            await hash({ input_url: foreign }),
          ];
        };
        const before = await hashes();
        await touch();
        assertEquals(await hashes(), before);
        await db.sql`
            update storage.objects set name = name || '.gone'
            where bucket_id || '/' || name = ${foreign}`;
        assertEquals(await hashes(), before);
      },
    );
    await t.step("a new version of the object", async () => {
      await db.sql`update storage.objects set version = ${crypto.randomUUID()}`;
      assertNotEquals(await hash(), reference);
    });
  });
});

Deno.test("a voice clone: without voice_name it is Cloned Voice, and other parameters are kept unchanged", async () => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const inputUrl = await uploadSample(db, userId);
    for (
      const [given, kept] of [
        ["{}", { voice_name: "Cloned Voice" }],
        ['{"stability": 0.4}', { voice_name: "Cloned Voice", stability: 0.4 }],
        ['{"voice_name": "Grandma"}', { voice_name: "Grandma" }],
        // The processor refuses parameters that it does not know.
        ['{"name": "Grandma"}', {
          voice_name: "Cloned Voice",
          name: "Grandma",
        }],
      ] as const
    ) {
      const [job] = await db.asUser(
        userId,
        (sql) =>
          sql`insert into public.ai_jobs (job_type, input_url, metadata)
          values ('voice_clone', ${inputUrl}, ${given}::text::jsonb) returning metadata`,
      );
      assertEquals(job?.["metadata"], kept);
    }
  });
});

Deno.test("a voice clone: for an idempotency key, an explicit default name is the same request", async () => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const inputUrl = await uploadSample(db, userId);
    const insert = (metadata: string) =>
      db.asUser(
        userId,
        (sql) =>
          sql`insert into public.ai_jobs (job_type, input_url, metadata, idempotency_key)
          values ('voice_clone', ${inputUrl}, ${metadata}::text::jsonb, 'one')`,
      );
    await insert("{}");
    const [first] = await db.sql`select input_hash from public.ai_jobs`;
    const [expected] = await db.sql`
      select public.ai_job_input_hash(${userId}, 'voice_clone', ${inputUrl}, '{"voice_name": "Cloned Voice"}') as input_hash`;
    assertEquals(first, expected);
    const same = await refusalOf(() =>
      insert('{"voice_name": "Cloned Voice"}')
    );
    const other = await refusalOf(() => insert('{"voice_name": "Grandpa"}'));
    assertEquals([same.code, other.code], ["AJ032", "AJ030"]);
  });
});
