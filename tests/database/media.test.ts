/** Constraints of media: the valid values of a row about a user's file. */
import { assertEquals } from "@std/assert";
import type postgres from "postgres";
import { withDatabase } from "../_support/database.ts";
import { refusalOf } from "./_support/factories.ts";

type Columns = Record<string, postgres.SerializableParameter>;

Deno.test("media: an invalid row is refused by its constraint; the valid twin is accepted", async (t) => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const { id: otherId } = await db.createUser();
    let count = 0;
    const good = (): Columns => ({
      media_type: "audio",
      storage_path: `uploads/${userId}/${++count}.mp3`,
      file_name: "voice.mp3",
      content_type: "audio/mpeg",
      size_bytes: 1,
    });
    const insert = (columns: Columns) =>
      db.asUser(
        userId,
        (sql) =>
          sql`insert into public.media ${
            sql({ ...good(), ...columns })
          } returning id`,
      );

    const cases: { bad: Columns; constraint: string; good?: Columns }[] = [
      {
        bad: { media_type: "text" },
        constraint: "media_media_type_is_known",
        good: { media_type: "document" },
      },
      ...[
        `uploads/${otherId}/a.mp3`,
        `uploads/${otherId}/${userId}/a.mp3`,
        `uploads/${userId}`,
        `uploads/${userId}/`,
        `uploads/${userId}/../${otherId}/a.mp3`,
        `uploads/${userId}/./a.mp3`,
        `uploads/${userId}/a\\b.mp3`,
        `uploads/${userId}/a\tb.mp3`,
        `/uploads/${userId}/a.mp3`,
        `https://example.com/${userId}/a.mp3`,
        `${userId}/a.mp3`,
        "",
      ].map((storage_path) => ({
        bad: { storage_path },
        constraint: "media_storage_path_is_owners",
        good: { storage_path: `uploads/${userId}/a/b c/${++count}.mp3` },
      })),
      {
        bad: { storage_path: `invoices/${userId}/a.pdf` },
        constraint: "media_storage_path_names_a_bucket_for_media",
        good: { storage_path: `pdfs/${userId}/a.pdf` },
      },
      {
        bad: { file_name: "" },
        constraint: "media_file_name_length",
        good: { file_name: "x".repeat(255) },
      },
      {
        bad: { file_name: "x".repeat(256) },
        constraint: "media_file_name_length",
      },
      ...["audio", "audio/", "audio/mpeg, q=1", "a b/c"].map((
        content_type,
      ) => ({
        bad: { content_type },
        constraint: "media_content_type_is_mime",
        good: { content_type: "image/svg+xml" },
      })),
      { bad: { size_bytes: 0 }, constraint: "media_size_is_positive" },
      { bad: { size_bytes: -1 }, constraint: "media_size_is_positive" },
      {
        bad: { duration_seconds: 0 },
        constraint: "media_duration_is_positive",
        good: { duration_seconds: 0.001 },
      },
    ];
    for (const { bad, constraint, good: twin } of cases) {
      await t.step(
        `${constraint}: ${JSON.stringify(bad).slice(0, 60)}`,
        async () => {
          const refusal = await refusalOf(() => insert(bad));
          assertEquals(refusal.constraint, constraint, refusal.message);
          await insert(twin ?? {});
        },
      );
    }

    await t.step("media_storage_path_key: a file has one row", async () => {
      const storage_path = `uploads/${userId}/once.mp3`;
      await insert({ storage_path });
      const refusal = await refusalOf(() => insert({ storage_path }));
      assertEquals(refusal.constraint, "media_storage_path_key");
    });
  });
});
