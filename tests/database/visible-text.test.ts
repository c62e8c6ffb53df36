/** Texts that look empty. */
import { assertEquals } from "@std/assert";
import { VISIBLE } from "../../supabase/functions/_shared/contracts/plain-text.ts";
import { withDatabase } from "../_support/database.ts";
import { pictureOf, refusalOf, uploadSample } from "./_support/factories.ts";
import { insertAs, voiceClone } from "./_support/new-jobs.ts";

Deno.test("has_visible_text: agrees with the contract for every character of Unicode", async () => {
  await withDatabase(async ({ sql }) => {
    const rows = await sql<{ code: number }[]>`
      select code from generate_series(1, 1114111) as code
      where code not between 55296 and 57343 and not private.has_visible_text(chr(code))
      order by code`;
    const invisible: number[] = [];
    for (let code = 1; code <= 0x10ffff; code++) {
      const isHalf = code >= 0xd800 && code <= 0xdfff;
      if (!isHalf && !VISIBLE.test(String.fromCodePoint(code))) {
        invisible.push(code);
      }
    }
    assertEquals(rows.map(({ code }) => code), invisible);
  });
});

Deno.test("admit_ai_job: a text without a visible character is refused with its field, and creates no job", async () => {
  await withDatabase(async (db) => {
    const { id: userId } = await db.createUser();
    const good = voiceClone(db, await uploadSample(db, userId));
    const speech = (text: string) => ({
      job_type: "text_to_speech",
      metadata: db.sql.json({ text, voice_id: "21m00Tcm4TlvDq8ikWAM" }),
    });
    const before = await pictureOf(db);
    for (
      const text of ["", " \t\n", "\u200b\u2060\ufeff", "\u3164", "\u2800"]
    ) {
      const refusal = await refusalOf(() => insertAs(db, userId, speech(text)));
      assertEquals(
        [refusal.code, refusal.detail, refusal.message],
        [
          "AJ020",
          "metadata.text",
          "metadata.text must contain a visible character",
        ],
      );
      for (const field of ["voice_name", "description"]) {
        const metadata = db.sql.json({ [field]: text });
        const { code, detail } = await refusalOf(() =>
          insertAs(db, userId, { ...good, metadata })
        );
        assertEquals([code, detail], ["AJ020", `metadata.${field}`]);
      }
    }
    assertEquals(await pictureOf(db), before);
    const job = await insertAs(db, userId, speech("\u200b!"));
    assertEquals(job.status, "pending");
  });
});
