import { assert, assertEquals } from "@std/assert";
import { compareCatalogues, readCatalogue } from "../../dev/tools/catalogue.ts";
import { withDatabase } from "../_support/database.ts";

/** A change of a database, and the beginning of the line that the catalogue gains by it. */
const CHANGES: [change: string, line: string][] = [
  [
    `alter table public.media add column note text not null default 'none'`,
    `column public.media 12 note text not null t default 'none'::text`,
  ],
  [
    `alter table public.media add constraint media_note check (title <> 'x')`,
    `constraint public.media media_note valid t: CHECK ((title <> 'x'::text))`,
  ],
  [
    `comment on column public.media.title is 'It''s the title.'`,
    `comment table column public.media.title: It's the title.`,
  ],
  [
    `create statistics public.note on title, media_type from public.media`,
    `statistics CREATE STATISTICS public.note ON`,
  ],
  [
    `alter table public.media replica identity full`,
    `relation public.media kind r persistence p identity f`,
  ],
  [
    `alter table public.media alter column title set statistics 50`,
    `column public.media`,
  ],
  [
    `comment on function private.touch_updated_at() is 'Another.'`,
    `comment function private.touch_updated_at(): Another.`,
  ],
  [
    `create index media_title_idx on public.media (title)`,
    `index CREATE INDEX media_title_idx ON public.media USING btree (title)`,
  ],
  [
    `create policy "note" on public.media for delete to anon using (false)`,
    `policy public.media note PERMISSIVE DELETE to {anon} using false`,
  ],
  [
    `create policy "note" on storage.objects for select to anon using (false)`,
    `policy storage.objects note PERMISSIVE SELECT to {anon} using false`,
  ],
  [
    `grant update (file_name) on public.media to anon`,
    `column public.media 5 file_name text`,
  ],
  [`grant delete on public.voices to anon`, `relation public.voices kind r`],
  [
    `alter table public.voices disable row level security`,
    `relation public.voices kind r`,
  ],
  [
    `create or replace function private.touch_updated_at() returns trigger language plpgsql set search_path = '' as
     'begin return new; end;'`,
    `function private.touch_updated_at() owner postgres`,
  ],
  [
    `grant execute on function public.claim_ai_jobs(integer, uuid[], text) to anon`,
    `function public.claim_ai_jobs(integer,uuid[],text) owner postgres`,
  ],
  [
    `create trigger note before delete on public.media for each row execute function private.touch_updated_at()`,
    `trigger CREATE TRIGGER note BEFORE DELETE ON public.media`,
  ],
  [
    `alter table public.media disable trigger media_touch_updated_at`,
    `trigger CREATE TRIGGER media_touch_updated_at`,
  ],
  [
    `create type public.note as enum ('a', 'b')`,
    `type public.note kind e: a,b`,
  ],
  [
    `alter sequence private.ai_job_claims increment 2`,
    `sequence private.ai_job_claims rights`,
  ],
  [
    `grant usage on schema private to anon`,
    `schema private owner postgres rights`,
  ],
  [
    `alter publication supabase_realtime add table public.media`,
    `publication (supabase_realtime,public,media,`,
  ],
  [
    `select cron.schedule('note', '5 4 * * *', 'select 1')`,
    `cron note: 5 4 * * *: select 1 as postgres active t`,
  ],
  [
    `update storage.buckets set file_size_limit = 7 where id = 'uploads'`,
    `bucket uploads public f limit 7`,
  ],
  [
    `update public.ai_prices set price_micros = 7 where job_type = 'voice_clone'`,
    `row public.ai_prices {"unit": "creation"`,
  ],
];

class Undo extends Error {}

Deno.test("catalogue: it shows every kind of change, and nothing else", async (t) => {
  await withDatabase(async (db) => {
    const before = await readCatalogue(db.sql);
    for (const [change, line] of CHANGES) {
      await t.step(change, async () => {
        let after: string[] = [];
        try {
          await db.sql.begin(async (sql) => {
            await sql.unsafe(change);
            after = await readCatalogue(sql);
            throw new Undo();
          });
        } catch (error) {
          if (!(error instanceof Undo)) throw error;
        }
        const added = compareCatalogues(before, after).filter((one) =>
          one.startsWith("+ ")
        );
        assert(
          added.some((one) => one.startsWith(`+ ${line}`)),
          added.join("\n"),
        );
      });
    }
    assertEquals(await readCatalogue(db.sql), before);
  });
});
