/**
 * The plans of frequent statements on tables of a realistic size: the rows of an owner, a vendor or the queue are found
 * through an index, and the cost depends on their number, not on the table's size.
 */
import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import {
  populate,
  type Population,
  userIdSql,
} from "../../bench/rls/population.ts";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import {
  type Caller,
  type Explainer,
  type Plan,
  withExplainer,
} from "./_support/plans.ts";

const USERS = 500;
const POPULATION: Population = {
  users: USERS,
  jobs: 50_000,
  media: 50_000,
  dueJobs: 50,
  stalledJobs: 5,
};

/** The nth user, the same for rows that belong together. */
const owner = (n: string) => userIdSql(`(1 + ${n} % ${USERS})`);
const id = (kind: string, n: string) => `md5('${kind} ' || ${n})::uuid`;

/** Few vendors, as in practice: three with a third of all orders each, and one with 200. */
const VENDOR = "(case when n % 50 = 0 then 3 else n % 3 end)";

/** The other tables that apps list: 10,000 rows of each. */
const FURTHER = [
  `insert into public.ai_job_events (job_id, seq, user_id, event, attempt)
   select j.id, 1, j.user_id, 'created', 0 from public.ai_jobs as j`,
  `insert into public.ai_job_checkpoints (job_id, data) select id, '{}' from public.ai_jobs`,
  `insert into public.ai_provider_calls (job_id, user_id, provider, operation, attempt, outcome, provider_object_id, settled_at)
   select j.id, j.user_id, 'elevenlabs', 'create_voice', 1, 'succeeded', 'v' || j.id, now()
   from public.ai_jobs as j where j.status = 'completed' order by j.id limit 10000`,
  `insert into public.voices (user_id, job_id, provider, provider_voice_id, name, stability, similarity_boost, sample_url)
   select user_id, id, 'elevenlabs', 'v' || id, 'Voice', 0.5, 0.5, input_url
   from public.ai_jobs where status = 'completed' order by id limit 10000`,
  `insert into storage.objects (bucket_id, name)
   select 'uploads', substr(storage_path, 9) from public.media limit 10000`,
  `insert into public.calls (user_id, title, held_at)
   select ${
    owner("n")
  }, 'Call ' || n, now() - n * interval '1 minute' from generate_series(1, 10000) as n`,
  `insert into public.avatars (user_id, name, provider, provider_video_id, video_url)
   select ${owner("n")}, 'Avatar', 'd-id', n, 'outputs/' || ${
    owner("n")
  } || '/' || n || '.mp4'
   from generate_series(1, 10000) as n`,
  `insert into public.slideshows (id, user_id, title, is_published)
   select ${id("show", "n")}, ${
    owner("n")
  }, 'Show ' || n, n % 2 = 0 from generate_series(1, 10000) as n`,
  `insert into public.slideshow_items (user_id, slideshow_id, media_id, position)
   select ${owner("n")}, ${id("show", "n")}, gen_random_uuid(), position
   from generate_series(1, 10000) as n, generate_series(0, 1) as position`,
  `insert into public.pdfs (user_id, title, pdf_url, page_count, size_bytes)
   select ${owner("n")}, 'Pdf', 'pdfs/' || ${
    owner("n")
  } || '/' || n || '.pdf', 1, 1 from generate_series(1, 10000) as n`,
  `insert into public.vendors (id, name, country)
   select ${
    id("vendor", "n")
  }, 'Vendor ' || n, 'AT' from generate_series(0, 3) as n`,
  // The last user works for the smallest vendor.
  `insert into public.vendor_members (vendor_id, user_id) values (${
    id("vendor", "3")
  }, ${userIdSql(String(USERS))})`,
  `insert into public.vendor_products (id, vendor_id, sku, name, unit_price_minor, currency)
   select ${id("product", "n")}, ${
    id("vendor", "n")
  }, 'SKU-' || n, 'Product', 100, 'EUR' from generate_series(0, 3) as n`,
  `insert into public.orders (
     id, user_id, vendor_id, currency, status, shipping_address, items_total_minor, placed_at, paid_at, created_at
   )
   select ${id("order", "n")}, ${owner("n")}, ${
    id("vendor", VENDOR)
  }, 'EUR', 'paid', '{}', 200, now(),
     now() - n * interval '1 minute', now() - n * interval '1 minute'
   from generate_series(1, 10000) as n`,
  `insert into public.order_items (order_id, vendor_id, product_id, currency, description, quantity, unit_price_minor)
   select ${id("order", "n")}, ${id("vendor", VENDOR)}, ${
    id("product", VENDOR)
  }, 'EUR', 'Product', 1, 100
   from generate_series(1, 10000) as n, generate_series(1, 2)`,
  `insert into public.payments (order_id, user_id, provider, provider_payment_id, status, amount_minor, currency, captured_at)
   select ${id("order", "n")}, ${
    owner("n")
  }, 'stripe', 'pi_' || n, 'captured', 200, 'EUR', now()
   from generate_series(1, 10000) as n`,
  `insert into public.deliveries (order_id, vendor_id, user_id) select ${
    id("order", "n")
  }, ${id("vendor", VENDOR)}, ${owner("n")}
   from generate_series(1, 10000) as n`,
  `insert into public.profiles (user_id, display_name) select ${
    userIdSql("n")
  }, 'Name' from generate_series(1, ${USERS}) as n`,
  `insert into public.ai_result_cache (cache_key, user_id, value, expires_at)
   select 'ai_job:' || encode(sha256(n::text::bytea), 'hex'), ${
    owner("n")
  }, '{}', now()
   from generate_series(1, 10000) as n`,
  `insert into public.pending_uploads (object_path, user_id, size_bytes, stored_at)
   select 'uploads/' || ${owner("n")} || '/unused' || n, ${
    owner("n")
  }, 9, now() from generate_series(1, 10000) as n`,
  `insert into private.storage_removals (object_path, user_id, reason)
   select 'uploads/' || ${owner("n")} || '/gone' || n, ${
    owner("n")
  }, 'media' from generate_series(1, 10000) as n`,
];

/** Tables so small that a sequential scan is right: a row per job type, vendor, member or product. */
const SMALL = [
  "ai_job_types",
  "ai_providers",
  // One row.
  "janitor_settings",
  // A row per user. With more users an index is used; here the table has only a few pages.
  "ai_limits",
  "buckets",
  "secrets",
  "vendors",
  "vendor_members",
  "vendor_products",
  "dispatch_receipts",
  "expected_claims",
  "provider_webhook_receipts",
  // A row or two for each module, and one for each schedule.
  "storage_references",
  "ai_schedule_runs",
  "provider_references",
  // Auth's own tables, which are empty here.
  "sessions",
  "identities",
];

/** The faults of a plan as text. */
function faultsOf(plan: Plan, expected: Expected): string[] {
  const scanned = plan.seqScans.filter((table) => !SMALL.includes(table));
  return [
    ...scanned.map((table) => `reads all of ${table}`),
    ...(plan.pages > expected.pages
      ? [`touches ${plan.pages} pages, more than ${expected.pages}`]
      : []),
    ...(expected.isOrdered && plan.nodes.some((node) => /Sort/.test(node))
      ? ["sorts"]
      : []),
    ...(expected.byOwner && !plan.hasInitPlan
      ? ["computes the caller for each row"]
      : []),
  ];
}

interface Expected {
  /** The index that must be among those used. */
  index?: string;
  /** The index returns the rows in the requested order. */
  isOrdered?: boolean;
  /** `auth.uid()` is computed once. */
  byOwner?: boolean;
  /** The most pages that may be read, including indexes. */
  pages: number;
}

interface Case extends Expected {
  name: string;
  caller: Caller;
  statement: string;
  /** A change of the schema before it, undone afterwards. */
  prelude?: string;
}

/** A user with a hundred of the jobs, a member of a vendor, and one row of each kind. */
interface Sample {
  owner: Caller & { userId: string };
  clerk: Caller;
  vendorId: string;
  jobId: string;
  mediaId: string;
  slideshowId: string;
  orderId: string;
}

async function drawSample(db: TestDatabase): Promise<Sample> {
  const [row] = await db.sql.unsafe<Record<string, string>[]>(`
    select u.id as owner, ${userIdSql(String(USERS))} as clerk, ${
    id("vendor", "3")
  } as vendor,
      (select j.id from public.ai_jobs as j where j.user_id = u.id order by j.created_at limit 1) as job,
      (select m.id from public.media as m where m.user_id = u.id limit 1) as media,
      (select s.id from public.slideshows as s where s.user_id = u.id limit 1) as slideshow,
      (select o.id from public.orders as o where o.user_id = u.id limit 1) as "order"
    from (select ${userIdSql("1")} as id) as u`);
  assert(row !== undefined);
  const { owner, clerk, vendor, job, media, slideshow, order } = row;
  assert(owner && clerk && vendor && job && media && slideshow && order);
  return {
    owner: { role: "authenticated", userId: owner },
    clerk: { role: "authenticated", userId: clerk },
    vendorId: vendor,
    jobId: job,
    mediaId: media,
    slideshowId: slideshow,
    orderId: order,
  };
}

/** Requests of an app for a signed-in user, without a condition on the owner, which the policies add. */
function ownersCases(sample: Sample): Case[] {
  const { owner } = sample;
  const page = (
    table: string,
    { at = "created_at", isOrdered = false } = {},
  ): Case => ({
    name: `${table}: the first page`,
    caller: owner,
    statement:
      `select * from public.${table} order by ${at} desc, id desc limit 20`,
    index: `${table}_user_id_${at}_idx`,
    isOrdered,
    byOwner: true,
    pages: 80,
  });
  return [
    // Of the owner's many rows, only those of the page are read.
    page("ai_jobs", { isOrdered: true }),
    page("media", { isOrdered: true }),
    page("voices"),
    page("calls", { at: "held_at" }),
    page("avatars"),
    page("pdfs"),
    page("payments"),
    page("orders"),
    page("deliveries"),
    {
      name: "ai_jobs: a later page, by keyset",
      caller: owner,
      statement: `
        select * from public.ai_jobs where (created_at, id) < (now() - interval '10 days', gen_random_uuid())
        order by created_at desc, id desc limit 20`,
      index: "ai_jobs_user_id_created_at_idx",
      isOrdered: true,
      byOwner: true,
      pages: 80,
    },
    {
      name: "ai_jobs: how many there are",
      caller: owner,
      statement: "select count(*) from public.ai_jobs",
      byOwner: true,
      pages: 130,
    },
    {
      name: "ai_jobs: one row by id",
      caller: owner,
      statement: `select * from public.ai_jobs where id = '${sample.jobId}'`,
      byOwner: true,
      pages: 8,
    },
    {
      name: "media: one row by id",
      caller: owner,
      statement: `select * from public.media where id = '${sample.mediaId}'`,
      byOwner: true,
      pages: 8,
    },
    {
      name: "ai_job_events: the timeline of a job",
      caller: owner,
      statement:
        `select * from public.ai_job_events where job_id = '${sample.jobId}' and seq > 0 order by seq`,
      index: "ai_job_events_pkey",
      byOwner: true,
      pages: 8,
    },
    {
      name: "ai_provider_calls: those of a job",
      caller: owner,
      statement:
        `select * from public.ai_provider_calls where job_id = '${sample.jobId}' order by sent_at`,
      byOwner: true,
      pages: 8,
    },
    // The policy admits own slideshows and the one opened by its link: two index scans, and a sort of the owner's rows.
    {
      name: "slideshows: the first page",
      caller: owner,
      statement:
        "select * from public.slideshows order by created_at desc, id desc limit 20",
      index: "slideshows_user_id_created_at_idx",
      byOwner: true,
      pages: 80,
    },
    {
      name: "slideshow_items: all of them",
      caller: owner,
      statement: "select * from public.slideshow_items",
      index: "slideshow_items_user_id_idx",
      byOwner: true,
      pages: 100,
    },
    {
      name: "slideshow_items: those of a slideshow, in order",
      caller: owner,
      statement:
        `select * from public.slideshow_items where slideshow_id = '${sample.slideshowId}' order by position`,
      byOwner: true,
      pages: 20,
    },
    {
      name: "order_items: those of an order",
      caller: owner,
      statement:
        `select * from public.order_items where order_id = '${sample.orderId}'`,
      index: "order_items_order_id_idx",
      byOwner: true,
      pages: 30,
    },
    {
      name: "deliveries: those of an order",
      caller: owner,
      statement:
        `select * from public.deliveries where order_id = '${sample.orderId}'`,
      index: "deliveries_order_id_idx",
      byOwner: true,
      pages: 20,
    },
    {
      name: "orders with their items, embedded",
      caller: owner,
      statement: `
        select o.id, i.items from public.orders as o
        left join lateral (
          select json_agg(i.*) as items from public.order_items as i where i.order_id = o.id
        ) as i on true
        order by o.created_at desc, o.id desc limit 5`,
      byOwner: true,
      pages: 250,
    },
  ];
}

function othersCases({ clerk, vendorId }: Sample): Case[] {
  return [
    {
      // Every row of this vendor is read, and none of other vendors.
      name: "orders: a vendor's first page",
      caller: clerk,
      statement: `
        select * from public.orders where vendor_id = '${vendorId}' and paid_at is not null
        order by paid_at desc, id desc limit 20`,
      index: "orders_vendor_id_paid_at_idx",
      byOwner: true,
      pages: 300,
    },
    {
      name: "deliveries: a vendor's first page",
      caller: clerk,
      statement: `
        select * from public.deliveries where vendor_id = '${vendorId}' order by created_at desc, id desc limit 20`,
      index: "deliveries_vendor_id_created_at_idx",
      byOwner: true,
      pages: 300,
    },
    {
      name: "removals: what is due",
      caller: { role: "postgres" },
      statement: `
        select * from private.storage_removals
        where done_at is null and next_attempt_at <= clock_timestamp() order by next_attempt_at limit 20`,
      index: "storage_removals_next_attempt_at_idx",
      pages: 300,
    },
  ];
}

/** The functions of the queue, with the plan of every statement inside them. */
function queueCases({ jobId }: Sample): Case[] {
  const heartbeat =
    `select * from public.heartbeat_ai_jobs(jsonb_build_array(jsonb_build_object('job_id', '${jobId}', 'lease_token', gen_random_uuid(), 'progress', 50)))`;
  return [
    {
      name: "claim_ai_jobs: what is due",
      caller: SERVICE,
      statement: "select * from public.claim_ai_jobs(20)",
      index: "ai_jobs_turn_idx",
      pages: 2000,
    },
    {
      name: "claim_ai_jobs: a job by id",
      caller: SERVICE,
      statement:
        `select * from public.claim_ai_jobs(1, array['${jobId}'::uuid])`,
      // Includes the session's first reads of the catalogue.
      pages: 3000,
    },
    {
      name: "heartbeat_ai_jobs",
      caller: SERVICE,
      // Run once before, because a session's first execution reads the catalogue.
      prelude: heartbeat,
      statement: heartbeat,
      pages: 10,
    },
    {
      name: "rescue_stalled_ai_jobs",
      caller: SERVICE,
      // Rescues none, and reads the catalogue: the more indexes the table has, the more pages that are.
      prelude: "select * from public.rescue_stalled_ai_jobs(0)",
      statement: "select * from public.rescue_stalled_ai_jobs()",
      pages: 1000,
    },
    {
      name: "sweep_ai_jobs",
      caller: { role: "postgres" },
      statement: "select private.sweep_ai_jobs()",
      index: "ai_jobs_waiting_idx",
      pages: 3000,
    },
  ];
}

const SERVICE: Caller = { role: "service_role" };

/** The faults of a case over all its statements. At least one of them must use the expected index. */
async function faultsIn(
  explainer: Explainer,
  { caller, statement, prelude, index, ...expected }: Case,
): Promise<string[]> {
  const plans = await explainer.explain(caller, statement, prelude);
  assert(plans.length > 0, "nothing was explained");
  const used = new Set(plans.flatMap((plan) => plan.indexes));
  return [
    ...plans.flatMap((plan) =>
      faultsOf(plan, expected).map((fault) => `${fault}: ${plan.query}`)
    ),
    ...(index !== undefined && !used.has(index)
      ? [`uses ${[...used].join(", ") || "no index"}, not ${index}`]
      : []),
  ];
}

/** Changes that spoil a plan, and the case that must then have a fault. */
const SPOILED: {
  name: string;
  statement: string;
  case: string;
  fault: RegExp;
}[] = [
  {
    name: "a policy that computes the caller for each row",
    statement:
      `alter policy "users can read their own ai jobs" on public.ai_jobs using (user_id = auth.uid())`,
    case: "ai_jobs: one row by id",
    fault: /^computes the caller for each row/,
  },
  {
    name: "no index for the owner's list",
    statement: "drop index public.ai_jobs_user_id_created_at_idx",
    case: "ai_jobs: the first page",
    fault: /^reads all of ai_jobs|^sorts|^touches/,
  },
  {
    name: "no index for the longest waiting jobs",
    statement: "drop index public.ai_jobs_waiting_idx",
    case: "sweep_ai_jobs",
    fault: /^reads all of ai_jobs|^sorts|^uses .* not ai_jobs_waiting_idx/,
  },
  {
    name: "a policy with a list of vendors that no index supports",
    statement: `
      alter policy "customers can read their orders, and vendors those to fulfil" on public.orders
      using (
        user_id = (select auth.uid())
        or vendor_id in (select m.vendor_id from public.vendor_members as m where m.user_id = (select auth.uid()))
      )`,
    case: "orders: the first page",
    fault: /^reads all of orders/,
  },
  {
    name: "a policy that hides the vendor from the planner",
    statement: `
      alter policy "customers can read their orders, and vendors those to fulfil" on public.orders
      using (
        user_id = (select auth.uid())
        or vendor_id = any (array(select m.vendor_id from public.vendor_members as m where m.user_id = (select auth.uid())))
      )`,
    case: "orders: the first page",
    fault: /^reads all of orders/,
  },
  {
    name: "a foreign key without an index",
    statement: "drop index public.order_items_pdf_id_idx",
    case: "an account is deleted",
    fault: /^reads all of order_items/,
  },
];

Deno.test("scale: with 50,000 jobs and media of 500 users, everything is found through an index", async (t) => {
  await withDatabase(async (db) => {
    const admin = postgres(db.adminUrl, { max: 1, onnotice: () => {} });
    await populate(admin, POPULATION, FURTHER).finally(() => admin.end());
    const sample = await drawSample(db);
    const cases: Case[] = [
      ...ownersCases(sample),
      ...othersCases(sample),
      ...queueCases(sample),
      {
        name: "delete_ended_ai_jobs: of a user",
        caller: SERVICE,
        statement:
          `select public.delete_ended_ai_jobs(p_user_id => '${sample.owner.userId}', p_limit => 10)`,
        index: "ai_jobs_user_id_created_at_idx",
        pages: 3000,
      },
      {
        name: "delete_ended_ai_jobs: by time",
        caller: SERVICE,
        statement:
          "select public.delete_ended_ai_jobs(p_ended_before => now(), p_limit => 10)",
        index: "ai_jobs_pkey",
        pages: 3000,
      },
      {
        name: "an account is deleted",
        caller: { role: "postgres" },
        statement: `delete from auth.users where id = '${sample.owner.userId}'`,
        pages: 20_000,
      },
    ];
    await withExplainer(db, async (explainer) => {
      for (const one of cases) {
        await t.step(one.name, async () => {
          assertEquals(await faultsIn(explainer, one), []);
        });
      }
    });
    for (const spoiled of SPOILED) {
      await t.step(`(has a fault with ${spoiled.name})`, async () => {
        const one = cases.find(({ name }) => name === spoiled.case);
        assert(one !== undefined);
        const faults = await withExplainer(
          db,
          (explainer) =>
            faultsIn(explainer, {
              ...one,
              prelude: spoiled.statement,
            }),
        );
        assert(
          faults.some((fault) => spoiled.fault.test(fault)),
          JSON.stringify(faults, null, 2),
        );
      });
    }
  });
});

Deno.test("population: the rows of the large databases satisfy every constraint", async () => {
  await withDatabase(async (db) => {
    const admin = postgres(db.adminUrl, { max: 1, onnotice: () => {} });
    try {
      await populate(admin, {
        users: 10,
        jobs: 1000,
        media: 1000,
        dueJobs: 50,
        stalledJobs: 5,
      });
      const checks = await admin<{ statement: string }[]>`
        select format('alter table %s validate constraint %I', conrelid::regclass, conname) as statement
        from pg_constraint where not convalidated`;
      assert(checks.length > 20);
      for (const { statement } of checks) await admin.unsafe(statement);
      const [row] = await admin<{ due: number; stalled: number }[]>`
        select
          (select count(*)::int from public.ai_jobs where status = 'pending' and scheduled_at <= now()) as due,
          (select count(*)::int from public.ai_jobs where status = 'processing' and lease_expires_at < now()) as stalled`;
      assertEquals(row, { due: 50, stalled: 5 });
    } finally {
      await admin.end();
    }
  });
});
