/** Drops constraints that compare owners, disables triggers, and removes checks from functions. */
import type postgres from "postgres";
import { identifier, type Mutant, shares, WRITES } from "./mutant.ts";

/** One check in the body of a function, and the body without it. */
interface BodyChange {
  /** Including its schema. */
  function: string;
  find: string;
  replace: string;
  subjects: string[];
}

/** The checks inside functions. Text that is no longer in the body makes the derivation fail. */
const BODY_CHANGES: BodyChange[] = [
  {
    function: "private.admit_ai_job",
    find: "new.user_id is distinct from auth.uid()",
    replace: "false",
    subjects: ["table ai_jobs"],
  },
  {
    function: "public.create_ai_job",
    find: "uuid := auth.uid()",
    replace: "uuid := null",
    subjects: ["function create_ai_job"],
  },
  {
    function: "private.check_ai_job_object",
    find: "split_part(v_name, '/', 1) is distinct from p_user_id::text",
    replace: "false",
    subjects: ["table ai_jobs", "endpoint create-ai-job"],
  },
  {
    function: "public.ai_job_input_hash",
    find: "strpos(p_metadata ->> 'audio_url', '/') + 1)\n" +
      "      and split_part(o.name, '/', 1) = p_user_id::text",
    replace: "strpos(p_metadata ->> 'audio_url', '/') + 1)",
    subjects: ["table ai_jobs"],
  },
  {
    function: "private.check_pdf_render",
    find: "and s.user_id = p_job.user_id",
    replace: "",
    subjects: ["table ai_jobs"],
  },
  {
    function: "private.check_text_to_speech",
    find: "and v.user_id = p_job.user_id",
    replace: "",
    subjects: ["table ai_jobs"],
  },
  {
    function: "private.check_transcription",
    find: "and c.user_id = p_job.user_id",
    replace: "",
    subjects: ["table ai_jobs"],
  },
  {
    function: "private.is_dependency_unfinished",
    find: "d.id = p_job_id and d.user_id = p_user_id;",
    replace: "d.id = p_job_id;",
    subjects: ["table ai_jobs"],
  },
  {
    function: "private.is_ai_job_result_reusable",
    find: "p_source.user_id = p_user_id",
    replace: "true",
    subjects: ["table ai_jobs", "function reuse_ai_job_result"],
  },
  {
    function: "public.jobs_ahead",
    find: "and j.user_id = (select auth.uid())",
    replace: "",
    subjects: ["function jobs_ahead"],
  },
  {
    function: "public.get_ai_budget",
    find: "l.user_id = auth.uid()",
    replace: "l.user_id is not null",
    subjects: ["function get_ai_budget"],
  },
  {
    function: "private.fill_order_item",
    find: "and (not v_is_customer or o.user_id = auth.uid())",
    replace: "",
    subjects: ["table order_items"],
  },
  {
    function: "private.fill_order_item",
    find: "p.id = new.pdf_id and p.user_id = v_order.user_id",
    replace: "p.id = new.pdf_id",
    subjects: ["table order_items"],
  },
  {
    function: "private.fill_order_item",
    find:
      "(new.order_id, new.product_id) is distinct from (old.order_id, old.product_id)",
    replace: "false",
    subjects: ["table order_items"],
  },
  {
    function: "private.fill_order_item",
    find: "v_order.status <> 'draft'",
    replace: "false",
    subjects: ["table order_items"],
  },
  {
    function: "private.fill_order_item",
    find: "and p.vendor_id = v_order.vendor_id",
    replace: "",
    subjects: ["table order_items"],
  },
  {
    function: "private.guard_order",
    find:
      "v_is_customer and not exists (select 1 from public.vendors as v where v.id = new.vendor_id and v.is_active)",
    replace: "false",
    subjects: ["table orders"],
  },
  {
    function: "private.guard_order",
    find: "or (v_is_customer and new.status not in ('placed', 'cancelled'))",
    replace: "",
    subjects: ["table orders"],
  },
  {
    function: "private.guard_order",
    find:
      "if v_is_customer and new.shipping_address is distinct from old.shipping_address",
    replace:
      "if false and new.shipping_address is distinct from old.shipping_address",
    subjects: ["table orders"],
  },
  {
    function: "private.guard_order",
    find: "if new.user_id is not null then",
    replace: "if false then",
    subjects: ["table orders"],
  },
  {
    function: "private.guard_order",
    find:
      "if (new.vendor_id, new.currency) is distinct from (old.vendor_id, old.currency) then",
    replace: "if false then",
    subjects: ["table orders"],
  },
  {
    function: "private.guard_payment",
    find: "new.user_id := v_order.user_id;",
    replace: "",
    subjects: ["table payments"],
  },
  {
    function: "private.guard_payment",
    find:
      "new.user_id is distinct from old.user_id and new.user_id is not null",
    replace: "false",
    subjects: ["table payments"],
  },
  {
    function: "private.guard_delivery",
    find: "new.vendor_id := v_order.vendor_id;",
    replace: "",
    subjects: ["table deliveries"],
  },
  {
    function: "private.guard_delivery",
    find: "new.user_id := v_order.user_id;",
    replace: "",
    subjects: ["table deliveries"],
  },
  {
    function: "private.guard_delivery",
    find:
      "(new.order_id, new.vendor_id) is distinct from (old.order_id, old.vendor_id)",
    replace: "false",
    subjects: ["table deliveries"],
  },
  {
    function: "private.guard_delivery",
    find: "if new.user_id is not null then",
    replace: "if false then",
    subjects: ["table deliveries"],
  },
  {
    function: "private.guard_pdf",
    find: "o.status in ('placed', 'paid', 'in_production')",
    replace: "false",
    subjects: ["table pdfs"],
  },
  {
    function: "private.withdraw_slideshow",
    find:
      "new.share_token := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');",
    replace: "",
    subjects: ["function get_shared_slideshow"],
  },
  {
    function: "private.withdraw_slideshow",
    find: "set public_path = null where",
    replace: "set public_path = i.public_path where",
    subjects: ["table slideshows", "function get_shared_slideshow"],
  },
  {
    function: "public.get_shared_slideshow",
    find: "s.share_token = p_share_token and",
    replace: "",
    subjects: ["function get_shared_slideshow"],
  },
  {
    function: "public.get_shared_slideshow",
    find: " and s.is_published",
    replace: "",
    subjects: ["function get_shared_slideshow"],
  },
  {
    function: "public.get_shared_slideshow",
    find: "i.slideshow_id = s.id and",
    replace: "",
    subjects: ["function get_shared_slideshow"],
  },
  {
    function: "public.get_shared_slideshow",
    find: "and i.public_path is not null",
    replace: "",
    subjects: ["function get_shared_slideshow"],
  },
];

/** Functions that check the caller, but from which no check is removed; each as a sentence. */
export async function untouchedChecks(sql: postgres.Sql): Promise<string[]> {
  const functions = await sql<{ name: string }[]>`
    select p.pronamespace::regnamespace || '.' || p.proname as name
    from pg_proc as p
    where p.pronamespace::regnamespace::text in ('public', 'private')
      and p.prosrc ~ 'auth\\.(uid|role|jwt)\\(|current_setting\\(''role''|request\\.jwt'
    order by 1`;
  return functions.filter(({ name }) =>
    !BODY_CHANGES.some((change) => change.function === name)
  ).map(({ name }) =>
    `function ${name} checks the caller: write its body without that check in mutants-checks.ts`
  );
}

async function bodyMutants(sql: postgres.Sql): Promise<Mutant[]> {
  const functions = await sql<{ name: string; definition: string }[]>`
    select p.pronamespace::regnamespace || '.' || p.proname as name, pg_get_functiondef(p.oid) as definition
    from pg_proc as p where p.pronamespace::regnamespace::text in ('public', 'private') and p.prokind = 'f'`;
  return BODY_CHANGES.map(({ function: name, find, replace, subjects }) => {
    const found = functions.find((one) => one.name === name);
    const parts = found?.definition.split(find) ?? [];
    if (found === undefined || parts.length !== 2) {
      throw new Error(
        `mutants-checks.ts: ${name} has "${find}" ${
          Math.max(parts.length - 1, 0)
        } times, not once; say what it checks now`,
      );
    }
    return {
      name: `function ${name}: without "${find}"`,
      subjects,
      apply: parts.join(replace),
      revert: found.definition,
      isConcerned: (attempt) => shares(attempt.subjects, subjects),
    };
  });
}

async function constraintMutants(sql: postgres.Sql): Promise<Mutant[]> {
  const constraints = await sql<
    {
      name: string;
      table: string;
      target: string | null;
      type: string;
      definition: string;
    }[]
  >`
    select k.conname as name, c.relname as table, t.relname as target, k.contype as type, pg_get_constraintdef(k.oid) as definition
    from pg_constraint as k
    join pg_class as c on c.oid = k.conrelid
    left join pg_class as t on t.oid = k.confrelid
    where k.connamespace::regnamespace::text = 'public'
      and (
        (k.contype = 'f' and cardinality(k.conkey) > 1)
        or (k.contype = 'c' and pg_get_constraintdef(k.oid) ~ 'user_id\\)?::text')
      )
    order by c.relname, k.conname`;
  return constraints.map((
    { name, table, target, type, definition },
  ): Mutant => ({
    name: `${
      type === "f" ? "foreign key" : "check"
    } ${name} on ${table}: dropped`,
    subjects: [`table ${table}`, `table ${target ?? table}`],
    operations: WRITES,
    apply: `alter table public.${identifier(table)} drop constraint ${
      identifier(name)
    }`,
    revert: `alter table public.${identifier(table)} add constraint ${
      identifier(name)
    } ${definition}`,
    isConcerned: ({ subjects, operation }) =>
      subjects.includes(`table ${table}`) &&
      (operation === "insert" || operation === "update"),
  }));
}

async function triggerMutants(sql: postgres.Sql): Promise<Mutant[]> {
  const triggers = await sql<
    { name: string; table: string; function: string }[]
  >`
    select t.tgname as name, c.relname as table, p.proname as function
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    join pg_proc as p on p.oid = t.tgfoid
    where not t.tgisinternal
      and c.relnamespace::regnamespace::text = 'public' and p.pronamespace::regnamespace::text = 'private'
    order by c.relname, t.tgname`;
  return triggers.map(({ name, table, function: called }): Mutant => ({
    name: `trigger ${name} on ${table} (${called}): switched off`,
    subjects: [`table ${table}`],
    operations: WRITES,
    apply: `alter table public.${identifier(table)} disable trigger ${
      identifier(name)
    }`,
    revert: `alter table public.${identifier(table)} enable trigger ${
      identifier(name)
    }`,
    isConcerned: ({ subjects, operation }) =>
      subjects.includes(`table ${table}`) && operation !== "select",
  }));
}

/** All mutants of checks. `sql` has no search_path. */
export async function checkMutants(sql: postgres.Sql): Promise<Mutant[]> {
  return [
    ...await constraintMutants(sql),
    ...await triggerMutants(sql),
    ...await bodyMutants(sql),
  ];
}
