/** Supabase projects of other people, before they install edge-ai-jobs: the files by path. */

const config = (name: string, rest = "") =>
  `project_id = "${name}"

[api]
schemas = ["public"]

[auth]
enable_signup = true
site_url = "http://127.0.0.1:3000"
${rest}`;

const hello = (name: string) =>
  `Deno.serve(() => Response.json({ from: "${name}" }));\n`;

/** Has a table, a bucket, a policy and a function with the names of ours. */
export const OWN_MEDIA: ReadonlyMap<string, string> = new Map([
  [
    "supabase/config.toml",
    config(
      "own-media",
      `
[storage.buckets.recordings]
public = true

[functions.janitor]
verify_jwt = false
`,
    ),
  ],
  [
    "supabase/migrations/20250301090000_media.sql",
    `-- create table public.profiles ();
CREATE TABLE IF NOT EXISTS "media" (id bigint primary key, note text default 'create table voices ()');
create table public.pdfs (id bigint);
drop table public.pdfs;
`,
  ],
  [
    "supabase/migrations/20250302090000_files.sql",
    `insert into storage.buckets (id, name) values ('avatars', 'avatars'), ('uploads', 'uploads');
create policy "users can upload into their own folder" on storage.objects for insert to authenticated with check (true);
`,
  ],
  ["supabase/functions/janitor/index.ts", hello("own janitor")],
]);

/** Has a `_shared` with file names that ours has too, a function that uses it, and its own table `orders`. */
export const OWN_SHARED: ReadonlyMap<string, string> = new Map([
  ["supabase/config.toml", config("own-shared")],
  [
    "supabase/migrations/20250301090000_notes.sql",
    `create table public.notes (id bigint generated always as identity primary key, body text not null);
alter table public.notes enable row level security;
create policy "everyone can read notes" on public.notes for select to anon, authenticated using (true);
grant select on public.notes to anon, authenticated;
insert into public.notes (body) values ('was here before');
create table public.orders (id bigint primary key);
`,
  ],
  [
    "supabase/functions/_shared/errors.ts",
    `export const answer = () => Response.json({ from: "own _shared" });\n`,
  ],
  ["supabase/functions/_shared/http/cors.ts", "export const cors = {};\n"],
  [
    "supabase/functions/hello/index.ts",
    `import { answer } from "../_shared/errors.ts";\n\nDeno.serve(() => answer());\n`,
  ],
]);

/** Gives each function its own import map, as `deno.json` or in config.toml, and keeps secrets in the Vault. */
export const OWN_IMPORT_MAPS: ReadonlyMap<string, string> = new Map([
  [
    "supabase/config.toml",
    config(
      "own-import-maps",
      `
[db.vault]
mail_key = "env(MAIL_KEY)"

[functions.mapped]
import_map = "./functions/mapped/own_map.json"
verify_jwt = false
`,
    ),
  ],
  [
    "supabase/functions/import_map.json",
    `{ "imports": { "greeting": "./greeting.ts" } }\n`,
  ],
  [
    "supabase/functions/greeting.ts",
    `export const greeting = "of all functions";\n`,
  ],
  [
    "supabase/functions/fallback/index.ts",
    `import { greeting } from "greeting";\n\nDeno.serve(() => new Response(greeting));\n`,
  ],
  [
    "supabase/functions/mapped/own_map.json",
    `{ "imports": { "greeting": "./greeting.ts" } }\n`,
  ],
  [
    "supabase/functions/mapped/greeting.ts",
    `export const greeting = "of config.toml";\n`,
  ],
  [
    "supabase/functions/mapped/index.ts",
    `import { greeting } from "greeting";\n\nDeno.serve(() => new Response(greeting));\n`,
  ],
  [
    "supabase/functions/configured/deno.json",
    `{ "imports": { "greeting": "./greeting.ts" } }\n`,
  ],
  [
    "supabase/functions/configured/greeting.ts",
    `export const greeting = "of deno.json";\n`,
  ],
  [
    "supabase/functions/configured/index.ts",
    `import { greeting } from "greeting";\n\nDeno.serve(() => new Response(greeting));\n`,
  ],
]);
