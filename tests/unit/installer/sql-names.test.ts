/** The names of objects that SQL text creates, and texts that only look like it. */
import { assertEquals } from "@std/assert";
import { namesMadeBy } from "../../../installer/sql-names.ts";

const cases: [sql: string, names: string[]][] = [
  ["create table if not exists public.media (id int)", ["table public.media"]],
  ['CREATE UNLOGGED TABLE "Media" ()', ["table public.Media"]],
  ['create table "app" . "media" ()', ["table app.media"]],
  ["create materialized view totals as select 1", ["table public.totals"]],
  ["create temporary table media ()", []],
  ["-- create table a ();\n/* create table b (); */", []],
  ["select 'it''s create table c ()', e'\\' create table d ()'", []],
  [
    "do $x$ begin create table e (); end $x$; create table f ()",
    ["table public.f"],
  ],
  [
    `create policy "don't read" on public.a using (true); create table g ()`,
    [`policy "don't read" on public.a`, "table public.g"],
  ],
  ["create table h (); drop table if exists public.h", []],
  ["create table i (); alter table i rename to j", ["table public.j"]],
  [
    "create or replace function public.k() returns int language sql as $$ select 1 $$",
    ["function public.k"],
  ],
  [
    "create trigger l before delete on auth.users for each row execute function public.m()",
    ['trigger "l" on auth.users'],
  ],
  ["create schema if not exists private", ["schema private"]],
  ["create type mood as enum ('sad')", ["type public.mood"]],
  ["select cron.schedule('sweep', '* * * * *', 'select 1')", [
    "cron job sweep",
  ]],
  [
    "insert into storage.buckets (id, name) values\n  ('a', 'b'),\n  ('c', array['image/png'])",
    ["bucket a", "bucket c"],
  ],
];

Deno.test("sql names: finds created objects, in any case and in quotes, but not in comments, texts, bodies", () => {
  for (const [sql, names] of cases) {
    assertEquals([...namesMadeBy([sql])], names, sql);
  }
});

Deno.test("sql names: files are read in their order", () => {
  const made = "create table a ();", dropped = "drop table a;";
  assertEquals([...namesMadeBy([made, dropped])], []);
  assertEquals([...namesMadeBy([dropped, made])], ["table public.a"]);
});
