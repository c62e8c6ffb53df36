/** The error for a text of the wrong length that an app writes directly into a table. */
import { assertEquals } from "@std/assert";
import { withDatabase } from "../_support/database.ts";
import { refusalOf } from "./_support/factories.ts";

Deno.test("texts: one that is too long or empty is refused with its column, limits and length", async () => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const asUser = (text: string, values: readonly string[]) =>
      db.asUser(userId, (sql) => sql.unsafe(text, [...values]));
    const [photo] = await db.sql<{ id: string }[]>`
      insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
      values (${userId}, 'image', ${`uploads/${userId}/a.jpg`}, 'a.jpg', 'image/jpeg', 1) returning id`;
    const [show] = await db.sql<{ id: string }[]>`
      insert into public.slideshows (user_id, title) values (${userId}, 'Summer') returning id`;
    await db.sql`
      insert into public.avatars (user_id, name, provider, provider_video_id, video_url)
      values (${userId}, 'Film', 'd-id', 'tlk_1', ${`outputs/${userId}/film.mp4`})`;
    await db.sql`
      insert into public.pdfs (user_id, title, page_count, pdf_url, size_bytes)
      values (${userId}, 'Book', 1, ${`pdfs/${userId}/book.pdf`}, 1)`;
    await db.sql`
      insert into public.slideshow_items (user_id, slideshow_id, media_id, position)
      values (${userId}, ${show?.id ?? ""}, ${photo?.id ?? ""}, 0)`;
    for (
      const [column, least, most, statement] of [
        ["title", 1, 200, "update public.media set title = $1"],
        ["title", 1, 200, "insert into public.calls (title) values ($1)"],
        ["title", 1, 200, "insert into public.slideshows (title) values ($1)"],
        [
          "description",
          0,
          2000,
          "update public.slideshows set description = $1",
        ],
        ["caption", 1, 500, "update public.slideshow_items set caption = $1"],
        ["name", 1, 100, "update public.avatars set name = $1"],
        ["title", 1, 200, "update public.pdfs set title = $1"],
        [
          "display_name",
          1,
          100,
          "insert into public.profiles (display_name) values ($1)",
        ],
      ] as const
    ) {
      const wrong = least === 0 ? [most + 1] : [most + 1, 0];
      for (const length of wrong) {
        // Characters are counted, not UTF-16 units.
        const refusal = await refusalOf(() =>
          asUser(statement, ["😀".repeat(length)])
        );
        assertEquals(
          [refusal.code, refusal.detail, refusal.message],
          [
            "AJ077",
            column,
            `${column} must have ${least} to ${most} characters; it has ${length}`,
          ],
          statement,
        );
      }
      await asUser(statement, ["😀".repeat(most)]);
    }
  });
});

Deno.test("texts: each trigger has the limits of its column's constraint", async () => {
  await withDatabase(async (db) => {
    const triggers = await db.sql<{ table: string; definition: string }[]>`
      select t.tgrelid::regclass::text as table, pg_get_triggerdef(t.oid) as definition
      from pg_catalog.pg_trigger as t
      where t.tgfoid = 'private.refuse_text_length'::regproc`;
    const checked: string[] = [];
    for (const { table, definition } of triggers) {
      const [, column = "", least = "", most = ""] =
        /refuse_text_length\('(\w+)', '(\d+)', '(\d+)'\)/.exec(definition) ??
          [];
      const [constraint] = await db.sql<{ definition: string }[]>`
        select pg_get_constraintdef(c.oid) as definition
        from pg_catalog.pg_constraint as c
        where c.conrelid = ${table}::regclass and c.conname = ${`${
        table.replace("public.", "")
      }_${column}_length`}`;
      const lower = least === "0" ? "" : `(length(${column}) >= ${least}) AND `;
      const upper = `(length(${column}) <= ${most})`;
      assertEquals(
        constraint?.definition.replaceAll(/^CHECK \(+|\)+$/g, ""),
        `${lower}${upper}`.replaceAll(/^\(+|\)+$/g, ""),
        definition,
      );
      assertEquals(
        definition.includes(`length(new.${column}) > ${most}`),
        true,
        definition,
      );
      checked.push(`${table} ${column}`);
    }
    assertEquals(checked.length, 8);
  });
});
