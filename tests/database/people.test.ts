/** What users own besides their jobs: profiles, calls, avatars, slideshows and keepsakes. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type postgres from "postgres";
import {
  type TestDatabase,
  type Transaction,
  withDatabase,
} from "../_support/database.ts";
import { refusalOf } from "./_support/factories.ts";

interface Media {
  id: string;
  path: string;
}

/** A photo of this user, in their library. */
async function addPhoto(db: TestDatabase, userId: string): Promise<Media> {
  const path = await db.putObject({
    bucket: "uploads",
    path: `${userId}/${crypto.randomUUID()}.jpg`,
    mimetype: "image/jpeg",
    size: 1000,
  });
  const [row] = await db.sql<{ id: string }[]>`
    insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
    values (${userId}, 'image', ${path}, 'photo.jpg', 'image/jpeg', 1000) returning id`;
  assert(row !== undefined);
  return { id: row.id, path };
}

/** A slideshow with `count` photos, created by this user. Every second photo has a public copy. */
async function makeSlideshow(
  db: TestDatabase,
  userId: string,
  photos: number,
): Promise<{ id: string; items: string[] }> {
  const items: string[] = [];
  const [slideshow] = await db.asUser(userId, (sql) =>
    sql<{ id: string }[]>`
      insert into public.slideshows (title) values ('Summer by the lake') returning id`);
  assert(slideshow !== undefined);
  const { id } = slideshow;
  for (let position = 0; position < photos; position++) {
    const { id: media_id } = await addPhoto(db, userId);
    const item = {
      slideshow_id: id,
      media_id,
      position,
      caption: `photo ${position}`,
      public_path: position % 2 === 0
        ? `published-media/${userId}/${position}.jpg`
        : null,
    };
    const [row] = await db.asUser(userId, (sql) =>
      sql<{ id: string }[]>`
        insert into public.slideshow_items ${sql(item)} returning id`);
    assert(row !== undefined);
    items.push(row.id);
  }
  return { id, items };
}

function publish(db: TestDatabase, userId: string, id: string, to = true) {
  return db.asUser(
    userId,
    (sql) =>
      sql`update public.slideshows set is_published = ${to} where id = ${id}`,
  );
}

async function tokenOf(db: TestDatabase, id: string): Promise<string> {
  const [row] = await db.sql<
    { share_token: string }[]
  >`select share_token from public.slideshows where id = ${id}`;
  assert(row !== undefined);
  return row.share_token;
}

async function openLink(
  sql: postgres.ISql,
  token: string | null,
): Promise<unknown> {
  const [row] = await sql<
    { slideshow: unknown }[]
  >`select public.get_shared_slideshow(${token}) as slideshow`;
  return row?.slideshow;
}

Deno.test("schema: every reference to an account has a delete rule, and only accounting rows are kept", async () => {
  await withDatabase(async (db) => {
    const rows = await db.sql<{ name: string; action: string }[]>`
      select k.conrelid::regclass::text as name, k.confdeltype as action
      from pg_constraint as k
      where k.contype = 'f' and k.confrelid = 'auth.users'::regclass
        and k.connamespace in ('public'::regnamespace, 'private'::regnamespace)`;
    assert(rows.length > 10);
    assertEquals(
      rows.filter(({ action }) => action !== "c").map(({ name }) => name)
        .sort(),
      ["public.deliveries", "public.orders", "public.payments"],
    );
    assertEquals(rows.filter(({ action }) => !["c", "n"].includes(action)), []);
  });
});

Deno.test("schema: in every table with updated_at the same trigger maintains it, before the row is written", async () => {
  await withDatabase(async (db) => {
    const rows = await db.sql<{ name: string; triggers: number }[]>`
      select c.oid::regclass::text as name, (
        select count(*)::int from pg_trigger as t
        where t.tgrelid = c.oid and t.tgfoid = 'private.touch_updated_at'::regproc
          and t.tgenabled = 'O' and t.tgtype = (1 | 2 | 16)
      ) as triggers
      from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attname = 'updated_at'
      where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and c.relkind = 'r'`;
    assert(rows.length > 10);
    assertEquals(rows.filter(({ triggers }) => triggers !== 1), []);
  });
});

Deno.test("schema: every amount of money has a currency column, and is a whole number", async () => {
  await withDatabase(async (db) => {
    const rows = await db.sql<
      { name: string; type: string; currency: boolean }[]
    >`
      select c.oid::regclass || '.' || a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
        exists (
          select 1 from pg_attribute as b join pg_constraint as k on k.conrelid = c.oid and k.contype = 'c'
          where b.attrelid = c.oid and b.attname = 'currency' and b.attnotnull
            and (b.attnum = any (k.conkey) or c.relname = 'order_items')
        ) as currency
      from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attname like '%\\_minor'
      where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'`;
    assert(rows.length >= 9);
    assertEquals(
      rows.filter((row) => row.type !== "bigint" || !row.currency),
      [],
    );
  });
});

Deno.test("profiles: one each, created and updated by its user; the photo is in the user's public folder", async (t) => {
  await withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    const paul = (await db.createUser()).id;
    const make = (values: Record<string, string>) =>
      db.asUser(
        anna,
        (sql) =>
          sql`insert into public.profiles ${
            sql({ display_name: "Anna", ...values })
          }`,
      );
    const path = (rest: string) => `profile-photos/${anna}${rest}`;
    for (
      const photo_path of [
        `profile-photos/${paul}/me.jpg`,
        `uploads/${anna}/me.jpg`,
        path(""),
        path("/"),
        path("/a/../../b.jpg"),
        path("/a\\b.jpg"),
        path("/a\nb.jpg"),
        `https://example.com/${anna}/me.jpg`,
      ]
    ) {
      await t.step(JSON.stringify(photo_path), async () => {
        const { constraint } = await refusalOf(() => make({ photo_path }));
        assertEquals(constraint, "profiles_photo_path_is_owners");
      });
    }
    for (const locale of ["", "german", "DE", "de_AT"]) {
      await t.step(`locale ${JSON.stringify(locale)}`, async () => {
        const { constraint } = await refusalOf(() => make({ locale }));
        assertEquals(constraint, "profiles_locale_is_bcp47");
      });
    }
    await make({ photo_path: path("/me.jpg"), locale: "de-AT" });
    assertEquals((await refusalOf(() => make({}))).code, "23505");
    assertEquals(
      (await refusalOf(() => make({ user_id: paul }))).code,
      "42501",
    );
    const read = (sql: Transaction) =>
      sql`select user_id, locale from public.profiles`;
    assertEquals([...await db.asUser(anna, read)], [
      { user_id: anna, locale: "de-AT" },
    ]);
    assertEquals((await db.asUser(paul, read)).length, 0);
  });
});

Deno.test("calls, avatars, keepsakes: the owner writes the descriptive columns, not those that jobs write", async (t) => {
  await withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    await db.asUser(
      anna,
      (sql) => sql`insert into public.calls (title) values ('Grandma')`,
    );
    await db.sql`
      insert into public.avatars (user_id, name, provider, provider_video_id, video_url)
      values (${anna}, 'Anna', 'd-id', 'tlk_1', ${`outputs/${anna}/a.mp4`})`;
    await db.sql`
      insert into public.pdfs (user_id, title, pdf_url, page_count, size_bytes)
      values (${anna}, 'Our year', ${`pdfs/${anna}/a.pdf`}, 12, 1000)`;
    const MAY: Record<string, string[]> = {
      calls: ["title", "recording_id", "held_at", "duration_seconds"],
      avatars: ["name"],
      pdfs: ["title"],
      profiles: ["display_name", "photo_path", "locale", "time_zone"],
      slideshows: ["title", "description", "is_published"],
      slideshow_items: [
        "media_id",
        "position",
        "caption",
        "public_path",
        "is_full_page",
      ],
      orders: ["status", "shipping_address"],
      order_items: ["pdf_id", "quantity"],
      payments: [],
      deliveries: [],
      vendors: [],
      vendor_members: [],
      vendor_products: [],
      voices: [],
    };
    for (const [table, columns] of Object.entries(MAY)) {
      await t.step(table, async () => {
        const all = await db.sql<{ name: string }[]>`
          select attname as name from pg_attribute
          where attrelid = ${`public.${table}`}::regclass and attnum > 0 and not attisdropped and attgenerated = ''`;
        const possible: string[] = [];
        for (const { name } of all) {
          const attempt = () =>
            db.asUser(
              anna,
              (sql) =>
                sql`update public.${sql(table)} set ${sql(name)} = ${
                  sql(name)
                }`,
            );
          try {
            await attempt();
            possible.push(name);
          } catch {
            assertEquals((await refusalOf(attempt)).code, "42501", name);
          }
        }
        assertEquals(possible.sort(), columns.sort());
      });
    }
  });
});

Deno.test("slideshows: with the link anyone reads title and public photos in order, and no more", async () => {
  await withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    const paul = (await db.createUser()).id;
    const { id } = await makeSlideshow(db, anna, 4);
    await makeSlideshow(db, anna, 1);
    const token = await tokenOf(db, id);
    const everyone = [
      (act: (sql: Transaction) => Promise<unknown>) => db.asAnon(act),
      (act: (sql: Transaction) => Promise<unknown>) => db.asUser(paul, act),
    ];
    for (const as of everyone) {
      assertEquals(await as((sql) => openLink(sql, token)), null);
    }
    await publish(db, anna, id);
    const expected = {
      title: "Summer by the lake",
      description: null,
      slides: [0, 2].map((n) => ({
        caption: `photo ${n}`,
        public_path: `published-media/${anna}/${n}.jpg`,
      })),
    };
    for (const as of everyone) {
      assertEquals(await as((sql) => openLink(sql, token)), expected);
      for (
        const wrong of [null, "", token.slice(1), token.toUpperCase(), "%"]
      ) {
        assertEquals(await as((sql) => openLink(sql, wrong)), null);
      }
    }
  });
});

Deno.test("slideshows: shared ones cannot be listed, counted or found by filtering", async () => {
  await withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    const paul = (await db.createUser()).id;
    const { id } = await makeSlideshow(db, anna, 2);
    await publish(db, anna, id);
    const token = await tokenOf(db, id);
    const other = await makeSlideshow(db, anna, 1);
    await publish(db, anna, other.id);
    for (
      const as of [
        (act: (sql: Transaction) => Promise<unknown>) => db.asAnon(act),
        (act: (sql: Transaction) => Promise<unknown>) => db.asUser(paul, act),
      ]
    ) {
      for (
        const query of [
          "select count(*)::int as n from public.slideshows",
          "select count(*)::int as n from public.slideshow_items",
          `select count(*)::int as n from public.slideshows where share_token = '${token}'`,
          "select count(*)::int as n from public.slideshows where is_published and share_token > ''",
        ]
      ) {
        assertEquals(
          [
            ...await as(async (sql) => [...await sql.unsafe(query)]) as {
              n: number;
            }[],
          ],
          [{ n: 0 }],
          query,
        );
      }
      // The link opens one slideshow and not the others, even within the transaction that opened it.
      await as(async (sql) => {
        await openLink(sql, token);
        assertEquals([...await sql`select id from public.slideshows`], [{
          id,
        }]);
      });
    }
  });
});

Deno.test("slideshows: withdrawing permanently invalidates the link and releases the public copies", async () => {
  await withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    const { id } = await makeSlideshow(db, anna, 3);
    await publish(db, anna, id);
    const first = await tokenOf(db, id);
    await publish(db, anna, id, false);
    assertEquals(
      (await db
        .sql`select 1 from public.slideshow_items where public_path is not null`)
        .length,
      0,
    );
    assertEquals(
      (await db
        .sql`select 1 from private.storage_removals where reason = 'slideshow_items'`)
        .length,
      2,
    );
    await publish(db, anna, id);
    assertNotEquals(await tokenOf(db, id), first);
    assertEquals(await db.asAnon((sql) => openLink(sql, first)), null);
    const now = await tokenOf(db, id);
    assertEquals(
      await db.asAnon((sql) => openLink(sql, now)),
      { title: "Summer by the lake", description: null, slides: [] },
    );
    // A change that does not withdraw the slideshow keeps the link.
    await db.asUser(
      anna,
      (sql) =>
        sql`update public.slideshows set title = 'Lake' where id = ${id}`,
    );
    assertEquals(await tokenOf(db, id), now);
  });
});

Deno.test("slideshow items: only the owner's photos and slideshows are accepted, from every writer", async () => {
  await withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    const paul = (await db.createUser()).id;
    const own = await makeSlideshow(db, anna, 1);
    const foreign = await makeSlideshow(db, paul, 1);
    const ownPhoto = await addPhoto(db, anna);
    const foreignPhoto = await addPhoto(db, paul);
    const item = (values: Record<string, string | number>) => ({
      user_id: anna,
      slideshow_id: own.id,
      media_id: ownPhoto.id,
      position: 7,
      ...values,
    });
    for (
      const [values, constraint] of [
        [{ media_id: foreignPhoto.id }, "slideshow_items_media_fkey"],
        [{ slideshow_id: foreign.id }, "slideshow_items_slideshow_fkey"],
        [
          { public_path: `published-media/${paul}/a.jpg` },
          "slideshow_items_public_path_is_owners",
        ],
        [
          { public_path: `published-media/${anna}/../${paul}/a.jpg` },
          "slideshow_items_public_path_is_owners",
        ],
      ] as const
    ) {
      const insert = (sql: Transaction) =>
        sql`insert into public.slideshow_items ${sql(item(values))}`;
      for (
        const attempt of [
          () => db.asUser(anna, insert),
          () => db.asService(insert),
        ]
      ) {
        assertEquals((await refusalOf(attempt)).constraint, constraint);
      }
    }
    assertEquals(
      (await refusalOf(() =>
        db.asUser(anna, (sql) =>
          sql`
        insert into public.slideshow_items ${
            sql(item({
              user_id: paul,
              slideshow_id: foreign.id,
              media_id: foreignPhoto.id,
            }))
          }`)
      )).code,
      "42501",
    );
  });
});

Deno.test("reorder_slideshow: reorders the owner's slides in one call, and no slides of others", async () => {
  await withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    const paul = (await db.createUser()).id;
    const { id, items } = await makeSlideshow(db, anna, 5);
    const order = async () =>
      (await db.sql<{ id: string }[]>`
        select id from public.slideshow_items where slideshow_id = ${id} order by position`)
        .map((row) => row.id);
    const reorder = (userId: string, ids: string[]) =>
      db.asUser(userId, async (sql) => {
        const [row] = await sql<
          { n: number }[]
        >`select public.reorder_slideshow(${id}, ${ids}) as n`;
        return row?.n;
      });
    const reversed = items.toReversed();
    assertEquals(await reorder(anna, reversed), 5);
    assertEquals(await order(), reversed);
    // A slide of another slideshow is not moved.
    const other = await makeSlideshow(db, anna, 1);
    assertEquals(await reorder(anna, [...other.items, ...reversed]), 5);
    const [untouched] = await db.sql`
      select position, slideshow_id from public.slideshow_items where id = ${
      other.items[0] ?? null
    }`;
    assertEquals(untouched, { position: 0, slideshow_id: other.id });
    assertEquals(await reorder(anna, reversed), 5);
    assertEquals(await reorder(paul, items), 0);
    assertEquals(await order(), reversed);
    // Two slides in one place are refused at the end of the transaction.
    assertEquals(
      (await refusalOf(() => reorder(anna, reversed.slice(4)))).constraint,
      "slideshow_items_position_key",
    );
    assertEquals(await order(), reversed);
    assertEquals(
      (await refusalOf(() =>
        db.asAnon((sql) =>
          sql`select public.reorder_slideshow(${id}, ${items})`
        )
      )).code,
      "42501",
    );
  });
});

Deno.test("storage: users upload where their rows may name files; only the service writes where jobs write", async (t) => {
  const WRITABLE: Record<string, { insert: boolean; remove: boolean }> = {
    "voice-samples": { insert: true, remove: true },
    "uploads": { insert: true, remove: true },
    "recordings": { insert: true, remove: true },
    "profile-photos": { insert: true, remove: true },
    "published-media": { insert: true, remove: true },
    "outputs": { insert: false, remove: true },
    // The file of a keepsake is removed with its row.
    "pdfs": { insert: false, remove: false },
  };
  await withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    const paul = (await db.createUser()).id;
    const buckets = await db.sql<
      { id: string; limited: boolean; explicit: boolean }[]
    >`
      select id, file_size_limit is not null as limited,
        -- Private buckets may accept all audio and video types; every other type is listed in full.
        cardinality(allowed_mime_types) > 0 and not exists (
          select 1 from unnest(allowed_mime_types) as t (name)
          where t.name ~ '[*]' and (public or t.name not in ('audio/*', 'video/*'))
        ) as explicit
      from storage.buckets order by id`;
    assertEquals(
      buckets.map(({ id }) => id),
      Object.keys(WRITABLE).sort(),
    );
    for (const { id: bucket, limited, explicit } of buckets) {
      await t.step(bucket, async () => {
        assert(limited && explicit);
        const insert = (userId: string, folder: string) =>
          db.asUser(
            userId,
            (sql) =>
              sql`insert into storage.objects (bucket_id, name) values (${bucket}, ${`${folder}/${crypto.randomUUID()}`})`,
          );
        const own = () => insert(anna, anna);
        if (WRITABLE[bucket]?.insert) await own();
        else assertEquals((await refusalOf(own)).code, "42501");
        assertEquals(
          (await refusalOf(() => insert(anna, paul))).code,
          "42501",
        );
        const name = `${anna}/there`;
        await db
          .sql`insert into storage.objects (bucket_id, name) values (${bucket}, ${name})`;
        const act = (userId: string) =>
          db.asUser(userId, async (sql) => {
            // Storage sets this for its own deletes.
            await sql`select set_config('storage.allow_delete_query', 'true', true)`;
            return {
              seen:
                (await sql`select 1 from storage.objects where bucket_id = ${bucket} and name = ${name}`)
                  .count,
              replaced:
                (await sql`update storage.objects set metadata = '{}' where bucket_id = ${bucket} and name = ${name}`)
                  .count,
              removed:
                (await sql`delete from storage.objects where bucket_id = ${bucket} and name = ${name}`)
                  .count,
            };
          });
        assertEquals(await act(paul), { seen: 0, replaced: 0, removed: 0 });
        assertEquals(await act(anna), {
          seen: 1,
          replaced: bucket === "profile-photos" ? 1 : 0,
          removed: WRITABLE[bucket]?.remove ? 1 : 0,
        });
      });
    }
  });
});
