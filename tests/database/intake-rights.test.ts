/** Who may insert a job for whom, with which columns, and how often. */
import { assert, assertEquals } from "@std/assert";
import { withDatabase } from "../_support/database.ts";
import {
  insertJob,
  type Refusal,
  refusalOf,
  uploadSample,
} from "./_support/factories.ts";
import { insertAs, voiceClone } from "./_support/new-jobs.ts";
import type { Job } from "./_support/queue.ts";

Deno.test("admit_ai_job: another user's folder reveals nothing, for any user_id in the row", async (t) => {
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
      "the owner gets a different answer for each, so the inputs differ",
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

Deno.test("ai_jobs: a user can set nine columns at insert, not the id, and none afterwards", async (t) => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const inputUrl = await uploadSample(db, userId);
    const insertable = [
      "user_id",
      "job_type",
      "input_url",
      "metadata",
      "idempotency_key",
      "scheduled_at",
      "cached_from_job_id",
      "depends_on_job_id",
      "traceparent",
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
          // The value is the column's default, so that only the privilege decides.
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
      // owner-requests.test.ts tests what these two columns do.
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

Deno.test("ai_jobs: inserting for another user or without a session is refused", async () => {
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

Deno.test("ai_jobs: an idempotency key belongs to its user, and reveals nothing to others", async () => {
  await withDatabase(async (db) => {
    const [first, second] = [await db.createUser(), await db.createUser()];
    const insert = async (userId: string, key: string | null) =>
      await insertAs(db, userId, {
        ...voiceClone(db, await uploadSample(db, userId)),
        idempotency_key: key,
      });
    await insert(first.id, "order-1");

    const refusal = await refusalOf(() => insert(first.id, "order-1"));
    // Each upload has another path, so that this is another request with the same key.
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

Deno.test("ai_jobs: ten parallel inserts with one idempotency key create one job, and with ten keys ten", async () => {
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
      same.filter((answer) => answer === "23505" || answer === "AJ032").length,
      9,
    );
    assertEquals((await db.sql`select 1 from public.ai_jobs`).length, 1);

    const different = await insertAll((index) => `key-${index}`);
    assertEquals(different, Array.from({ length: 10 }, () => "made"));
    assertEquals((await db.sql`select 1 from public.ai_jobs`).length, 11);
  });
});
