/** The setting that refuses paid jobs of unconfirmed and of new accounts. */
import { assertEquals } from "@std/assert";
import type { TestDatabase } from "../_support/database.ts";
import { insertJob, refusalOf, withQueue } from "./_support/factories.ts";

/** Changes the setting for one user, or for everyone without their own limits. */
async function require(db: TestDatabase, userId: string | null, is: boolean) {
  await db.asService((sql) =>
    userId === null
      ? sql`update public.ai_limits set requires_established_account = ${is} where user_id is null`
      : sql`
        insert into public.ai_limits (user_id, requires_established_account) values (${userId}, ${is})
        on conflict (user_id) do update set requires_established_account = excluded.requires_established_account`
  );
}

async function setAccount(
  db: TestDatabase,
  userId: string,
  { email, phone = null, age }: {
    email: string | null;
    phone?: string | null;
    age: string;
  },
) {
  await db.sql`
    update auth.users
    set email_confirmed_at = ${email}, phone_confirmed_at = ${phone}, created_at = now() - ${age}::interval
    where id = ${userId}`;
}

Deno.test("established account: when required, an unconfirmed or less than an hour old one gets no paid job", async () => {
  await withQueue(async ({ db }) => {
    const { id } = await db.createUser();
    const codeFor = async (account: Parameters<typeof setAccount>[2]) => {
      await setAccount(db, id, account);
      return await insertJob(db, { user_id: id }).then(
        () => null,
        (error) => `${error.code} ${error.detail}`,
      );
    };
    const confirmed = "2026-01-01T00:00:00Z";
    // The setting is off by default.
    assertEquals(await codeFor({ email: null, age: "1 second" }), null);
    await require(db, null, true);
    const no = "AJ038 user_id";
    assertEquals(await codeFor({ email: null, age: "1 year" }), no);
    assertEquals(await codeFor({ email: confirmed, age: "59 minutes" }), no);
    assertEquals(await codeFor({ email: confirmed, age: "61 minutes" }), null);
    assertEquals(
      await codeFor({ email: null, phone: confirmed, age: "1 day" }),
      null,
    );
    await require(db, id, false);
    assertEquals(await codeFor({ email: null, age: "1 second" }), null);
    await require(db, null, false);
    await require(db, id, true);
    assertEquals(await codeFor({ email: null, age: "1 second" }), no);
  });
});

Deno.test("established account: jobs without a paid provider are not refused", async () => {
  await withQueue(async ({ db }) => {
    const { id } = await db.createUser();
    await require(db, null, true);
    await setAccount(db, id, { email: null, age: "1 second" });
    // The check passes, and then the type's own one refuses the job.
    const { code } = await refusalOf(() =>
      db.sql`
        insert into public.ai_jobs (user_id, job_type, metadata)
        values (${id}, 'pdf_render', ${
        db.sql.json({ slideshow_id: crypto.randomUUID() })
      })`
    );
    assertEquals(code, "AJ090");
  });
});
