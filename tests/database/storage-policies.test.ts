/** Buckets and policies of Storage: users write in their own folder, and only the service writes outputs. */
import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import { BUCKETS } from "../../supabase/functions/_shared/storage/buckets.ts";
import { type TestDatabase, withDatabase } from "../_support/database.ts";

/** The buckets whose policies are tested here. */
const buckets = ["voice-samples", "uploads", "outputs", "profile-photos"];

/** Inserts a row with the caller's rights, as Storage does before it stores the bytes. */
function insertObject(sql: postgres.ISql, bucket: string, name: string) {
  return sql`
    insert into storage.objects (bucket_id, name, metadata) values (${bucket}, ${name}, '{"size": 1}')`;
}

/** The number of rows that a command affected, or the SQLSTATE of its refusal. */
async function outcomeOf(
  attempt: Promise<{ count: number }>,
): Promise<number | string> {
  try {
    return (await attempt).count;
  } catch (error) {
    assert(error instanceof Error && "code" in error);
    return String(error.code);
  }
}

/** Deletes with the caller's rights, after disabling the guard against plain SQL, as Storage does. */
async function deleteObject(
  sql: postgres.ISql,
  bucket: string,
  name: string,
) {
  await sql`select set_config('storage.allow_delete_query', 'true', true)`;
  return await sql`delete from storage.objects where bucket_id = ${bucket} and name = ${name}`;
}

async function twoUsers(db: TestDatabase): Promise<[string, string]> {
  return [(await db.createUser()).id, (await db.createUser()).id];
}

Deno.test("buckets: those of the database are those that the functions know; mime-types.test.ts has their types", async () => {
  await withDatabase(async (db) => {
    const rows = await db.sql<
      {
        id: string;
        name: string;
        public: boolean;
        file_size_limit: string;
      }[]
    >`select id, name, public, file_size_limit from storage.buckets`;
    assertEquals(
      Object.fromEntries(rows.map((row) => [row.id, {
        isPublic: row.public,
        maxBytes: Number(row.file_size_limit),
      }])),
      Object.fromEntries(
        Object.entries(BUCKETS).map(([id, bucket]) => [id, {
          isPublic: bucket.isPublic,
          maxBytes: bucket.maxBytes,
        }]),
      ),
    );
    for (const { id, name } of rows) assertEquals(name, id);
  });
});

Deno.test("storage.objects: users upload into their own folder of the uploadable buckets, and nowhere else", async (t) => {
  await withDatabase(async (db) => {
    const [a, b] = await twoUsers(db);
    await db
      .sql`insert into storage.buckets (id, name) values ('unknown', 'unknown')`;
    for (const bucket of buckets) {
      const isUploadable = BUCKETS[bucket]?.isUploadable;
      const places: Record<string, { name: string; isAllowed: boolean }> = {
        "own folder": { name: `${a}/x.bin`, isAllowed: isUploadable === true },
        "folder in their own folder": {
          name: `${a}/2026/x.bin`,
          isAllowed: isUploadable === true,
        },
        "other folder": { name: `${b}/x.bin`, isAllowed: false },
        "their own id below another folder": {
          name: `${b}/${a}/x.bin`,
          isAllowed: false,
        },
        "no folder": { name: "x.bin", isAllowed: false },
        "their own id as a file": { name: a, isAllowed: false },
        "their own id in capitals": {
          name: `${a.toUpperCase()}/x.bin`,
          isAllowed: false,
        },
        "their own id and more": { name: `${a}x/x.bin`, isAllowed: false },
      };
      for (const [place, { name, isAllowed }] of Object.entries(places)) {
        await t.step(
          `${bucket}, ${place}: ${isAllowed ? "yes" : "no"}`,
          async () => {
            assertEquals(
              await outcomeOf(
                db.asUser(
                  a,
                  async (sql) => await insertObject(sql, bucket, name),
                ),
              ),
              isAllowed ? 1 : "42501",
            );
          },
        );
      }
      await t.step(`${bucket}, not signed in: no`, async () => {
        assertEquals(
          await outcomeOf(
            db.asAnon(async (sql) =>
              await insertObject(sql, bucket, `${a}/y.bin`)
            ),
          ),
          "42501",
        );
      });
      await t.step(`${bucket}, the service: yes`, async () => {
        assertEquals(
          await outcomeOf(
            db.asService(async (sql) =>
              await insertObject(sql, bucket, `${a}/z.bin`)
            ),
          ),
          1,
        );
      });
    }
    await t.step("a bucket that no policy names: no", async () => {
      assertEquals(
        await outcomeOf(
          db.asUser(
            a,
            async (sql) => await insertObject(sql, "unknown", `${a}/x.bin`),
          ),
        ),
        "42501",
      );
    });
  });
});

Deno.test("storage.objects: users list their own folder; no bucket can be listed, not even the public one", async (t) => {
  await withDatabase(async (db) => {
    const [a, b] = await twoUsers(db);
    for (const bucket of buckets) {
      for (const userId of [a, b]) {
        await db.putObject({
          bucket,
          path: `${userId}/x.bin`,
          mimetype: "image/png",
          size: 1,
        });
      }
      const list = async (sql: postgres.ISql) =>
        (await sql<
          { name: string }[]
        >`select name from storage.objects where bucket_id = ${bucket} order by name`)
          .map(({ name }) => name);
      await t.step(bucket, async () => {
        assertEquals(await db.asUser(a, list), [`${a}/x.bin`]);
        assertEquals(await db.asUser(b, list), [`${b}/x.bin`]);
        assertEquals(await db.asAnon(list), []);
        assertEquals((await db.asService(list)).length, 2);
      });
    }
  });
});

Deno.test("storage.objects: only the owner replaces a profile photo, and nothing moves into another folder", async (t) => {
  await withDatabase(async (db) => {
    const [a, b] = await twoUsers(db);
    for (const bucket of buckets) {
      const path = `${a}/x.bin`;
      await db.putObject({ bucket, path, mimetype: "image/png", size: 1 });
      const isReplaceable = bucket === "profile-photos";
      const replace = async (sql: postgres.ISql) =>
        await sql`
          update storage.objects set metadata = metadata || '{"size": 2}'
          where bucket_id = ${bucket} and name = ${path}`;
      await t.step(`${bucket}: ${isReplaceable ? "yes" : "no"}`, async () => {
        assertEquals(
          await outcomeOf(db.asUser(a, replace)),
          isReplaceable ? 1 : 0,
        );
        assertEquals(await outcomeOf(db.asUser(b, replace)), 0);
        assertEquals(await outcomeOf(db.asAnon(replace)), 0);
      });
      for (
        const [name, change] of Object.entries({
          "into another folder": { name: `${b}/x.bin` },
          "into another bucket": {
            bucket_id: bucket === "outputs" ? "uploads" : "outputs",
          },
        })
      ) {
        await t.step(`${bucket}: not moved ${name}`, async () => {
          assertEquals(
            await outcomeOf(
              db.asUser(
                a,
                async (sql) =>
                  await sql`update storage.objects set ${
                    sql(change)
                  } where bucket_id = ${bucket} and name = ${path}`,
              ),
            ),
            isReplaceable ? "42501" : 0,
          );
        });
      }
    }
  });
});

Deno.test("storage.objects: users remove objects in their own folder, outputs too, and none in another", async (t) => {
  await withDatabase(async (db) => {
    const [a, b] = await twoUsers(db);
    for (const bucket of buckets) {
      await t.step(bucket, async () => {
        const path = `${a}/x.bin`;
        await db.putObject({ bucket, path, mimetype: "image/png", size: 1 });
        const remove = (sql: postgres.ISql) => deleteObject(sql, bucket, path);
        assertEquals(await outcomeOf(db.asUser(b, remove)), 0);
        assertEquals(await outcomeOf(db.asAnon(remove)), 0);
        assertEquals(await outcomeOf(db.asUser(a, remove)), 1);
      });
    }
  });
});

Deno.test("buckets: users and anon neither create, see nor change one", async () => {
  await withDatabase(async (db) => {
    const [a] = await twoUsers(db);
    const commands: ((sql: postgres.ISql) => Promise<{ count: number }>)[] = [
      async (sql) =>
        await sql`insert into storage.buckets (id, name, public) values ('mine', 'mine', true)`,
      async (sql) => await sql`update storage.buckets set public = true`,
      async (sql) => await sql`select * from storage.buckets`,
    ];
    for (const run of commands) {
      for (
        const outcome of [
          await outcomeOf(db.asUser(a, run)),
          await outcomeOf(db.asAnon(run)),
        ]
      ) {
        assert(outcome === "42501" || outcome === 0, String(outcome));
      }
    }
  });
});
