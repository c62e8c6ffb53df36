/** Rows that a job created refer to it, and deleting one side leaves the other intact. */
import { assert, assertEquals } from "@std/assert";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import { insertJob, refusalOf } from "./_support/factories.ts";

/** A kind of row that jobs create. */
interface Product {
  table: "voices" | "avatars" | "calls" | "pdfs";
  link: "job_id" | "transcript_job_id";
  constraint: string;
  /** The columns that the row keeps when the job is deleted. */
  kept: string;
  /** The constraint that refuses another owner: the reference or, before it, the folder of its file. */
  handedOver: "23503" | "23514";
  values(userId: string): Record<string, string | number>;
}

const PRODUCTS: Product[] = [
  {
    table: "voices",
    link: "job_id",
    constraint: "voices_job_fkey",
    kept: "provider_voice_id",
    handedOver: "23503",
    values: () => ({
      provider: "elevenlabs",
      provider_voice_id: crypto.randomUUID(),
      name: "Grandpa",
      stability: 0.5,
      similarity_boost: 0.75,
    }),
  },
  {
    table: "avatars",
    link: "job_id",
    constraint: "avatars_job_fkey",
    kept: "video_url",
    handedOver: "23514",
    values: (userId) => ({
      provider: "d-id",
      provider_video_id: crypto.randomUUID(),
      name: "Grandpa",
      video_url: `outputs/${userId}/${crypto.randomUUID()}.mp4`,
    }),
  },
  {
    table: "calls",
    link: "transcript_job_id",
    constraint: "calls_transcript_job_fkey",
    kept: "transcript",
    handedOver: "23503",
    values: () => ({ title: "Sunday", transcript: "Hello? Hello!" }),
  },
  {
    table: "pdfs",
    link: "job_id",
    constraint: "pdfs_job_fkey",
    kept: "pdf_url",
    handedOver: "23514",
    values: (userId) => ({
      title: "Our year",
      pdf_url: `pdfs/${userId}/${crypto.randomUUID()}.pdf`,
      page_count: 24,
      size_bytes: 1000,
    }),
  },
];

async function insertRow(
  db: TestDatabase,
  table: string,
  values: Record<string, string | number>,
): Promise<string> {
  const [row] = await db.sql<{ id: string }[]>`
    insert into ${db.sql(`public.${table}`)} ${db.sql(values)} returning id`;
  assert(row !== undefined);
  return row.id;
}

async function readRow(
  db: TestDatabase,
  table: string,
  id: string,
): Promise<Record<string, unknown> | undefined> {
  const [row] = await db
    .sql`select * from ${db.sql(`public.${table}`)} where id = ${id}`;
  return row;
}

for (const { table, link, constraint, kept, handedOver, values } of PRODUCTS) {
  Deno.test(`${table}: deleting the job keeps the row, without the link`, async () => {
    await withDatabase(async (db) => {
      const job = await insertJob(db);
      const id = await insertRow(db, table, {
        user_id: job.user_id,
        [link]: job.id,
        ...values(job.user_id),
      });
      const before = await readRow(db, table, id);
      await db.sql`delete from public.ai_jobs where id = ${job.id}`;
      const after = await readRow(db, table, id);
      assert(before?.[kept] !== undefined && before[kept] !== null);
      assertEquals(after, {
        ...before,
        [link]: null,
        updated_at: after?.updated_at,
      });
    });
  });

  Deno.test(`${table}: deleting the row keeps the job`, async () => {
    await withDatabase(async (db) => {
      const job = await insertJob(db);
      const id = await insertRow(db, table, {
        user_id: job.user_id,
        [link]: job.id,
        ...values(job.user_id),
      });
      const before = await readRow(db, "ai_jobs", job.id);
      // As its owner, to prove that users can do this.
      const { count } = await db.asUser(
        job.user_id,
        (sql) => sql`delete from ${sql(`public.${table}`)} where id = ${id}`,
      );
      assertEquals(count, 1);
      assertEquals(await readRow(db, "ai_jobs", job.id), before);
    });
  });

  Deno.test(`${table}: refers to a job of the same owner, and no two rows to one job`, async () => {
    await withDatabase(async (db) => {
      const job = await insertJob(db);
      const otherUser = (await db.createUser()).id;
      const insert = (userId: string) =>
        insertRow(db, table, {
          user_id: userId,
          [link]: job.id,
          ...values(userId),
        });
      assertEquals(
        (await refusalOf(() => insert(otherUser))).constraint,
        constraint,
      );
      await insert(job.user_id);
      assertEquals((await refusalOf(() => insert(job.user_id))).code, "23505");
      const { code } = await refusalOf(() =>
        db.sql`update ${db.sql(`public.${table}`)} set user_id = ${otherUser}`
      );
      assertEquals(code, handedOver);
    });
  });
}

Deno.test("calls, avatars, slides: deleting a recording, voice or photo keeps what was created from it", async () => {
  await withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    const media = (name: string) =>
      insertRow(db, "media", {
        user_id: anna,
        media_type: "image",
        storage_path: `uploads/${anna}/${name}`,
        file_name: name,
        content_type: "image/jpeg",
        size_bytes: 1,
      });
    const recording = await media("call.jpg"), photo = await media("face.jpg");
    const voice = await insertRow(db, "voices", {
      user_id: anna,
      provider: "elevenlabs",
      provider_voice_id: "v1",
      name: "Anna",
      stability: 0.5,
      similarity_boost: 0.5,
    });
    const call = await insertRow(db, "calls", {
      user_id: anna,
      title: "Sunday",
      recording_id: recording,
      transcript: "Hello?",
    });
    const avatar = await insertRow(db, "avatars", {
      user_id: anna,
      name: "Anna",
      provider: "d-id",
      provider_video_id: "a1",
      video_url: `outputs/${anna}/a.mp4`,
      voice_id: voice,
      photo_id: photo,
    });
    const slideshow = await insertRow(db, "slideshows", {
      user_id: anna,
      title: "Summer",
    });
    await insertRow(db, "slideshow_items", {
      user_id: anna,
      slideshow_id: slideshow,
      media_id: photo,
      position: 0,
    });
    const pdf = await insertRow(db, "pdfs", {
      user_id: anna,
      title: "Summer",
      slideshow_id: slideshow,
      pdf_url: `pdfs/${anna}/a.pdf`,
      page_count: 1,
      size_bytes: 1,
    });
    await db.asUser(anna, async (sql) => {
      await sql`delete from public.media`;
      await sql`delete from public.voices`;
    });
    const [left] = await db.sql`
      select c.recording_id, c.transcript, a.voice_id, a.photo_id, a.video_url,
        (select count(*)::int from public.slideshow_items) as slides
      from public.calls as c, public.avatars as a where c.id = ${call} and a.id = ${avatar}`;
    assertEquals(left, {
      recording_id: null,
      transcript: "Hello?",
      voice_id: null,
      photo_id: null,
      video_url: `outputs/${anna}/a.mp4`,
      // A slide is deleted with its photo.
      slides: 0,
    });
    await db.asUser(anna, (sql) => sql`delete from public.slideshows`);
    assertEquals((await readRow(db, "pdfs", pdf))?.slideshow_id, null);
  });
});

/** References between two tables that both have an owner, and whether the owner is part of the reference. */
const REFERENCES = `
  select k.conname as name,
    exists (
      select 1 from unnest(k.conkey, k.confkey) as pair (own, other)
      join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = pair.own and a.attname = 'user_id'
      join pg_attribute as b on b.attrelid = k.confrelid and b.attnum = pair.other and b.attname = 'user_id'
    ) as carries
  from pg_constraint as k
  where k.contype = 'f' and k.connamespace = 'public'::regnamespace
    and exists (select 1 from pg_attribute where attrelid = k.conrelid and attname = 'user_id')
    and exists (select 1 from pg_attribute where attrelid = k.confrelid and attname = 'user_id')
    and k.confrelid <> 'auth.users'::regclass
  order by k.conname`;

/** References without the owner, with what guarantees the same owner instead. */
const GUARANTEED_OTHERWISE: Record<string, string> = {
  ai_job_events_job_id_fkey: "written by triggers from the job's own row",
  ai_jobs_cached_from_job_id_fkey:
    "checked by private.admit_ai_job and reuse_ai_job_result",
  ai_provider_calls_job_id_fkey:
    "written by begin_provider_calls from the job's own row",
  deliveries_order_fkey: "the customer is set by private.guard_delivery",
  payments_order_fkey: "the customer is set by private.guard_payment",
};

Deno.test("references: between two tables with an owner, each includes the owner", async (t) => {
  await withDatabase(async (db) => {
    const withoutOwner = async () => {
      const rows = await db.sql.unsafe<{ name: string; carries: boolean }[]>(
        REFERENCES,
      );
      assert(rows.length > 10);
      return rows.filter(({ carries }) => !carries).map(({ name }) => name);
    };
    assertEquals(
      await withoutOwner(),
      Object.keys(GUARANTEED_OTHERWISE).sort(),
    );

    await t.step("(an offence is found)", async () => {
      await db
        .sql`create table public.offence (user_id uuid, media_id uuid references public.media (id))`;
      assertEquals(
        await withoutOwner(),
        [...Object.keys(GUARANTEED_OTHERWISE), "offence_media_id_fkey"].sort(),
      );
    });
  });
});
