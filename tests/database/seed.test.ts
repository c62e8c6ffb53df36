/** `supabase/seed.sql`: the data of a new stack. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { runSupabaseCli } from "../../dev/tools/supabase-cli.ts";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import { pictureOf } from "./_support/factories.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));
const seed = await Deno.readTextFile(
  new URL("../../supabase/seed.sql", import.meta.url),
);

const ANNA = "a11a0000-0000-4000-8000-000000000001";
const PAUL = "a11a0000-0000-4000-8000-000000000002";
const CLERK = "a11a0000-0000-4000-8000-000000000003";

/** Sets all secrets of the Vault as on a local stack, so that dispatches are possible. */
async function openVault(db: TestDatabase): Promise<void> {
  await db.sql`
    select vault.create_secret('http://127.0.0.1:54321', 'project_url'),
      vault.create_secret(${`whsec_${
    btoa("a secret of thirty-two bytes ...")
  }`}, 'dispatch_secret')`;
}

Deno.test("seed: only a local stack gets its accounts, whose passwords are public", async () => {
  for (const url of [undefined, "https://abcdefghijklmnopqrst.supabase.co"]) {
    await withDatabase(async (db) => {
      if (url !== undefined) {
        await db.sql`select vault.create_secret(${url}, 'project_url')`;
      }
      await db.sql.unsafe(seed);
      assertEquals((await db.sql`select 1 from auth.users`).length, 0);
    });
  }
});

Deno.test("seed: each of its users has entries in all their lists", async () => {
  await withDatabase(async (db) => {
    await openVault(db);
    await db.sql.unsafe(seed);
    const tables = [
      "ai_jobs",
      "ai_job_events",
      "ai_provider_calls",
      "avatars",
      "calls",
      "deliveries",
      "media",
      "order_items",
      "orders",
      "payments",
      "pdfs",
      "profiles",
      "slideshow_items",
      "slideshows",
      "vendor_products",
      "vendors",
      "voices",
    ];
    const seenBy = (userId: string) =>
      db.asUser(userId, async (sql) => {
        const seen: Record<string, number> = {};
        for (const table of tables) {
          seen[table] = (await sql`select 1 from public.${sql(table)}`).count;
        }
        return seen;
      });
    const anna = await seenBy(ANNA);
    assertEquals(tables.filter((table) => anna[table] === 0), []);
    const paul = await seenBy(PAUL);
    assertEquals([paul.orders, paul.order_items, paul.profiles], [1, 1, 1]);
    // The vendor sees paid orders, not Paul's draft.
    const clerk = await seenBy(CLERK);
    assertEquals([clerk.orders, clerk.order_items, clerk.deliveries], [
      1,
      2,
      1,
    ]);
    assertEquals([clerk.payments, clerk.media, clerk.pdfs], [0, 0, 0]);
  });
});

Deno.test("seed: its job went through the queue, its order was paid, and no provider was called", async () => {
  await withDatabase(async (db) => {
    await openVault(db);
    await db.sql.unsafe(seed);
    const [job] = await db.sql`
      select j.status, j.billable_calls, v.provider_voice_id, (
        select array_agg(e.event order by e.seq) from public.ai_job_events as e where e.job_id = j.id
      ) as events
      from public.ai_jobs as j join public.voices as v on v.job_id = j.id`;
    assertEquals(job, {
      status: "completed",
      billable_calls: 1,
      provider_voice_id: "seedVoiceOfGrandpa01",
      events: ["created", "claimed", "submitted", "settled", "completed"],
    });
    const [order] = await db.sql`
      select o.status, o.total_minor, p.amount_minor, p.status as paid, d.status as sent
      from public.orders as o join public.payments as p on p.order_id = o.id join public.deliveries as d on d.order_id = o.id`;
    assertEquals(order, {
      status: "shipped",
      total_minor: "6760",
      amount_minor: "6760",
      paid: "captured",
      sent: "shipped",
    });
    assertEquals(
      (await db.sql`select 1 from net.http_request_queue`).length,
      0,
    );
  });
});

Deno.test("seed: the shared slideshow opens by its link", async () => {
  await withDatabase(async (db) => {
    await openVault(db);
    await db.sql.unsafe(seed);
    const [row] = await db.sql<
      { token: string }[]
    >`select share_token as token from public.slideshows`;
    assert(row !== undefined);
    const [shared] = await db.asAnon((sql) =>
      sql<{ title: string; slides: number }[]>`
        select s ->> 'title' as title, jsonb_array_length(s -> 'slides') as slides
        from public.get_shared_slideshow(${row.token}) as s`
    );
    assertEquals(shared, { title: "Summer at the Attersee", slides: 4 });
  });
});

Deno.test("seed: running it again changes nothing", async () => {
  await withDatabase(async (db) => {
    const picture = async () => [
      await pictureOf(db),
      [...await db.sql`select * from auth.users order by id`],
      [...await db.sql`select * from public.orders order by id`],
      [...await db.sql`select * from public.media order by id`],
    ];
    await openVault(db);
    await db.sql.unsafe(seed);
    const once = await picture();
    await db.sql.unsafe(seed);
    assertEquals(await picture(), once);
  });
});

Deno.test("seed: the real CLI accepts it, and its users can sign in with the documented password", async () => {
  await withDatabase(async (db) => {
    await openVault(db);
    const { code, stdout, stderr } = await runSupabaseCli(
      [
        "db",
        "push",
        `--remote=${db.url}`,
        "--include-seed",
        "--skip-vault",
        "--yes",
      ],
      { cwd: root },
    );
    assertEquals(code, 0, stdout + stderr);
    assertStringIncludes(stdout + stderr, "seed.sql");
    const people = await db.sql`
      select u.email, u.encrypted_password = extensions.crypt('family-album', u.encrypted_password) as knows,
        u.confirmed_at is not null as confirmed, i.provider_id = u.id::text as identified,
        num_nulls(u.confirmation_token, u.recovery_token, u.email_change, u.email_change_token_new) as nulls
      from auth.users as u join auth.identities as i on i.user_id = u.id order by u.email`;
    assertEquals(
      [...people],
      ["anna", "ops", "paul", "shop"].map((name) => ({
        email: `${name}@example.com`,
        knows: true,
        confirmed: true,
        identified: true,
        nulls: 0,
      })),
    );
  });
});

Deno.test("seed: its jobs are counted on the days on which they ran, not as work of now", async () => {
  await withDatabase(async (db) => {
    await openVault(db);
    await db.sql.unsafe(seed);
    await db.sql`select private.fold_ai_counters()`;
    const [row] = await db.sql`
      select coalesce(sum(c.amount) filter (where c.resolution = 0), 0)::int as ever,
        count(*) filter (where c.resolution > 0 and c.bucket_at > now() - interval '1 day')::int as today
      from private.ai_counters as c where c.metric in ('created', 'completed', 'calls', 'spend')`;
    assert(row?.["ever"] > 0);
    assertEquals(row?.["today"], 0);
    const calls = await db.sql`
      select 1 from public.ai_provider_calls where sent_at > now() - interval '1 day' or settled_at < sent_at`;
    assertEquals(calls.length, 0);
  });
});

Deno.test("seed: every account of it can be deleted", async () => {
  await withDatabase(async (db) => {
    await openVault(db);
    await db.sql.unsafe(seed);
    await db.sql`delete from auth.users`;
    const [row] = await db.sql`
      select (select count(*)::int from public.orders) as orders,
        (select count(*)::int from public.media) as media,
        (
          select jsonb_agg(r.provider_object_id order by r.provider_object_id collate "C") from private.provider_removals as r
        ) as removals`;
    assertEquals(row, {
      orders: 1,
      media: 0,
      removals: [
        "seedVoiceOfGrandpa01",
        "seed_speech_of_grandpa",
        "seed_tlk_grandpa",
        "seed_transcript_call",
      ],
    });
  });
});
