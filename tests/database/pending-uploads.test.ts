/** Limits on a user's open uploads and unused files: exact under parallel requests. */
import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import { BUCKETS } from "../../supabase/functions/_shared/storage/buckets.ts";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import { insertJob, refusalOf } from "./_support/factories.ts";

const MIB = 1_048_576;

async function setLimits(
  db: TestDatabase,
  { files = 500, bytes = 2_147_483_648 }: { files?: number; bytes?: number },
) {
  await db.sql`
    update public.ai_limits set max_unused_uploads = ${files}, max_unused_upload_bytes = ${bytes} where user_id is null`;
}

const pathOf = (userId: string) => `${userId}/${crypto.randomUUID()}.mp3`;

/** Records an upload as its owner, as create-upload-url does. */
function reserve(
  db: TestDatabase,
  userId: string,
  bytes: number,
  path = pathOf(userId),
) {
  return db.asUser(
    userId,
    (sql) =>
      sql`insert into public.pending_uploads (object_path, size_bytes) values (${`uploads/${path}`}, ${bytes})`,
  );
}

/** Writes the row of an uploaded file with the service's rights, as Storage does. */
function store(
  sql: postgres.ISql,
  userId: string,
  bytes: number,
  path = pathOf(userId),
) {
  return sql`
    insert into storage.objects (bucket_id, name, owner_id, metadata)
    values ('uploads', ${path}, ${userId}, ${
    sql.json({ size: bytes, mimetype: "audio/mpeg" })
  })
    on conflict (bucket_id, name) do update set metadata = excluded.metadata`;
}

/** The buckets into which users upload. */
const UPLOADABLE = Object.entries(BUCKETS).filter(([, { isUploadable }]) =>
  isUploadable
).map(([name]) => name).sort();

/** The outcome of a request for a signed URL: Storage tries the insert and rolls it back. */
async function sign(db: TestDatabase, userId: string, path: string) {
  const [sql] = await db.connections(1);
  assert(sql !== undefined);
  try {
    await sql.begin(async (tx) => {
      await tx`select set_config('request.jwt.claims', ${
        JSON.stringify({ sub: userId, role: "authenticated" })
      }, true), set_config('storage.operation', 'storage.object.sign_upload_url', true)`;
      await tx`set local role authenticated`;
      await tx`insert into storage.objects (bucket_id, name, owner_id) values ('uploads', ${path}, ${userId})`;
      throw new Error("undone");
    });
  } catch (error) {
    assert(error instanceof Error);
    return error.message === "undone" ? "signed" : error.message;
  }
}

async function pending(db: TestDatabase, userId: string) {
  const [row] = await db.sql<{ files: number; bytes: number }[]>`
    select count(*)::int as files, coalesce(sum(size_bytes), 0)::float8 as bytes from public.pending_uploads
    where user_id = ${userId} and (stored_at is not null or expires_at > now())`;
  return { ...row };
}

const outcome = (work: PromiseLike<unknown>) =>
  Promise.resolve(work).then(
    () => "yes",
    (error: postgres.PostgresError) => `${error.code} ${error.message}`,
  );

Deno.test("pending uploads: 20 parallel connections never exceed the number or the bytes", async () => {
  for (
    const { limits, expected } of [
      { limits: { files: 37 }, expected: { files: 37, bytes: 37 * MIB } },
      {
        limits: { bytes: 37 * MIB + 1 },
        expected: { files: 37, bytes: 37 * MIB },
      },
    ]
  ) {
    await withDatabase(async (db) => {
      await setLimits(db, limits);
      const { id } = await db.createUser();
      const { id: other } = await db.createUser();
      const connections = await db.connections(20);
      const outcomes = await Promise.all(
        Array.from({ length: 200 }, (_, n) => {
          const sql = connections[n % connections.length];
          assert(sql !== undefined);
          return outcome(
            n % 2 === 0
              ? sql`
                insert into public.pending_uploads (object_path, user_id, size_bytes)
                values (${`uploads/${pathOf(id)}`}, ${id}, ${MIB})`
              : store(sql, id, MIB),
          );
        }),
      );
      assertEquals(outcomes.filter((each) => each === "yes").length, 37);
      assertEquals(await pending(db, id), expected);
      const [stored] = await db.sql<{ files: number }[]>`
        select count(*)::int as files from storage.objects where owner_id = ${id}`;
      assertEquals(
        stored?.files,
        outcomes.filter((each, n) => n % 2 === 1 && each === "yes").length,
      );
      const code = limits.files === undefined
        ? "unused_upload_bytes_exceeded"
        : "unused_uploads_exceeded";
      assertEquals(
        new Set(
          outcomes.filter((each) => each !== "yes").map((each) =>
            each.replace(/: .*/, "").replace(/ (you|your) .*/, "")
          ),
        ),
        new Set([
          limits.files === undefined ? "AJ043" : "AJ039",
          `42501 ${code}`,
        ]),
      );
      assertEquals(await outcome(reserve(db, other, MIB)), "yes");
    });
  }
});

Deno.test("pending uploads: a URL is signed for an upload that its owner recorded, until it is used or expires", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    const { id: other } = await db.createUser();
    const path = pathOf(id);
    const refused =
      'new row violates row-level security policy for table "objects"';
    assertEquals(await sign(db, id, path), refused);
    await reserve(db, id, MIB, path);
    assertEquals(await sign(db, id, path), "signed");
    assertEquals(await sign(db, id, pathOf(id)), refused);
    assertEquals(await sign(db, other, path), refused);
    assertEquals(await pending(db, id), { files: 1, bytes: MIB });
    await db
      .sql`update public.pending_uploads set expires_at = now() - interval '1 second'`;
    assertEquals(await sign(db, id, path), refused);
    await reserve(db, id, MIB, path);
    await store(db.sql, id, 2 * MIB, path);
    assertEquals(await sign(db, id, path), refused);
  });
});

Deno.test("pending uploads: a file counts with its stored size, and so does an upload without a signed URL", async () => {
  await withDatabase(async (db) => {
    await setLimits(db, { bytes: 10 * MIB });
    const { id } = await db.createUser();
    const path = pathOf(id);
    await reserve(db, id, 1, path);
    await store(db.sql, id, 6 * MIB, path);
    assertEquals(await pending(db, id), { files: 1, bytes: 6 * MIB });
    const direct = pathOf(id);
    const { code, message } = await refusalOf(() =>
      store(db.sql, id, 4 * MIB + 1, direct)
    );
    assertEquals(
      [code, message],
      [
        "42501",
        "unused_upload_bytes_exceeded: your unused upload URLs and files may have at most 10485760 bytes together; use or delete some",
      ],
    );
    await store(db.sql, id, 4 * MIB, direct);
    // The file is replaced by a smaller one.
    await store(db.sql, id, 1 * MIB, direct);
    assertEquals(await pending(db, id), { files: 2, bytes: 7 * MIB });
    // An upload larger than recorded is refused when it arrives.
    const understated = pathOf(id);
    await reserve(db, id, 1, understated);
    assertEquals(
      (await refusalOf(() => store(db.sql, id, 4 * MIB, understated))).code,
      "42501",
    );
  });
});

Deno.test("pending uploads: room is freed when a URL expires, a file is removed, or a row names it", async (t) => {
  const media = (db: TestDatabase, id: string, path: string) =>
    db.asUser(id, (sql) =>
      sql`
      insert into public.media (media_type, storage_path, file_name, content_type, size_bytes)
      values ('audio', ${`uploads/${path}`}, 'a.mp3', 'audio/mpeg', 9)`);
  const ways: Record<
    string,
    (db: TestDatabase, id: string, path: string) => PromiseLike<unknown>
  > = {
    "a row of media": media,
    "the input of a job": (db, id, path) =>
      insertJob(db, { user_id: id, input_url: `uploads/${path}` }),
    "the recording of a job": (db, id, path) =>
      db.sql`
        insert into public.ai_jobs (user_id, job_type, input_url, metadata)
        select ${id}, 'voice_clone', input_url, ${
        db.sql.json({ voice_name: "v", audio_url: `uploads/${path}` })
      } from public.ai_jobs where user_id = ${id}`,
    "its removal": (db, _id, path) =>
      db.sql.begin(async (sql) => {
        await sql`select set_config('storage.allow_delete_query', 'true', true)`;
        await sql`delete from storage.objects where name = ${path}`;
      }),
  };
  for (const [what, release] of Object.entries(ways)) {
    await t.step(what, async () => {
      await withDatabase(async (db) => {
        const { id } = await db.createUser();
        await insertJob(db, { user_id: id });
        await setLimits(db, { files: 1 });
        const path = pathOf(id);
        await db.sql`delete from public.pending_uploads`;
        await store(db.sql, id, MIB, path);
        assertEquals((await refusalOf(() => reserve(db, id, 1))).code, "AJ039");
        await release(db, id, path);
        await reserve(db, id, 1);
        assertEquals((await pending(db, id)).files, 1);
      });
    });
  }
  await t.step("an expired URL", async () => {
    await withDatabase(async (db) => {
      const { id } = await db.createUser();
      await setLimits(db, { files: 1 });
      await reserve(db, id, 1);
      assertEquals((await refusalOf(() => reserve(db, id, 1))).code, "AJ039");
      await db
        .sql`update public.pending_uploads set expires_at = now() - interval '1 second'`;
      await reserve(db, id, 1);
      await db.sql`select private.prune_ai_job_leftovers()`;
      const [row] = await db.sql<{ rows: number }[]>`
        select count(*)::int as rows from public.pending_uploads`;
      assertEquals(row?.rows, 1);
    });
  });
});

Deno.test("pending uploads: an open URL still counts if a row names its path before it is used", async () => {
  await withDatabase(async (db) => {
    await setLimits(db, { files: 1 });
    const { id } = await db.createUser();
    const path = pathOf(id);
    await reserve(db, id, 1, path);
    await db.asUser(id, (sql) =>
      sql`
      insert into public.media (media_type, storage_path, file_name, content_type, size_bytes)
      values ('audio', ${`uploads/${path}`}, 'a.mp3', 'audio/mpeg', 9)`);
    assertEquals((await refusalOf(() => reserve(db, id, 1))).code, "AJ039");
  });
});

Deno.test("pending uploads: a moved file counts under its new name only; the service and other buckets do not", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    await store(db.sql, id, MIB, `${id}/a.mp3`);
    await db
      .sql`update storage.objects set name = ${`${id}/b.mp3`} where name = ${`${id}/a.mp3`}`;
    const rows = await db.sql<
      { object_path: string }[]
    >`select object_path from public.pending_uploads`;
    assertEquals(rows.map(({ object_path }) => object_path), [
      `uploads/${id}/b.mp3`,
    ]);
    await db.sql`insert into storage.buckets (id, name) values ('own', 'own')`;
    await db.sql`
      insert into storage.objects (bucket_id, name, owner_id, metadata) values
        ('outputs', ${`${id}/c.mp3`}, null, '{"size": 9}'), ('own', ${`${id}/d.mp3`}, ${id}, '{"size": 9}'),
        ('uploads', ${`${id}/e.mp3`}, 'a robot', '{"size": 9}')`;
    assertEquals(await pending(db, id), { files: 1, bytes: MIB });
  });
});

Deno.test("pending uploads: every bucket into which users upload counts, and no other can be recorded", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    const written: string[] = [];
    for (const bucket of Object.keys(BUCKETS)) {
      await db.putObject({
        bucket,
        path: `${id}/a.bin`,
        mimetype: "audio/mpeg",
        size: 9,
      });
      const path = `${bucket}/${id}/b.bin`;
      const isWritten = await outcome(
        db.asUser(id, (sql) =>
          sql`
          insert into public.pending_uploads (object_path, size_bytes) values (${path}, 9)`),
      );
      if (isWritten === "yes") written.push(bucket);
    }
    assertEquals(written.sort(), UPLOADABLE);
    const counted = await db.sql<{ bucket: string }[]>`
      select split_part(object_path, '/', 1) as bucket from public.pending_uploads
      where stored_at is not null order by 1`;
    assertEquals(counted.map(({ bucket }) => bucket), UPLOADABLE);
  });
});

Deno.test("pending uploads: users record and read their own, and cannot change them afterwards", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    const { id: other } = await db.createUser();
    await reserve(db, id, 1);
    const foreign = await refusalOf(() => reserve(db, other, 1, pathOf(id)));
    assertEquals(foreign.constraint, "pending_uploads_object_path_is_owners");
    const seen = await db.asUser(
      other,
      (sql) => sql`select * from public.pending_uploads`,
    );
    assertEquals(seen.length, 0);
    for (
      const change of [
        (sql: postgres.ISql) =>
          sql`update public.pending_uploads set size_bytes = 0`,
        (sql: postgres.ISql) =>
          sql`
            insert into public.pending_uploads (object_path, size_bytes, stored_at)
            values (${`uploads/${pathOf(id)}`}, 1, now())`,
      ]
    ) {
      const { code } = await refusalOf(() => db.asUser(id, change));
      assertEquals(code, "42501");
    }
    // A URL that is not used may be discarded, but not the record of a stored file.
    const discard = async (by: string) =>
      (await db.asUser(by, (sql) => sql`delete from public.pending_uploads`))
        .count;
    await db.sql`update public.pending_uploads set stored_at = now()`;
    await reserve(db, id, 1);
    assertEquals([await discard(other), await discard(id)], [0, 1]);
    const left = await db.sql<{ is_stored: boolean }[]>`
      select stored_at is not null as is_stored from public.pending_uploads`;
    assertEquals(left.map(({ is_stored }) => is_stored), [true]);
  });
});
