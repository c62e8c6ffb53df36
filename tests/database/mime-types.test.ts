/** Content types in the database: the same names as in the functions, and one name for each format in every row. */
import { assert, assertEquals } from "@std/assert";
import {
  canonicalMimeType,
  MIME_TYPE_SYNONYMS,
} from "../../supabase/functions/_shared/contracts/mime-type.ts";
import { BUCKETS } from "../../supabase/functions/_shared/storage/buckets.ts";
import { acceptsMimeType } from "../../dev/stack/services/lite/storage-mime-types.ts";
import { withDatabase } from "../_support/database.ts";
import { refusalOf, uploadSample } from "./_support/factories.ts";
import { insertAs, voiceClone } from "./_support/new-jobs.ts";

Deno.test("private.canonical_mime_type: agrees with the functions on every type", async () => {
  await withDatabase(async (db) => {
    const [source] = await db.sql<{ text: string }[]>`
      select prosrc as text from pg_proc where oid = 'private.canonical_mime_type(text)'::regprocedure`;
    const named = [...source?.text.matchAll(/'([a-z]+\/[^']+)'/g) ?? []]
      .flatMap(([, name]) => name ?? []);
    const known = Object.entries(MIME_TYPE_SYNONYMS).flat(2);
    assertEquals(
      [...new Set(named)].toSorted(),
      [...new Set(known)].toSorted(),
      "both have the same types",
    );
    const given = known.flatMap((name) => [
      name,
      name.toUpperCase(),
      `${name};codecs=opus`,
      ` ${name} ; codecs="a,b"; rate=8000`,
    ]).concat(["text/x-unheard-of", "", ";a=b", "nonsense"]);
    const rows = await db.sql<{ given: string; name: string | null }[]>`
      select t.given, private.canonical_mime_type(t.given) as name
      from unnest(${given}::text[]) as t (given)`;
    assertEquals(rows.length, given.length);
    for (const row of rows) {
      assertEquals(row.name ?? "", canonicalMimeType(row.given), row.given);
    }
  });
});

Deno.test("buckets: Storage accepts every type with an upload URL, under all names and with parameters", async () => {
  await withDatabase(async (db) => {
    const rows = await db.sql<{ id: string; allowed_mime_types: string[] }[]>`
      select id, allowed_mime_types from storage.buckets`;
    for (const { id, allowed_mime_types: allowed } of rows) {
      for (const mimeType of BUCKETS[id]?.mimeTypes ?? []) {
        for (const name of [mimeType, ...MIME_TYPE_SYNONYMS[mimeType] ?? []]) {
          const isAudioOrVideo = /^(audio|video)\//.test(name);
          assert(
            acceptsMimeType(allowed, name) || !BUCKETS[id]?.isUploadable,
            `${id} refuses ${name}`,
          );
          assert(
            !isAudioOrVideo || !BUCKETS[id]?.isUploadable ||
              acceptsMimeType(allowed, `${name};codecs=opus`) ||
              id === "voice-samples" && name === "video/ogg",
            `${id} refuses ${name} with parameters`,
          );
        }
      }
      for (const page of ["text/html", "image/svg+xml", "application/xml"]) {
        assert(!acceptsMimeType(allowed, page), `${id} takes ${page}`);
      }
    }
  });
});

Deno.test("ai_jobs: a recording is accepted under every name of its format, with or without parameters", async () => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    await db.sql`update public.ai_limits set max_active_jobs = 1000`;
    const accepted = await db.sql<{ name: string }[]>`
      select unnest(input_mime_types) as name from public.ai_job_types where job_type = 'voice_clone'`;
    assert(accepted.length > 5);
    for (const { name } of accepted) {
      for (const synonym of [name, ...MIME_TYPE_SYNONYMS[name] ?? []]) {
        for (const mimetype of [synonym, `${synonym}; codecs=opus`]) {
          const inputUrl = await uploadSample(db, userId, { mimetype });
          const job = await insertAs(db, userId, voiceClone(db, inputUrl));
          assertEquals(job.status, "pending", mimetype);
        }
      }
    }
  });
});

Deno.test("ai_job_types: a content type that an operator adds is kept under its canonical name, once", async () => {
  await withDatabase(async (db) => {
    const service = await db.asService((sql) =>
      sql<{ input_mime_types: string[] }[]>`
        update public.ai_job_types
        set input_mime_types = array['audio/x-wav', 'Audio/AMR', 'audio/wav', 'audio/webm;codecs=opus']
        where job_type = 'voice_clone' returning input_mime_types`
    );
    assertEquals(service[0]?.input_mime_types, [
      "audio/wav",
      "audio/amr",
      "audio/webm",
    ]);
    const { id: userId } = await db.createUser();
    const inputUrl = await uploadSample(db, userId, { mimetype: "audio/wave" });
    await insertAs(db, userId, voiceClone(db, inputUrl));
  });
});

Deno.test("media: the content type is stored under its canonical name; an unspecific one is refused", async () => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const insert = (contentType: string | null) =>
      db.asUser(userId, (sql) =>
        sql<{ content_type: string }[]>`
          insert into public.media (media_type, storage_path, file_name, content_type, size_bytes)
          values ('audio', ${`uploads/${userId}/${crypto.randomUUID()}`}, 'memo', ${contentType}, 1)
          returning content_type`);
    for (
      const [given, kept] of [
        ["audio/webm;codecs=opus", "audio/webm"],
        ["audio/ogg; codecs=opus", "audio/ogg"],
        ["audio/X-M4A", "audio/mp4"],
        ["image/jpg", "image/jpeg"],
      ] as const
    ) assertEquals((await insert(given))[0]?.content_type, kept);
    for (const given of ["", " ", null, "application/octet-stream"]) {
      const refusal = await refusalOf(() => insert(given));
      assertEquals([refusal.code, refusal.detail], ["AJ076", "content_type"]);
      assert(refusal.message.includes("for example audio/mp4"));
    }
    assertEquals(
      (await refusalOf(() => insert("not a type"))).constraint,
      "media_content_type_is_mime",
    );
  });
});
