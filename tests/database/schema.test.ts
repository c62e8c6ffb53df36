/** Rules for the schema, checked in the catalogue. A statement that breaks each rule proves that the check works. */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { findUppercaseWords } from "../../dev/tools/sql-case.ts";
import { readSchemaFiles } from "../../dev/tools/schema-files.ts";
import { type Transaction, withDatabase } from "../_support/database.ts";

/** SECURITY DEFINER functions that anon or authenticated may execute, each with the reason why that is safe. */
const DEFINER_FUNCTIONS_FOR_USERS: Readonly<Record<string, string>> = {
  "public.jobs_ahead(public.ai_jobs)":
    "an owner's place in the queue: a count of jobs that the owner may not read",
};

/** Tables on which anon has any privilege, each with the reason. */
const TABLES_FOR_ANON: Readonly<Record<string, string>> = {
  "public.slideshows": "a published one is readable by its link",
  "public.slideshow_items": "the slides of a published slideshow",
};

interface Rule {
  name: string;
  /** Query for the objects that break the rule, as `name`. */
  query: string;
  /** Breaks the rule. */
  offence: string;
  /** The name that the query then returns. */
  found: string;
  allowed?: Readonly<Record<string, string>>;
}

const OUR_FUNCTIONS = `
  pg_proc as p where p.pronamespace::regnamespace::text in ('public', 'private')
  and not exists (select 1 from pg_depend as d where d.objid = p.oid and d.deptype = 'e')`;

const OUR_TABLES = `
  pg_class as c where c.relnamespace::regnamespace::text in ('public', 'private') and c.relkind in ('r', 'p')`;

const RULES: Rule[] = [
  {
    name: "functions: every one pins an empty search_path",
    query: `select p.oid::regprocedure::text as name from ${OUR_FUNCTIONS}
      and not coalesce(p.proconfig @> array['search_path=""'], false)`,
    offence:
      `create function public.offence() returns integer language sql set search_path = public as 'select 1'`,
    found: "public.offence()",
  },
  {
    // A plan that needs what is switched off has a cost of 1e10, for which Postgres compiles it at each execution.
    name: "functions: those that switch plans off switch off JIT compilation",
    query: `select p.oid::regprocedure::text as name from ${OUR_FUNCTIONS}
      and array_to_string(p.proconfig, ' ') ~ 'enable_[a-z]+=off' and not p.proconfig @> array['jit=off']`,
    offence:
      `create function private.offence() returns integer language sql set search_path = '' set enable_sort = off as 'select 1'`,
    found: "private.offence()",
  },
  {
    name: "functions: every one has a comment",
    query: `select p.oid::regprocedure::text as name from ${OUR_FUNCTIONS}
      and obj_description(p.oid, 'pg_proc') is null`,
    offence:
      `create function private.offence() returns integer language sql set search_path = '' as 'select 1'`,
    found: "private.offence()",
  },
  {
    name: "security definer: the comment says why",
    query:
      `select p.oid::regprocedure::text as name from ${OUR_FUNCTIONS} and p.prosecdef
      and coalesce(obj_description(p.oid, 'pg_proc'), '') !~* 'security definer (because|for) '`,
    offence: `
      create function public.offence() returns integer language sql security definer set search_path = '' as 'select 1';
      comment on function public.offence() is 'One. Security definer.'`,
    found: "public.offence()",
  },
  {
    name: "security definer: neither anon nor authenticated may execute one",
    query:
      `select p.oid::regprocedure::text as name from ${OUR_FUNCTIONS} and p.prosecdef and (
        has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute'))`,
    offence: `
      create function public.offence() returns integer language sql security definer set search_path = '' as 'select 1';
      grant execute on function public.offence() to authenticated`,
    found: "public.offence()",
    allowed: DEFINER_FUNCTIONS_FOR_USERS,
  },
  {
    name:
      "triggers on tables of the platform: their functions are security definer, since its services have no rights on ours",
    query: `select t.tgname::text as name from pg_trigger as t
      join pg_class as c on c.oid = t.tgrelid
      join pg_proc as p on p.oid = t.tgfoid
      where c.relnamespace::regnamespace::text in ('auth', 'storage', 'realtime')
      and p.pronamespace::regnamespace::text in ('public', 'private') and not p.prosecdef`,
    offence: `
      create function private.offence() returns trigger language plpgsql set search_path = ''
        as 'begin return null; end';
      create trigger offence after insert on storage.objects for each row execute function private.offence()`,
    found: "offence",
  },
  {
    name: "tables: every one has Row Level Security",
    query:
      `select c.oid::regclass::text as name from ${OUR_TABLES} and not c.relrowsecurity`,
    offence: `create table public.offence (id uuid primary key)`,
    found: "public.offence",
  },
  {
    name: "tables: every one has a comment",
    query:
      `select c.oid::regclass::text as name from ${OUR_TABLES} and obj_description(c.oid, 'pg_class') is null`,
    offence: `create table private.offence (id uuid primary key)`,
    found: "private.offence",
  },
  {
    name: "tables: nothing is granted to anon",
    query: `select c.oid::regclass::text as name from ${OUR_TABLES}
      and has_any_column_privilege('anon', c.oid, 'select, insert, update, references')`,
    offence:
      `create table public.offence (id uuid primary key); grant select (id) on public.offence to anon`,
    found: "public.offence",
    allowed: TABLES_FOR_ANON,
  },
  {
    name: "views: every one acts with the caller's rights",
    query: `select c.oid::regclass::text as name from pg_class as c
      where c.relnamespace::regnamespace::text in ('public', 'private') and c.relkind = 'v'
      and not coalesce(c.reloptions && array['security_invoker=true', 'security_invoker=on'], false)`,
    offence: `create view public.offence as select 1 as one`,
    found: "public.offence",
  },
  {
    name: "names: none is so long that Postgres truncates it",
    query: `
      select n.name from (
        select p.polname, p.polrelid from pg_policy as p
        union all select t.tgname, t.tgrelid from pg_trigger as t where not t.tgisinternal
        union all select k.conname, k.conrelid from pg_constraint as k
        union all select c.relname, c.oid from pg_class as c
        union all select a.attname, a.attrelid from pg_attribute as a
      ) as n (name, relation)
      join pg_class as c on c.oid = n.relation
      where octet_length(n.name::text) = 63
      and (c.relnamespace::regnamespace::text in ('public', 'private')
        or n.relation in ('storage.objects'::regclass, 'realtime.messages'::regclass))
      union all
      select p.proname::text from ${OUR_FUNCTIONS} and octet_length(p.proname::text) = 63`,
    offence: `create policy "${
      "offence ".repeat(9)
    }" on storage.objects for select to anon using (false)`,
    found: "offence ".repeat(9).slice(0, 63),
  },
  {
    name: "policies: every one names the roles it is for",
    query:
      `select p.polname::text as name from pg_policy as p, pg_class as c where c.oid = p.polrelid
      and c.relnamespace::regnamespace::text in ('public', 'private', 'storage', 'realtime') and 0 = any (p.polroles)`,
    offence:
      `create policy "offence" on public.media for select using (user_id = (select auth.uid()))`,
    found: "offence",
  },
  {
    name: "foreign keys: every one has an index that begins with its columns",
    query: `select k.conname::text as name from pg_constraint as k
      where k.contype = 'f' and k.connamespace::regnamespace::text in ('public', 'private')
      and not exists (
        select 1 from pg_index as i where i.indrelid = k.conrelid
        and (string_to_array(i.indkey::text, ' ')::smallint[])[1:cardinality(k.conkey)] @> k.conkey
        -- A partial index that leaves out nulls serves the look-ups of a foreign key as well.
        and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) ~ '^\\(\\w+ IS NOT NULL\\)$')
      )`,
    offence: `create table public.offence (
      id uuid primary key, job_id uuid constraint offence_job_id_fkey references public.ai_jobs (id))`,
    found: "offence_job_id_fkey",
  },
];

class Undo extends Error {}

Deno.test("schema: follows our rules", async (t) => {
  await withDatabase(async (db) => {
    const offenders = async (rule: Rule, sql: Transaction | typeof db.sql) =>
      (await sql.unsafe<{ name: string }[]>(rule.query)).map((row) => row.name)
        .sort();

    for (const rule of RULES) {
      const allowed = Object.keys(rule.allowed ?? {}).sort();
      await t.step(rule.name, async () => {
        assertEquals(await offenders(rule, db.sql), allowed);
      });
      await t.step(`${rule.name} (an offence is found)`, async () => {
        let found: string[] = [];
        try {
          await db.sql.begin(async (sql) => {
            await sql.unsafe(rule.offence);
            found = await offenders(rule, sql);
            throw new Undo();
          });
        } catch (error) {
          if (!(error instanceof Undo)) throw error;
        }
        assertEquals(found, [...allowed, rule.found].sort());
      });
    }
  });
});

Deno.test("schema files: everything except strings and comments is lowercase", async () => {
  const root = fromFileUrl(new URL("../../", import.meta.url));
  const found: string[] = [];
  const files = await readSchemaFiles(root);
  for (const { path, text } of files) {
    for (const { word, line } of findUppercaseWords(text)) {
      found.push(`${path}:${line} ${word}`);
    }
  }
  assert(files.length > 0);
  assertEquals(found, []);
});

Deno.test("docs/security.md: names every function that runs as its owner, and no other", async () => {
  const page = await Deno.readTextFile(
    fromFileUrl(new URL("../../docs/security.md", import.meta.url)),
  );
  const [, section = ""] = page.split("## Functions that run as their owner");
  const listed = [...section.matchAll(/`((?:public|private)\.[a-z_]+)`/g)].map((
    [, name = ""],
  ) => name);
  await withDatabase(async ({ sql }) => {
    const functions = await sql.unsafe<{ name: string }[]>(
      `select distinct p.pronamespace::regnamespace || '.' || p.proname as name from ${OUR_FUNCTIONS} and p.prosecdef`,
    );
    assertEquals(listed.sort(), functions.map(({ name }) => name).sort());
  });
});
