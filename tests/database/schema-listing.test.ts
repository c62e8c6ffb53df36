import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { listSchema } from "../../dev/tools/schema-listing.ts";
import { withDatabase } from "../_support/database.ts";

/** A change of the schema, and the line that it must add to the listing. */
const CHANGES: [change: string, line: string][] = [
  [
    `alter table public.media add column note text not null default 'none'`,
    `  note text not null default 'none'::text`,
  ],
  [
    `alter table public.media add constraint media_note check (title <> 'x')`,
    `  constraint media_note CHECK (title <> 'x'::text)`,
  ],
  [
    `comment on column public.media.title is 'It''s the title.'`,
    `comment on column public.media.title is\n  'It''s the title.';`,
  ],
  [
    `create index media_title_idx on public.media (title)`,
    `CREATE INDEX media_title_idx ON public.media USING btree (title);`,
  ],
  [
    `create policy "note" on public.media for delete to anon using (false)`,
    `create policy note on public.media for delete to anon\n  using (false);`,
  ],
  [
    `grant update (file_name) on public.media to anon`,
    `grant update (file_name) on public.media to anon;`,
  ],
  [
    `grant delete on public.voices to anon`,
    `grant delete on public.voices to anon;`,
  ],
  [
    `create function public.note(a integer) returns integer language sql immutable set search_path = '' as 'select 1'`,
    `create function public.note(a integer)\n  returns integer language sql immutable security invoker set search_path="";`,
  ],
  [
    `grant execute on function public.claim_ai_jobs(integer, uuid[], text) to anon`,
    `grant execute on function public.claim_ai_jobs(integer,uuid[],text) to anon;`,
  ],
  [
    `create trigger note before delete on public.media for each row execute function private.touch_updated_at()`,
    `CREATE TRIGGER note BEFORE DELETE ON public.media FOR EACH ROW EXECUTE FUNCTION private.touch_updated_at();`,
  ],
  [
    `create view public.note with (security_invoker = true) as select 1 as one`,
    `create view public.note with (security_invoker=true) as\n SELECT 1 AS one;`,
  ],
  [
    `create policy "note" on storage.objects for select to anon using (false)`,
    `create policy note on storage.objects for select to anon\n  using (false);`,
  ],
  [
    `alter publication supabase_realtime add table public.media`,
    `alter publication supabase_realtime add table public.media;`,
  ],
  [
    `select cron.schedule('note', '5 4 * * *', 'select 1')`,
    `select cron.schedule('note', '5 4 * * *', 'select 1');`,
  ],
  [
    `update storage.buckets set file_size_limit = 7 where id = 'uploads'`,
    `-- bucket uploads: private, at most 7 bytes`,
  ],
];

class Undo extends Error {}

Deno.test("listSchema: every kind of change shows, and nothing else does", async (t) => {
  await withDatabase(async (db) => {
    const before = await listSchema(db.sql);
    for (const [change, line] of CHANGES) {
      await t.step(change, async () => {
        let after = "";
        try {
          await db.sql.begin(async (sql) => {
            await sql.unsafe(change);
            after = await listSchema(sql);
            throw new Undo();
          });
        } catch (error) {
          if (!(error instanceof Undo)) throw error;
        }
        assert(!before.includes(line));
        assertStringIncludes(after, line);
      });
    }
    assertEquals(await listSchema(db.sql), before);
  });
});

Deno.test("listSchema: the same migrations give the same text in every database", async () => {
  const [one, two] = await Promise.all(
    [1, 2].map(() => withDatabase((db) => listSchema(db.sql))),
  );
  assertEquals(one, two);
});
