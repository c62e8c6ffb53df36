/** Files without an account or job: they are not stored, and existing ones are found and removed. */
import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { BUCKETS } from "../../supabase/functions/_shared/storage/buckets.ts";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import {
  backendOf,
  insertClaimedJob,
  insertCompletedJob,
  refusalOf,
  untilBlocked,
  withQueue,
} from "./_support/factories.ts";

const A_DAY_AGO = "now() - interval '25 hours'";

/** Inserts objects without any check. They are older than every grace period unless `age` is given. */
async function putUnchecked(
  db: TestDatabase,
  paths: readonly string[],
  age = A_DAY_AGO,
): Promise<void> {
  const admin = postgres(db.adminUrl, { max: 1, onnotice: () => {} });
  try {
    await admin.begin(async (sql) => {
      await sql`set local session_replication_role = replica`;
      for (const path of paths) {
        const [bucket = "", ...name] = path.split("/");
        await sql.unsafe(
          `insert into storage.objects (bucket_id, name, metadata, created_at, updated_at)
           values ($1, $2, '{"size": 1}', ${age}, ${age})`,
          [bucket, name.join("/")],
        );
      }
    });
  } finally {
    await admin.end();
  }
}

const storeObject = (sql: postgres.ISql, path: string) => {
  const [bucket = "", ...name] = path.split("/");
  return sql`
    insert into storage.objects (bucket_id, name, metadata)
    values (${bucket}, ${name.join("/")}, '{"size": 1}')`;
};

/** Scans all buckets, `limit` objects at a time; returns how many each part has read. */
async function scan(db: TestDatabase, limit = 5000): Promise<number[]> {
  const parts: number[] = [];
  do {
    const [row] = await db.asService((sql) =>
      sql<{ n: number }[]>`select public.scan_stored_files(${limit}) as n`
    );
    parts.push(row?.n ?? 0);
  } while (parts.at(-1) === limit);
  return parts;
}

const queued = async (db: TestDatabase) =>
  [
    ...await db.sql<{ object_path: string; reason: string }[]>`
      select object_path, reason from private.storage_removals where done_at is null order by object_path`,
  ].map(({ object_path, reason }) => `${object_path} (${reason})`);

Deno.test("own_buckets: the database and the functions have the same list", async () => {
  await withDatabase(async ({ sql }) => {
    const [row] = await sql<
      { buckets: string[] }[]
    >`select private.own_buckets() as buckets`;
    assertEquals(row?.buckets.toSorted(), Object.keys(BUCKETS).toSorted());
  });
});

Deno.test("storage.objects: no file can be stored for a missing account, not even by the service", async (t) => {
  await withDatabase(async (db) => {
    const gone = (await db.createUser()).id;
    const anna = (await db.createUser()).id;
    await db.sql`delete from auth.users where id = ${gone}`;
    await db
      .sql`insert into storage.buckets (id, name) values ('the-apps-own', 'the-apps-own')`;
    for (const bucket of Object.keys(BUCKETS)) {
      const isUploadable = BUCKETS[bucket]?.isUploadable;
      await t.step(bucket, async () => {
        const path = `${bucket}/${gone}/a.bin`;
        const refused = [
          await refusalOf(() =>
            db.asService(async (sql) => await storeObject(sql, path))
          ),
          ...isUploadable
            // The token is still valid after the account is deleted.
            ? [
              await refusalOf(() =>
                db.asUser(gone, async (sql) => await storeObject(sql, path))
              ),
            ]
            : [],
        ];
        for (const { code, message } of refused) {
          assertEquals(code, "42501");
          assert(message.startsWith("account_not_found: "), message);
        }
        await db.asService(async (sql) =>
          await storeObject(sql, `${bucket}/${anna}/a.bin`)
        );
        // Not a folder of a user.
        for (
          const name of ["a.bin", "templates/a.bin", gone, `${gone}x/a.bin`]
        ) {
          await db.asService(async (sql) =>
            await storeObject(sql, `${bucket}/${name}`)
          );
        }
      });
    }
    await t.step("an app's own bucket is its own", async () => {
      await db.asService(async (sql) =>
        await storeObject(sql, `the-apps-own/${gone}/a.bin`)
      );
    });
    await t.step("no file can be moved there", async () => {
      await storeObject(db.sql, `uploads/${anna}/b.bin`);
      const { code } = await refusalOf(() =>
        db.sql`update storage.objects set name = ${`${gone}/b.bin`}
          where bucket_id = 'uploads' and name = ${`${anna}/b.bin`}`
      );
      assertEquals(code, "42501");
    });
  });
});

Deno.test("storage.objects: other folders get the same answer with and without an account", async () => {
  await withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    const paul = (await db.createUser()).id;
    const answers = await Promise.all(
      [paul, crypto.randomUUID()].map(async (id) => {
        const { code, message } = await refusalOf(() =>
          db.asUser(
            anna,
            async (sql) => await storeObject(sql, `uploads/${id}/a.bin`),
          )
        );
        return { code, message };
      }),
    );
    assertEquals(answers[0], answers[1]);
  });
});

Deno.test("storage.objects: a file stored while its account is deleted is either refused or queued", async (t) => {
  await withQueue(async ({ db }) => {
    const [storing, deleting] = [
      ...await db.connections(1, "service_role"),
      ...await db.connections(1),
    ];
    assert(storing && deleting);
    await t.step("stored first", async () => {
      const { id } = await db.createUser();
      const pid = await backendOf(deleting);
      const deletion = await storing.begin(async (sql) => {
        await storeObject(sql, `outputs/${id}/a.bin`);
        const deletion = deleting`delete from auth.users where id = ${id}`
          .execute();
        await untilBlocked(db, pid);
        return { deletion };
      });
      await deletion.deletion;
      assertEquals(await queued(db), [`outputs/${id}/a.bin (users)`]);
    });
    await t.step("deleted first", async () => {
      const { id } = await db.createUser();
      const pid = await backendOf(storing);
      const refusal = await deleting.begin(async (sql) => {
        await sql`delete from auth.users where id = ${id}`;
        const refusal = refusalOf(() =>
          storeObject(storing, `outputs/${id}/a.bin`)
        );
        await untilBlocked(db, pid);
        return { refusal };
      });
      assertEquals((await refusal.refusal).code, "42501");
    });
  });
});

Deno.test("forget_user: queues the account's files in our buckets, and none in an app's own", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    await db
      .sql`insert into storage.buckets (id, name) values ('the-apps-own', 'the-apps-own')`;
    for (const bucket of [...Object.keys(BUCKETS), "the-apps-own"]) {
      await storeObject(db.sql, `${bucket}/${id}/a.bin`);
    }
    await db.sql`delete from auth.users where id = ${id}`;
    assertEquals(
      await queued(db),
      Object.keys(BUCKETS).toSorted().map((bucket) =>
        `${bucket}/${id}/a.bin (users)`
      ),
    );
  });
});

Deno.test("scan_stored_files: queues files in the folders of missing accounts after the grace, in our buckets", async () => {
  await withQueue(async ({ db }) => {
    const gone = crypto.randomUUID();
    const anna = (await db.createUser()).id;
    await db
      .sql`insert into storage.buckets (id, name) values ('the-apps-own', 'the-apps-own')`;
    const lost = Object.keys(BUCKETS).map((bucket) =>
      `${bucket}/${gone}/2026/a.bin`
    ).toSorted();
    await putUnchecked(db, [
      ...lost,
      `the-apps-own/${gone}/a.bin`,
      `uploads/${anna}/a.bin`,
      "uploads/templates/a.bin",
      `uploads/${gone}`,
      `uploads/${gone}-old/a.bin`,
      `uploads/${crypto.randomUUID().toUpperCase()}/a.bin`,
    ]);
    await putUnchecked(
      db,
      [`uploads/${gone}/young.bin`],
      "now() - interval '23 hours'",
    );
    await scan(db);
    assertEquals(
      await queued(db),
      lost.map((path) => `${path} (no_account)`),
    );
    // The janitor may remove all of them.
    const claimed = await db.asService((sql) =>
      sql<{ object_path: string }[]>`
        select object_path from public.claim_storage_removals(100) order by object_path`
    );
    assertEquals(claimed.map(({ object_path }) => object_path), lost);
  });
});

Deno.test("scan_stored_files: queues the files of a deleted job, except those that its owner keeps", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const anna = (await db.createUser()).id;
    const deleted = crypto.randomUUID();
    const alive = await insertClaimedJob(bench, { user_id: anna });
    const paths = [
      `outputs/${anna}/${deleted}/part-1.mp3`,
      `pdfs/${anna}/${deleted}/book.pdf`,
    ];
    const kept = `outputs/${anna}/${deleted}/film.mp4`;
    await putUnchecked(db, [
      ...paths,
      kept,
      // Folders that the app has created, and the folder of an existing job.
      `outputs/${anna}/${alive.id}/part-1.mp3`,
      `outputs/${anna}/album/a.mp3`,
      `outputs/${anna}/${deleted}`,
      // In buckets where users write, a folder can have any name.
      `uploads/${anna}/${deleted}/a.mp3`,
    ]);
    await db.sql`
      insert into public.avatars (user_id, name, provider, provider_video_id, video_url)
      values (${anna}, 'Grandpa', 'd-id', 'tlk_1', ${kept})`;
    await scan(db);
    assertEquals(
      await queued(db),
      paths.map((path) => `${path} (job_leftovers)`),
    );
  });
});

Deno.test("scan_stored_files: reads in parts of any size, reads everything once per round, and then pauses", async (t) => {
  for (const limit of [1, 2, 3, 7, 5000]) {
    await t.step(`${limit} at a time`, async () => {
      await withQueue(async ({ db }) => {
        const gone = crypto.randomUUID();
        const paths = Object.keys(BUCKETS).flatMap((bucket) => [
          `${bucket}/${gone}/a.bin`,
          `${bucket}/${gone}/b.bin`,
        ]);
        await putUnchecked(db, paths);
        const parts = await scan(db, limit);
        assertEquals(parts.reduce((sum, n) => sum + n, 0), paths.length);
        assertEquals((await queued(db)).length, paths.length);
        assertEquals(await scan(db, limit), [0], "rests");
        await db.sql`
          update private.janitor_settings set file_scan_done_at = now() - make_interval(secs => scan_interval_seconds + 1)`;
        assertEquals(
          (await scan(db, limit)).reduce((sum, n) => sum + n, 0),
          paths.length,
          "a new round",
        );
        assertEquals((await queued(db)).length, paths.length, "queued once");
      });
    });
  }
});

Deno.test("scan_stored_files: reads an index, however many files there are", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    await db.sql`
      insert into storage.objects (bucket_id, name, metadata)
      select b, ${id} || '/' || n || '.bin', '{"size": 1}'
      from unnest(private.own_buckets()) as b, generate_series(1, 2000) as n`;
    await db.sql`vacuum analyze storage.objects`;
    await db.sql`
      update private.janitor_settings set file_scan_bucket = 'outputs', file_scan_name = ${id} || '/1500.bin'`;
    const before = await readsOf(db);
    await db.sql`select public.scan_stored_files(100)`;
    const after = await readsOf(db);
    assertEquals(after.whole, before.whole, "no sequential scan");
  });
});

Deno.test("is_object_referenced: reads no more of an owner with very many jobs", async () => {
  await withDatabase(async (db) => {
    const { id } = await db.createUser();
    const admin = postgres(db.adminUrl, { max: 1, onnotice: () => {} });
    try {
      await admin.begin(async (sql) => {
        await sql`set local session_replication_role = replica`;
        await sql`
          insert into public.ai_jobs (user_id, job_type, provider, status, progress_percentage, started_at, completed_at, output_url, result_data, metadata)
          select ${id}, 'text_to_speech', 'elevenlabs', 'completed', 100, now(), now(), 'outputs/' || ${id} || '/' || n || '.mp3', '{}', '{}'
          from generate_series(1, 2000) as n`;
        await sql`
          insert into public.ai_jobs (user_id, job_type, provider, status, completed_at, error_code, error_message, input_url, metadata)
          select ${id}, 'avatar_video', 'd-id', 'failed', now(), 'job_expired', 'Expired.', 'uploads/' || ${id} || '/' || n || '.jpg',
            jsonb_build_object('audio_url', 'uploads/' || ${id} || '/' || n || '.mp3')
          from generate_series(1, 2000) as n`;
      });
      await admin`analyze public.ai_jobs`;
    } finally {
      await admin.end();
    }
    const rowsRead = async () => {
      await db.sql`select pg_stat_force_next_flush()`;
      const [row] = await db.sql<{ rows: number }[]>`
        select (seq_tup_read + idx_tup_fetch)::int as rows
        from pg_stat_all_tables where relid = 'public.ai_jobs'::regclass`;
      assert(row !== undefined);
      return row.rows;
    };
    const before = await rowsRead();
    const [found] = await db.sql<{ referenced: number }[]>`
      select count(*) filter (where private.is_object_referenced(r))::int as referenced
      from (
        select (jsonb_populate_record(null::private.storage_removals, jsonb_build_object(
          'object_path', 'outputs/' || ${id} || '/' || n || '.mp3', 'user_id', ${id}::text, 'reason', 'job_leftovers'
        ))).*
        from generate_series(1991, 2010) as n
        union all
        select (jsonb_populate_record(null::private.storage_removals, jsonb_build_object(
          'object_path', 'uploads/' || ${id} || '/' || n || e, 'user_id', ${id}::text, 'reason', 'media'
        ))).*
        from generate_series(1991, 2010) as n, unnest(array['.jpg', '.mp3']) as e
      ) as r`;
    assertEquals(found?.referenced, 30);
    const read = await rowsRead() - before;
    assert(read < 200, `${read} rows read for 60 files`);
  });
});

/** The number of sequential scans of the table. */
async function readsOf(db: TestDatabase): Promise<{ whole: number }> {
  await db.sql`select pg_stat_force_next_flush()`;
  const [row] = await db.sql<{ whole: number }[]>`
    select seq_scan::int as whole from pg_stat_all_tables where relid = 'storage.objects'::regclass`;
  assert(row !== undefined);
  return row;
}

Deno.test("claim_lost_job_files: a deleted job's files go to its worker, once; existing jobs keep theirs", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertClaimedJob(bench);
    const folder = `${job.user_id}/${job.id}`;
    const paths = [`outputs/${folder}/part-1.mp3`, `pdfs/${folder}/book.pdf`];
    for (const path of paths) await storeObject(db.sql, path);
    await storeObject(db.sql, `outputs/${folder}0/a.mp3`);
    const claim = async () =>
      (await db.asService((sql) =>
        sql<{ object_path: string }[]>`
          select object_path from public.claim_lost_job_files(${job.user_id}, ${job.id}) order by object_path`
      )).map(({ object_path }) => object_path);
    assertEquals(await claim(), [], "the job exists");
    await db.sql`delete from public.ai_jobs where id = ${job.id}`;
    assertEquals(await claim(), paths);
    assertEquals(await claim(), [], "leased");
  });
});

Deno.test("claim_lost_job_files: also after the account is deleted, and no files that the library names", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const claim = async (job: { id: string; user_id: string }) =>
      (await db.sql<{ object_path: string }[]>`
        select object_path from public.claim_lost_job_files(${job.user_id}, ${job.id})`)
        .map(({ object_path }) => object_path);

    const kept = await insertCompletedJob(bench);
    const film = `outputs/${kept.user_id}/${kept.id}/film.mp4`;
    await storeObject(db.sql, film);
    await db.sql`
      insert into public.avatars (user_id, name, provider, provider_video_id, video_url)
      values (${kept.user_id}, 'Grandpa', 'd-id', 'tlk_1', ${film})`;
    await db.sql`delete from public.ai_jobs where id = ${kept.id}`;
    assertEquals(await claim(kept), []);

    const lost = await insertClaimedJob(bench);
    const part = `outputs/${lost.user_id}/${lost.id}/part-1.mp3`;
    await storeObject(db.sql, part);
    await db.sql`delete from auth.users where id = ${lost.user_id}`;
    assertEquals(await claim(lost), [part]);
  });
});

Deno.test("removals: the recording of an avatar video is kept while its job may still read it", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const anna = (await db.createUser()).id;
    const input_url = await db.putObject({
      bucket: "uploads",
      path: `${anna}/me.jpg`,
      mimetype: "image/jpeg",
      size: 1000,
    });
    const audio_url = await db.putObject({
      bucket: "uploads",
      path: `${anna}/me.mp3`,
      mimetype: "audio/mpeg",
      size: 1000,
    });
    const [job] = await db.sql<{ id: string }[]>`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata)
      values (${anna}, 'avatar_video', ${input_url}, ${
      db.sql.json({ audio_url })
    })
      returning id`;
    await db.sql`
      insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
      values (${anna}, 'audio', ${audio_url}, 'me.mp3', 'audio/mpeg', 1000)`;
    await db.sql`delete from public.media where user_id = ${anna}`;
    const due = () =>
      db.sql`
        select r.object_path from private.storage_removals as r
        where r.done_at is null and not private.is_object_referenced(r)`;
    assertEquals([...await due()], []);
    await db.sql`delete from public.ai_jobs where id = ${job?.id ?? ""}`;
    assertEquals([...await due()], [{ object_path: audio_url }]);
  });
});
