/** Deleting rows and accounts: files and voices are queued for removal, no name remains, and the accounting is kept. */
import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import {
  aVoice,
  backendOf,
  type Bench,
  claimJob,
  insertClaimedJob,
  insertCompletedJob,
  insertJob,
  readJob,
  refusalOf,
  untilBlocked,
  uploadSample,
  withQueue,
} from "./_support/factories.ts";
import {
  ADDRESS,
  insertPdf,
  openShop,
  ORDER_STATUSES,
  orderIn,
  payFor,
  readOrder,
} from "./_support/shop-fixtures.ts";
import { beginCall, completeJob } from "./_support/protocol.ts";

interface StorageRemoval {
  object_path: string;
  reason: string;
}

/** Open removals of this user's objects: all of them, or those that are due. */
async function storageRemovals(
  db: TestDatabase,
  userId: string,
  which: "all" | "due",
): Promise<StorageRemoval[]> {
  return [
    ...await db.sql<StorageRemoval[]>`
      select object_path, reason from ${
      which === "all" ? db.sql`private.storage_removals` : db
        .sql`(select * from private.storage_removals as r where not private.is_object_referenced(r)) as due`
    } where user_id = ${userId} and done_at is null order by object_path`,
  ];
}

function providerRemovals(db: TestDatabase) {
  return db.sql<
    {
      provider: string;
      object_type: string;
      provider_object_id: string | null;
      marker: string | null;
    }[]
  >`
    select provider, object_type, provider_object_id, marker from private.provider_removals
    where done_at is null order by id`;
}

/** A file in Storage and a row in the library for it. */
async function addMedia(
  db: TestDatabase,
  userId: string,
  name = `${crypto.randomUUID()}.jpg`,
): Promise<{ id: string; path: string }> {
  const path = await db.putObject({
    bucket: "uploads",
    path: `${userId}/${name}`,
    mimetype: "image/jpeg",
    size: 10,
  });
  const [row] = await db.sql<{ id: string }[]>`
    insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
    values (${userId}, 'image', ${path}, ${name}, 'image/jpeg', 10) returning id`;
  assert(row !== undefined);
  return { id: row.id, path };
}

async function addAvatar(
  db: TestDatabase,
  userId: string,
  values: Record<string, string> = {},
): Promise<{ id: string; path: string }> {
  const path = values.video_url ??
    `outputs/${userId}/${crypto.randomUUID()}.mp4`;
  const [row] = await db.sql<{ id: string }[]>`
    insert into public.avatars ${
    db.sql({
      user_id: userId,
      name: "Grandpa",
      provider: "d-id",
      provider_video_id: crypto.randomUUID(),
      video_url: path,
      ...values,
    })
  } returning id`;
  assert(row !== undefined);
  return { id: row.id, path };
}

Deno.test("removals: a deleted row queues its own object, once", async (t) => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const anna = (await db.createUser()).id;
    const paul = (await db.createUser()).id;
    const photo = await addMedia(db, anna);
    await addMedia(db, paul);
    const pdf = await insertPdf(db, anna);
    const avatar = await addAvatar(db, anna);
    await db.sql`
      insert into public.profiles (user_id, display_name, photo_path)
      values (${anna}, 'Anna', ${`profile-photos/${anna}/me.jpg`})`;
    const slideshow = crypto.randomUUID();
    await db
      .sql`insert into public.slideshows (id, user_id, title) values (${slideshow}, ${anna}, 'Summer')`;
    await db.sql`
      insert into public.slideshow_items (user_id, slideshow_id, media_id, position, public_path)
      values (${anna}, ${slideshow}, ${
      (await addMedia(db, anna)).id
    }, 0, ${`published-media/${anna}/1.jpg`})`;
    const job = await insertCompletedJob(bench, { user_id: anna });
    assert(job.input_url !== null);

    const cases: [string, string, StorageRemoval][] = [
      ["media", `id = '${photo.id}'`, {
        object_path: photo.path,
        reason: "media",
      }],
      ["pdfs", `id = '${pdf.id}'`, { object_path: pdf.path, reason: "pdfs" }],
      ["avatars", `id = '${avatar.id}'`, {
        object_path: avatar.path,
        reason: "avatars",
      }],
      ["profiles", `user_id = '${anna}'`, {
        object_path: `profile-photos/${anna}/me.jpg`,
        reason: "profiles",
      }],
      // The slide is deleted with its slideshow.
      ["slideshows", `id = '${slideshow}'`, {
        object_path: `published-media/${anna}/1.jpg`,
        reason: "slideshow_items",
      }],
      ["voices", `job_id = '${job.id}'`, {
        object_path: job.input_url,
        reason: "voices",
      }],
    ];
    for (const [table, where, expected] of cases) {
      await t.step(table, async () => {
        const before = await storageRemovals(db, anna, "due");
        const { count } = await db.asUser(
          anna,
          (sql) => sql.unsafe(`delete from public.${table} where ${where}`),
        );
        assertEquals(count, 1);
        const after = await storageRemovals(db, anna, "due");
        assertEquals(
          after.filter((one) =>
            !before.some(({ object_path }) => object_path === one.object_path)
          ),
          [expected],
        );
      });
    }
    assertEquals((await storageRemovals(db, anna, "all")).length, cases.length);
    assertEquals(await storageRemovals(db, paul, "all"), []);
  });
});

Deno.test("removals: a replaced photo is queued, one that is used again is not due", async () => {
  await withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    const set = (name: string) =>
      db.asUser(
        anna,
        (sql) =>
          sql`update public.profiles set photo_path = ${`profile-photos/${anna}/${name}`}`,
      );
    await db.sql`
      insert into public.profiles (user_id, display_name, photo_path)
      values (${anna}, 'Anna', ${`profile-photos/${anna}/1.jpg`})`;
    await set("1.jpg");
    assertEquals(await storageRemovals(db, anna, "all"), []);
    await set("2.jpg");
    assertEquals(
      (await storageRemovals(db, anna, "due")).map((one) => one.object_path),
      [`profile-photos/${anna}/1.jpg`],
    );
    // The old photo again: its removal waits, and that of the new one is due.
    await set("1.jpg");
    assertEquals(
      (await storageRemovals(db, anna, "due")).map((one) => one.object_path),
      [`profile-photos/${anna}/2.jpg`],
    );
  });
});

Deno.test("removals: an object is kept until the last row that needs it is deleted", async (t) => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const due = async (userId: string) =>
      (await storageRemovals(db, userId, "due")).map((one) => one.object_path);

    await t.step("a recording that a voice was cloned from", async () => {
      const anna = (await db.createUser()).id;
      const input_url = await uploadSample(db, anna);
      await db.sql`
        insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
        values (${anna}, 'audio', ${input_url}, 'a.mp3', 'audio/mpeg', 10)`;
      await insertCompletedJob(bench, { user_id: anna, input_url });
      await db.sql`delete from public.media where user_id = ${anna}`;
      assertEquals(await due(anna), []);
      await db.sql`delete from public.voices where user_id = ${anna}`;
      assertEquals(await due(anna), [input_url]);
    });

    for (const status of ["pending", "processing", "failed"] as const) {
      await t.step(`the input of a job that is ${status}`, async () => {
        const anna = (await db.createUser()).id;
        const input_url = await uploadSample(db, anna);
        await db.sql`
          insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
          values (${anna}, 'audio', ${input_url}, 'a.mp3', 'audio/mpeg', 10)`;
        const { id } = await insertJob(db, { user_id: anna, input_url });
        if (status !== "pending") {
          const job = await claimJob(bench, id);
          if (status === "failed") {
            await bench.queue.fail(job, { isRetryable: false });
          }
        }
        assertEquals((await readJob(db, id)).status, status);
        await db.sql`delete from public.media where user_id = ${anna}`;
        assertEquals(await due(anna), []);
        if (status === "failed") {
          await db.sql`
            update public.ai_jobs
            set created_at = created_at - interval '8 days', started_at = started_at - interval '8 days',
              completed_at = completed_at - interval '8 days'
            where id = ${id}`;
          assertEquals(await due(anna), [input_url], "after the grace period");
        }
        await db.sql`delete from public.ai_jobs where id = ${id}`;
        assertEquals(await due(anna), [input_url]);
      });
    }

    await t.step("an output that the cache gave to a second job", async () => {
      const anna = (await db.createUser()).id;
      const output_url = `outputs/${anna}/speech.mp3`;
      const jobs = [];
      for (const _ of [1, 2]) {
        const job = await insertClaimedJob(bench, { user_id: anna });
        await bench.queue.completeWithOutput(job, {}, output_url);
        jobs.push(job.id);
      }
      const remove = (id: string | undefined) =>
        db.sql`delete from public.ai_jobs where id = ${id ?? null}`;
      await remove(jobs[0]);
      assertEquals(await due(anna), []);
      await remove(jobs[1]);
      assertEquals(await due(anna), [output_url]);
    });

    await t.step(
      "but not the video of an avatar, although its job names it too",
      async () => {
        const anna = (await db.createUser()).id;
        const job = await insertClaimedJob(bench, { user_id: anna });
        const { id, path } = await addAvatar(db, anna, { job_id: job.id });
        await bench.queue.completeWithOutput(job, {}, path);
        await db.sql`delete from public.avatars where id = ${id}`;
        assertEquals(await due(anna), [path]);
      },
    );

    await t.step(
      "deleting the job does not remove the avatar's video either",
      async () => {
        const anna = (await db.createUser()).id;
        const job = await insertClaimedJob(bench, { user_id: anna });
        const { path } = await addAvatar(db, anna, { job_id: job.id });
        await bench.queue.completeWithOutput(job, {}, path);
        await db.sql`delete from public.ai_jobs where id = ${job.id}`;
        assertEquals(await due(anna), []);
        await db.sql`delete from public.avatars where user_id = ${anna}`;
        assertEquals(await due(anna), [path]);
      },
    );

    await t.step("a keepsake's file, when its job is deleted", async () => {
      const anna = (await db.createUser()).id;
      const { id, path } = await insertPdf(db, anna);
      const job = await insertClaimedJob(bench, { user_id: anna });
      await bench.queue.completeWithOutput(job, {}, path);
      await db.sql`delete from public.ai_jobs where id = ${job.id}`;
      assertEquals(await due(anna), []);
      await db.sql`delete from public.pdfs where id = ${id}`;
      assertEquals(await due(anna), [path]);
    });

    await t.step("a public copy that two slideshows show", async () => {
      const anna = (await db.createUser()).id;
      const { id: media_id } = await addMedia(db, anna);
      const public_path = `published-media/${anna}/1.jpg`;
      const slideshows = [crypto.randomUUID(), crypto.randomUUID()];
      for (const slideshow_id of slideshows) {
        await db
          .sql`insert into public.slideshows (id, user_id, title) values (${slideshow_id}, ${anna}, 'Summer')`;
        await db.sql`
          insert into public.slideshow_items ${
          db.sql({
            user_id: anna,
            slideshow_id,
            media_id,
            position: 0,
            public_path,
          })
        }`;
      }
      for (const [n, id] of slideshows.entries()) {
        await db.sql`delete from public.slideshows where id = ${id}`;
        assertEquals(await due(anna), n === 0 ? [] : [public_path]);
      }
    });
  });
});

Deno.test("removals: what its owner deletes is removed, also when an ended job had queued it before", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const anna = (await db.createUser()).id;
    const job = await insertClaimedJob(bench, { user_id: anna });
    const { id, path } = await addAvatar(db, anna, { job_id: job.id });
    await bench.queue.completeWithOutput(job, {}, path);
    await db.sql`
      insert into private.storage_removals (object_path, user_id, reason)
      values (${path}, ${anna}, 'job_leftovers')`;
    assertEquals(await storageRemovals(db, anna, "due"), []);
    await db.sql`delete from public.avatars where id = ${id}`;
    assertEquals(await storageRemovals(db, anna, "due"), [
      { object_path: path, reason: "avatars" },
    ]);
    // The deletion of the job removes less.
    await db.sql`delete from public.ai_jobs where id = ${job.id}`;
    assertEquals(await storageRemovals(db, anna, "due"), [
      { object_path: path, reason: "avatars" },
    ]);
  });
});

Deno.test("removals: a path that is used again after its object was removed, and deleted again, is queued again", async () => {
  await withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    const remove = () =>
      db.sql`delete from public.media where user_id = ${anna}`;
    const { path } = await addMedia(db, anna, "a.jpg");
    await remove();
    const insertAgain = () =>
      db.sql`
        insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
        values (${anna}, 'image', ${path}, 'a.jpg', 'image/jpeg', 10)`;
    await insertAgain();
    assertEquals(await storageRemovals(db, anna, "due"), []);
    await remove();
    assertEquals((await storageRemovals(db, anna, "all")).length, 1);
    await db
      .sql`update private.storage_removals set done_at = now(), outcome = 'removed'`;
    await insertAgain();
    await remove();
    assertEquals(await storageRemovals(db, anna, "due"), [
      { object_path: path, reason: "media" },
    ]);
  });
});

Deno.test("removals: a deleted voice or avatar is queued for removal at its provider too", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const job = await insertCompletedJob(bench);
    const [voice] = await db.sql<
      { provider_voice_id: string }[]
    >`select provider_voice_id from public.voices`;
    await addAvatar(db, job.user_id, { provider_video_id: "clp_1" });
    assertEquals([...await providerRemovals(db)], []);
    await db.asUser(job.user_id, async (sql) => {
      await sql`delete from public.voices`;
      await sql`delete from public.avatars`;
    });
    assertEquals([...await providerRemovals(db)], [
      {
        provider: "elevenlabs",
        object_type: "voice",
        provider_object_id: voice?.provider_voice_id ?? "",
        marker: null,
      },
      {
        provider: "d-id",
        object_type: "avatar",
        provider_object_id: "clp_1",
        marker: null,
      },
    ]);
  });
});

/** Jobs that are deleted around a paid call, and what must then be searched at the provider. */
const CALLS: {
  name: string;
  run(bench: Bench, job: Awaited<ReturnType<typeof insertClaimedJob>>): Promise<
    unknown
  >;
  left(
    jobId: string,
  ): { provider_object_id: string | null; marker: string | null }[];
}[] = [
  { name: "before the call", run: () => Promise.resolve(), left: () => [] },
  {
    name: "while the call is in flight",
    run: ({ queue }, job) => queue.begin(job),
    left: (id) => [{ provider_object_id: null, marker: `job:${id}` }],
  },
  {
    name: "after the response was lost",
    run: async ({ queue }, job) => {
      const call = await queue.begin(job);
      await queue.settle(job, call?.call_id ?? "", "unknown");
    },
    left: (id) => [{ provider_object_id: null, marker: `job:${id}` }],
  },
  {
    name: "between the response and the voice",
    run: async ({ queue }, job) => {
      const call = await queue.begin(job);
      await queue.settle(job, call?.call_id ?? "", "succeeded", "v_1");
    },
    left: () => [{ provider_object_id: "v_1", marker: null }],
  },
  {
    name: "after a refusal",
    run: async ({ queue }, job) => {
      const call = await queue.begin(job);
      await queue.settle(job, call?.call_id ?? "", "rejected");
    },
    left: () => [],
  },
  {
    name: "after a query has found nothing",
    run: async ({ queue }, job) => {
      const call = await queue.begin(job);
      await queue.settle(job, call?.call_id ?? "", "absent");
    },
    left: () => [],
  },
  {
    name: "after the voice was saved, which stays",
    run: async ({ queue }, job) => {
      const voice = { ...aVoice(), provider_voice_id: "v_2" };
      const call = await queue.begin(job);
      await queue.settle(job, call?.call_id ?? "", "succeeded", "v_2");
      await queue.completeWithProduct(job, voice);
    },
    left: () => [],
  },
];

for (const { name, run, left } of CALLS) {
  Deno.test(`removals: a job that is deleted ${name} leaves the right removals`, async () => {
    await withQueue(async (bench) => {
      const { db } = bench;
      const job = await insertClaimedJob(bench);
      await run(bench, job);
      await db.sql`delete from public.ai_jobs where id = ${job.id}`;
      assertEquals(
        [...await providerRemovals(db)],
        left(job.id).map((one) => ({
          provider: "elevenlabs",
          object_type: "create_voice",
          ...one,
        })),
      );
    });
  });

  Deno.test(`removals: an account that is deleted ${name} leaves a removal of every voice`, async () => {
    await withQueue(async (bench) => {
      const { db } = bench;
      const job = await insertClaimedJob(bench);
      await run(bench, job);
      const hasVoice = (await db.sql`select 1 from public.voices`).length === 1;
      await db.sql`delete from auth.users where id = ${job.user_id}`;
      assertEquals(
        [...await providerRemovals(db)],
        hasVoice
          ? [{
            provider: "elevenlabs",
            object_type: "voice",
            provider_object_id: "v_2",
            marker: null,
          }]
          : left(job.id).map((one) => ({
            provider: "elevenlabs",
            object_type: "create_voice",
            ...one,
          })),
      );
    });
  });
}

/** Every row of the schemas public and private that has one of the words in any column, as table and count. */
async function rowsWith(
  db: TestDatabase,
  words: string[],
): Promise<Record<string, number>> {
  const tables = await db.sql<{ name: string }[]>`
    select c.oid::regclass::text as name from pg_class as c
    where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and c.relkind = 'r'`;
  const found: Record<string, number> = {};
  for (const { name } of tables) {
    const [row] = await db.sql.unsafe<{ n: number }[]>(
      `select count(*)::int as n from ${name} as t where to_jsonb(t)::text ilike any ($1)`,
      [words.map((word) => `%${word}%`)],
    );
    if (row !== undefined && row.n > 0) found[name] = row.n;
  }
  return found;
}

/** The accounting records: every amount, status and link, without personal data. */
function books(db: TestDatabase) {
  return db.sql<{ line: string }[]>`
    select line from (
      select 'order ' || concat_ws(' ', id, vendor_id, currency, total_minor, placed_at, paid_at) as line
      from public.orders where status <> 'draft' and placed_at is not null
      union all select 'item ' || concat_ws(' ', i.id, order_id, description, quantity, unit_price_minor, i.currency)
      from public.order_items as i join public.orders as o on o.id = i.order_id where o.placed_at is not null
      union all select 'payment ' || concat_ws(' ', id, order_id, provider, provider_payment_id, status, amount_minor,
        refunded_minor, captured_at) from public.payments
      union all select 'delivery ' || concat_ws(' ', id, order_id, status, shipped_at, delivered_at) from public.deliveries
    ) as lines order by line`;
}

/** A user with rows in every table, and orders in every status. */
async function settle(bench: Bench, name: string): Promise<string> {
  const { db } = bench;
  const { id } = await db.createUser({
    email: `${name}.berger@example.com`.toLowerCase(),
  });
  const job = await insertCompletedJob(bench, {
    user_id: id,
    metadata: { voice_name: `${name}'s voice` },
  });
  await insertClaimedJob(bench, { user_id: id });
  const photo = await addMedia(db, id, `${name}.jpg`);
  await db.sql`
    insert into public.profiles (user_id, display_name, photo_path)
    values (${id}, ${name}, ${`profile-photos/${id}/me.jpg`})`;
  await db.sql`
    insert into public.calls (user_id, title, recording_id, transcript, transcript_job_id)
    values (${id}, ${`${name} and Grandma`}, ${photo.id}, ${`Hello ${name}`}, ${job.id})`;
  await addAvatar(db, id, { name, photo_id: photo.id });
  const slideshow = crypto.randomUUID();
  await db
    .sql`insert into public.slideshows (id, user_id, title) values (${slideshow}, ${id}, ${name})`;
  await db.sql`
    insert into public.slideshow_items (user_id, slideshow_id, media_id, position, caption)
    values (${id}, ${slideshow}, ${photo.id}, 0, ${name})`;
  await db.sql`
    insert into public.ai_result_cache (cache_key, user_id, value, expires_at)
    values (${
    "ai_job:" + id.replaceAll("-", "").repeat(2)
  }, ${id}, '{}', now() + interval '1 minute')`;
  const shop = await openShop(db);
  await db
    .sql`insert into public.vendor_members (vendor_id, user_id) values (${shop.vendorId}, ${id})`;
  for (const status of ORDER_STATUSES) {
    const pdf = await insertPdf(db, id);
    await orderIn(db, shop, id, status, pdf.id);
  }
  return id;
}

Deno.test("account: deletion leaves no personal data in any table, and the accounting stays complete", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const anna = await settle(bench, "Anna");
    const paul = await settle(bench, "Paul");
    // The only personal data that the two share is the address of the family.
    await db.sql`
      update public.orders set shipping_address = shipping_address || '{"name": "Paul Berger"}'
      where user_id = ${paul}`;
    const parcels = (userId: string) =>
      db.sql<{ tracking_number: string }[]>`
        select tracking_number from public.deliveries where user_id = ${userId} and tracking_number is not null`;
    const numbers = (await parcels(anna)).map((row) => row.tracking_number);
    assertEquals(numbers.length, 2);
    const words = [anna, "Anna", ADDRESS.line1, ...numbers];
    const paulsWords = [paul, "Paul"];
    const before = await rowsWith(db, words);
    for (
      const table of [
        "ai_jobs",
        "ai_job_events",
        "avatars",
        "calls",
        "media",
        "orders",
        "payments",
        "pdfs",
        "profiles",
        "slideshow_items",
        "slideshows",
        "vendor_members",
        "voices",
        "ai_result_cache",
      ]
    ) {
      assert((before[`public.${table}`] ?? 0) > 0, `no row in ${table}`);
    }
    const paulsRows = await rowsWith(db, paulsWords);
    const booked = [...await books(db)];

    await db.sql`delete from auth.users where id = ${anna}`;

    assertEquals(
      Object.keys(await rowsWith(db, [anna, "Anna", ...numbers])),
      // Only the paths of the objects to remove are left.
      ["private.storage_removals"],
    );
    assertEquals((await rowsWith(db, [ADDRESS.line1]))["public.orders"], 8);
    assertEquals([...await books(db)], booked);
    assertEquals(await rowsWith(db, paulsWords), paulsRows);
  });
});

Deno.test("account: a running worker does not delay the deletion, nor the deletion the worker", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const paying = await insertClaimedJob(bench);
    const ending = await insertClaimedJob(bench, { user_id: paying.user_id });
    const [deleting, worker, other] = [
      ...await db.connections(1),
      ...await db.connections(2, "service_role"),
    ];
    assert(deleting && worker && other);
    await db.sql`
      insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
      values ('voice_clone', 'elevenlabs', 'creation', 1, 1000000)
      on conflict (job_type, provider) do update set price_micros = excluded.price_micros`;
    const pid = await backendOf(other);
    const answers = await deleting.begin(async (sql) => {
      // As at the beginning of a deletion, which locks the account while it records the removals.
      await sql`select 1 from auth.users where id = ${paying.user_id} for update`;
      const begun = await beginCall(worker, paying);
      const completed = completeJob(other, ending, {
        result: { voice_id: "v" },
        product: aVoice(),
      });
      await untilBlocked(db, pid);
      await sql`delete from auth.users where id = ${paying.user_id}`;
      return { begun, completed };
    });
    assertEquals(answers.begun?.decision, "send");
    assertEquals(await answers.completed, false);
    assertEquals(
      [
        ...await db.sql`
        select 1 from public.ai_jobs union all select 1 from public.ai_provider_calls
        union all select 1 from public.voices union all select 1 from public.ai_limits where user_id is not null`,
      ],
      [],
    );
  });
});

Deno.test("account: a job added to another during the deletion waits for it, and is refused", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const first = await insertClaimedJob(bench);
    const [deleting, adding] = await db.connections(2);
    assert(deleting && adding);
    const pid = await backendOf(adding);
    const answer = await deleting.begin(async (sql) => {
      await sql`select 1 from auth.users where id = ${first.user_id} for update`;
      const code = refusalOf(() =>
        adding`
          insert into public.ai_jobs (user_id, job_type, input_url, metadata, depends_on_job_id)
          values (${first.user_id}, 'voice_clone', ${first.input_url}, '{"voice_name": "v"}', ${first.id})`
      ).then((refusal) => refusal?.code);
      await untilBlocked(db, pid);
      await sql`delete from auth.users where id = ${first.user_id}`;
      return { code };
    });
    // Its dependency does not exist any more.
    assertEquals(await answer.code, "AJ016");
    assertEquals([...await db.sql`select 1 from public.ai_jobs`], []);
  });
});

Deno.test("account: orders of every status stay without customer and address; unpaid ones are cancelled", async (t) => {
  await withQueue(async ({ db }) => {
    const shop = await openShop(db);
    for (const status of ORDER_STATUSES) {
      await t.step(status, async () => {
        const anna = (await db.createUser()).id;
        const pdf = await insertPdf(db, anna);
        const id = await orderIn(db, shop, anna, status, pdf.id);
        const before = await readOrder(db, id);
        await db.sql`delete from auth.users where id = ${anna}`;
        if (status === "draft") {
          assertEquals(
            (await db.sql`select 1 from public.orders where id = ${id}`).length,
            0,
          );
          return;
        }
        const after = await readOrder(db, id);
        assertEquals(after, {
          ...before,
          updated_at: after.updated_at,
          user_id: null,
          shipping_address: null,
          status: status === "placed" ? "cancelled" : status,
          completed_at: status === "placed"
            ? after.completed_at
            : before.completed_at,
        });
        const [row] = await db.sql<
          { items: number; linked: number; payments: number }[]
        >`
          select (select count(*)::int from public.order_items where order_id = ${id}) as items,
            (select count(*)::int from public.order_items where order_id = ${id} and pdf_id is not null) as linked,
            (select count(*)::int from public.payments where order_id = ${id} and user_id is null) as payments`;
        assertEquals(row, {
          items: 2,
          linked: 0,
          payments: before.paid_at === null ? 0 : 1,
        });
      });
    }
    await t.step("placed, with money already captured", async () => {
      const anna = (await db.createUser()).id;
      const id = await orderIn(db, shop, anna, "placed");
      await payFor(db, id);
      await db.sql`delete from auth.users where id = ${anna}`;
      const after = await readOrder(db, id);
      assertEquals([after.status, after.shipping_address], ["placed", null]);
    });
    await t.step("an address cannot come back", async () => {
      const { constraint } = await refusalOf(() =>
        db.sql`
          update public.orders set shipping_address = ${db.sql.json(ADDRESS)}
          where user_id is null`
      );
      assertEquals(constraint, "orders_forgotten_has_no_address");
    });
  });
});

Deno.test("account: every object in its folders is queued for removal, and no object of others", async () => {
  await withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    const paul = (await db.createUser()).id;
    const objects: string[] = [];
    for (const userId of [anna, paul]) {
      for (
        const { id: bucket } of await db.sql<
          { id: string }[]
        >`select id from storage.buckets`
      ) {
        const path = await db.putObject({
          bucket,
          path: `${userId}/folder/${crypto.randomUUID()}`,
          mimetype: "image/jpeg",
          size: 1,
          // Created by the service: only the folder shows whose it is.
          owner: paul,
        });
        if (userId === anna) objects.push(path);
      }
    }
    const { path } = await addMedia(db, anna);
    await db.sql`delete from auth.users where id = ${anna}`;
    assertEquals(
      await storageRemovals(db, anna, "due"),
      [...objects, path].sort().map((object_path) => ({
        object_path,
        reason: "users",
      })),
    );
    assertEquals(await storageRemovals(db, paul, "all"), []);
  });
});

Deno.test("account: the Auth service, which has no rights on our tables, can delete it", async () => {
  await withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    await addMedia(db, anna);
    const shop = await openShop(db);
    await orderIn(db, shop, anna, "draft");
    await orderIn(db, shop, anna, "paid");
    await asAuthService(db, async (sql) => {
      assertEquals(
        (await refusalOf(() =>
          sql.savepoint((inner) => inner`select 1 from public.orders`)
        )).code,
        "42501",
      );
      assertEquals(
        (await sql`delete from auth.users where id = ${anna}`).count,
        1,
      );
    });
    assertEquals(
      (await db.sql`select 1 from public.orders where user_id is null`).length,
      1,
    );
  });
});

/** Runs as the role that a hosted project's Auth service logs in with. */
async function asAuthService(
  db: TestDatabase,
  run: (sql: postgres.TransactionSql) => Promise<void>,
): Promise<void> {
  const admin = postgres(db.adminUrl, { max: 1 });
  try {
    await admin.begin(async (sql) => {
      await sql`set local role supabase_auth_admin`;
      await run(sql);
    });
  } finally {
    await admin.end();
  }
}

Deno.test("account: one with 20,000 files and 2,000 rows is deleted within the time limit of a request", async () => {
  await withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    await db.sql`
      insert into storage.objects (bucket_id, name)
      select 'uploads', ${anna} || '/' || n || '.jpg' from generate_series(1, 20000) as n`;
    await db.sql`
      insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
      select ${anna}, 'image', 'uploads/' || ${anna} || '/' || n || '.jpg', 'a.jpg', 'image/jpeg', 1
      from generate_series(1, 2000) as n`;
    // The limit that the Data API has for a signed-in user; Auth has no shorter one.
    await db.sql.begin(async (sql) => {
      await sql`set local statement_timeout = '8s'`;
      await sql`delete from auth.users where id = ${anna}`;
    });
    assertEquals((await storageRemovals(db, anna, "all")).length, 20000);
  });
});
