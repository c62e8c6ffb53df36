/** What may become a job: the intake trigger, the column grants and the constraints, as a signed-in app meets them. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type postgres from "postgres";
import type { TestDatabase } from "../helpers/database.ts";
import { withDatabase } from "../helpers/database.ts";
import {
  eventsOf,
  insertJob,
  type Job,
  pictureOf,
  type Refusal,
  refusalOf,
  uploadSample,
} from "./factories.ts";

type Columns = Record<
  string,
  postgres.SerializableParameter | postgres.Parameter
>;

/** Inserts as supabase-js does for that user: only these columns, and the row comes back. */
function insertAs(
  db: TestDatabase,
  userId: string,
  columns: Columns,
): Promise<Job> {
  return db.asUser(userId, async (sql) => {
    const [job] = await sql<
      Job[]
    >`insert into public.ai_jobs ${sql(columns)} returning *`;
    assert(job !== undefined);
    return job;
  });
}

/** What an app sends for a voice clone. */
function voiceClone(db: TestDatabase, inputUrl: string): Columns {
  return {
    job_type: "voice_clone",
    input_url: inputUrl,
    metadata: db.sql.json({ name: "Grandpa" }),
  };
}

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
    assertEquals(unchanged?.max_attempts, 7, "a job keeps the policy it had");
  });
});

Deno.test("admit_ai_job: each refusal has its own code, names the field and changes nothing; its twin is accepted", async (t) => {
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
    /** In bytes of jsonb's own text, quotes and braces included. */
    const metadataOf = (bytes: number) =>
      json({ name: "x".repeat(bytes - '{"name": ""}'.length) });

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
        name: "a job type that is switched off",
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
        name: "no input where one is needed",
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
        name: "an object of a bucket that the type does not take",
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
        name: "an object that is not there",
        code: "AJ012",
        field: "input_url",
        refused: { input_url: `voice-samples/${userId}/nothing.mp3` },
      },
      {
        name: "a content type that the type does not take",
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
        name: "an object of somebody else",
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

Deno.test("admit_ai_job: a type that needs no input takes none, and checks one that is given", async () => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    await db.sql`update public.ai_job_types set is_input_required = false`;
    const job = await insertAs(db, userId, { job_type: "voice_clone" });
    assertEquals([job.input_url, job.metadata], [null, {}]);
    const refusal = await refusalOf(() =>
      insertAs(db, userId, {
        job_type: "voice_clone",
        input_url: `voice-samples/${userId}/nothing.mp3`,
      })
    );
    assertEquals(refusal.code, "AJ012");
  });
});

Deno.test("admit_ai_job: of another user's folder nothing can be learned, whoever the row says it belongs to", async (t) => {
  await withDatabase(async (db) => {
    const { id: victimId } = await db.createUser();
    const { id: attackerId } = await db.createUser();
    const secret = { bucket: "uploads", name: "will.pdf" };
    const inputs = {
      fit: await uploadSample(db, victimId),
      wrongType: await uploadSample(db, victimId, {
        ...secret,
        mimetype: "application/pdf",
      }),
      tooLarge: await uploadSample(db, victimId, { size: 20_000_000 }),
      absent: `voice-samples/${victimId}/nothing.mp3`,
    };
    const answersFor = async (userId: string | null | undefined) => {
      const answers: Refusal[] = [];
      for (const inputUrl of Object.values(inputs)) {
        answers.push(
          await refusalOf(() =>
            insertAs(db, attackerId, {
              ...voiceClone(db, inputUrl),
              ...(userId === undefined ? {} : { user_id: userId }),
            })
          ),
        );
      }
      return answers;
    };

    for (
      const { name, userId, code } of [
        { name: "the caller's own", userId: undefined, code: "AJ015" },
        { name: "the victim's", userId: victimId, code: "42501" },
        { name: "nobody's", userId: null, code: "42501" },
      ]
    ) {
      await t.step(`user_id is ${name}`, async () => {
        const [first, ...others] = await answersFor(userId);
        assert(first !== undefined);
        assertEquals(first.code, code, first.message);
        for (const other of others) assertEquals(other, first);
      });
    }

    await t.step(
      "the owner does get an answer for each, so the inputs do differ",
      async () => {
        const codes: string[] = [];
        for (const inputUrl of Object.values(inputs)) {
          codes.push(
            await insertAs(db, victimId, voiceClone(db, inputUrl)).then(
              () => "accepted",
              (error) => error.code,
            ),
          );
        }
        assertEquals(codes, ["accepted", "AJ013", "AJ014", "AJ012"]);
      },
    );
  });
});

Deno.test("ai_jobs: a user can set eight columns at insert and none afterwards", async (t) => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const inputUrl = await uploadSample(db, userId);
    const insertable = [
      "id",
      "user_id",
      "job_type",
      "input_url",
      "metadata",
      "idempotency_key",
      "scheduled_at",
      "cached_from_job_id",
    ];
    const columns = await db.sql<{ name: string; value: string | null }[]>`
      select a.attname as name, to_jsonb(j) ->> a.attname as value
      from pg_catalog.pg_attribute as a, public.ai_jobs as j
      where a.attrelid = 'public.ai_jobs'::regclass and a.attnum > 0 and not a.attisdropped
        and j.id = ${
      (await insertJob(db, { user_id: userId, input_url: inputUrl })).id
    }`;
    assertEquals(columns.length > 30, true);

    await t.step("they are accepted", async () => {
      const job = await insertAs(db, userId, {
        ...voiceClone(db, inputUrl),
        id: crypto.randomUUID(),
        user_id: userId,
        idempotency_key: "once",
        scheduled_at: new Date(Date.now() + 60_000),
        cached_from_job_id: null,
      });
      assertEquals(job.idempotency_key, "once");
    });

    for (const { name, value } of columns) {
      if (!insertable.includes(name)) {
        await t.step(`${name} cannot be inserted`, async () => {
          // The value is the one that the database itself would put there: the privilege alone decides.
          const refusal = await refusalOf(() =>
            db.asUser(userId, (sql) =>
              sql`
              insert into public.ai_jobs (job_type, input_url, ${sql(name)})
              select 'voice_clone', ${inputUrl}, j.${sql(name)}
              from jsonb_populate_record(null::public.ai_jobs, ${
                sql.json({ [name]: value })
              }) as j`)
          );
          assertEquals(refusal.code, "42501", refusal.message);
        });
      }
      // What these two columns do has tests of its own, in owner-requests.test.ts.
      if (["cancel_requested_at", "retry_requested_at"].includes(name)) {
        continue;
      }
      await t.step(`${name} cannot be updated`, async () => {
        const refusal = await refusalOf(() =>
          db.asUser(
            userId,
            (sql) => sql`update public.ai_jobs set ${sql(name)} = ${sql(name)}`,
          )
        );
        assertEquals(refusal.code, "42501", refusal.message);
      });
    }

    await t.step("a job cannot be deleted", async () => {
      const refusal = await refusalOf(() =>
        db.asUser(userId, (sql) => sql`delete from public.ai_jobs`)
      );
      assertEquals(refusal.code, "42501");
    });
  });
});

Deno.test("ai_jobs: nobody inserts for somebody else or without being signed in", async () => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const { id: otherId } = await db.createUser();
    const job = voiceClone(db, await uploadSample(db, userId));

    const foreign = await refusalOf(() =>
      insertAs(db, otherId, { ...job, user_id: userId })
    );
    assertEquals(foreign.code, "42501");
    const anonymous = await refusalOf(() =>
      db.asAnon((sql) =>
        sql`insert into public.ai_jobs ${sql({ ...job, user_id: userId })}`
      )
    );
    assertEquals(anonymous.code, "42501");
    assertEquals((await db.sql`select 1 from public.ai_jobs`).length, 0);

    assertEquals(
      (await insertAs(db, userId, { ...job, user_id: userId })).user_id,
      userId,
    );
  });
});

Deno.test("ai_jobs: the service inserts for any user, under the same checks", async () => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const { id: otherId } = await db.createUser();
    const inputUrl = await uploadSample(db, userId);
    const insert = (owner: string | null) =>
      db.asService((sql) =>
        sql<Job[]>`
        insert into public.ai_jobs ${
          sql({ ...voiceClone(db, inputUrl), user_id: owner })
        } returning *`
      );
    assertEquals((await insert(userId))[0]?.user_id, userId);
    assertEquals((await refusalOf(() => insert(otherId))).code, "AJ015");
    assertEquals((await refusalOf(() => insert(null))).code, "AJ015");
  });
});

Deno.test("ai_jobs: an idempotency key makes one job for its user, and says nothing to others", async () => {
  await withDatabase(async (db) => {
    const [first, second] = [await db.createUser(), await db.createUser()];
    const insert = async (userId: string, key: string | null) =>
      await insertAs(db, userId, {
        ...voiceClone(db, await uploadSample(db, userId)),
        idempotency_key: key,
      });
    await insert(first.id, "order-1");

    const refusal = await refusalOf(() => insert(first.id, "order-1"));
    // Each upload lies elsewhere, so that this is another request with the same key.
    assertEquals([refusal.code, refusal.detail], ["AJ030", "idempotency_key"]);
    await insert(first.id, "order-2");
    await insert(second.id, "order-1");
    await insert(first.id, null);
    await insert(first.id, null);
    assertEquals((await db.sql`select 1 from public.ai_jobs`).length, 5);

    for (const key of ["", "x".repeat(256)]) {
      const { code, constraint } = await refusalOf(() => insert(first.id, key));
      assertEquals([code, constraint], [
        "23514",
        "ai_jobs_idempotency_key_length",
      ]);
    }
    await insert(first.id, "x".repeat(255));
  });
});

Deno.test("ai_jobs: ten connections that insert the same idempotency key make one job, and ten keys make ten", async () => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const inputUrl = await uploadSample(db, userId);
    const sessions = await db.connections(10);
    const insertAll = (keyOf: (index: number) => string) =>
      Promise.all(sessions.map(async (sql, index) => {
        try {
          await sql`insert into public.ai_jobs ${
            sql({
              ...voiceClone(db, inputUrl),
              user_id: userId,
              idempotency_key: keyOf(index),
            })
          }`;
          return "made";
        } catch (error) {
          return error instanceof Error && "code" in error
            ? error.code
            : "other";
        }
      }));

    const same = await insertAll(() => "the-one");
    assertEquals(same.filter((answer) => answer === "made").length, 1);
    assertEquals(
      same.filter((answer) => answer === "AJ031" || answer === "AJ032").length,
      9,
    );
    assertEquals((await db.sql`select 1 from public.ai_jobs`).length, 1);

    const different = await insertAll((index) => `key-${index}`);
    assertEquals(different, Array.from({ length: 10 }, () => "made"));
    assertEquals((await db.sql`select 1 from public.ai_jobs`).length, 11);
  });
});

Deno.test("ai_jobs: a job can be put off for 31 days, not longer, and a time in the past means now", async () => {
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

Deno.test("ai_job_input_hash: equal requests have one hash; another owner, type, parameter or object version another", async (t) => {
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
        values.metadata ?? '{"name": "a", "labels": {"x": 1, "y": 2}}'
      }::text::jsonb
        ) as hash`;
      assert(row !== undefined);
      return row.hash;
    };
    const reference = await hash();

    await t.step(
      "order and spaces of the parameters do not count",
      async () => {
        assertEquals(
          await hash({ metadata: '{ "labels":{"y":2,"x":1},"name":"a"}' }),
          reference,
        );
      },
    );
    await t.step("the owner computes what the database does", async () => {
      assertEquals(
        await db.asUser(userId, (sql) => hash({}, sql)),
        reference,
      );
    });
    await t.step(
      "time zone and date style of the session do not count",
      async () => {
        const elsewhere = await db.sql.begin(async (sql) => {
          await sql`select set_config('timezone', 'Asia/Kathmandu', true), set_config('datestyle', 'German', true)`;
          return await hash({}, sql);
        });
        assertEquals(elsewhere, reference);
      },
    );
    const others = {
      "another owner": { user_id: otherId },
      "another type": { job_type: "transcription" },
      "another object": { input_url: await uploadSample(db, userId) },
      "another parameter": { metadata: '{"name": "b"}' },
    };
    for (const [name, values] of Object.entries(others)) {
      await t.step(name, async () => {
        assertNotEquals(await hash(values), reference);
      });
    }
    await t.step("a stranger gets the hash of no object", async () => {
      const seen = await db.asUser(otherId, (sql) => hash({}, sql));
      assertNotEquals(seen, reference);
      assertEquals(
        await db.asUser(
          otherId,
          (sql) => hash({ input_url: `${inputUrl}.none` }, sql),
        ),
        await hash({ input_url: `${inputUrl}.none` }),
        "the hash of an object that is not there does not depend on the caller",
      );
    });
    await t.step("a new version of the object", async () => {
      await db.sql`update storage.objects set version = ${crypto.randomUUID()}`;
      assertNotEquals(await hash(), reference);
    });
  });
});
