/** The generator of docs/data-model.md, on the test's own tables. */
import {
  assert,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  checkChapters,
  describeTable,
  drawDiagram,
  readTables,
} from "../../dev/tools/data-model-listing.ts";
import { fillParts } from "../../dev/tools/data-model.ts";
import { withDatabase } from "../_support/database.ts";

Deno.test("data model: draws columns with their marks, and references with the cardinality of both sides", async () => {
  await withDatabase(async (db) => {
    await db.sql.unsafe(`
      create table public.shelves (id uuid primary key, label text unique, weight numeric(4, 1), tags text[]);
      create table public.books (
        id uuid primary key,
        user_id uuid not null references auth.users (id) on delete cascade,
        shelf_id uuid not null references public.shelves (id) on delete cascade,
        sequel_id uuid unique references public.books (id) on delete set null
      );`);
    const tables = (await readTables(db.sql)).filter(({ name }) =>
      ["books", "shelves"].includes(name)
    );
    assertEquals(
      drawDiagram(tables),
      `erDiagram
  books |o--o| books : "sequel_id"
  shelves ||--o{ books : "shelf_id"
  books {
    uuid id PK
    uuid user_id FK
    uuid shelf_id FK
    uuid sequel_id FK, UK
  }
  shelves {
    uuid id PK
    text label UK
    numeric weight
    text[] tags
  }`,
    );
  });
});

Deno.test("data model: lists the rights with the names of the policies, and the granted columns", async () => {
  await withDatabase(async (db) => {
    await db.sql.unsafe(`
      create table public.books (
        id uuid primary key, user_id uuid references auth.users (id) on delete set null, title text,
        media_id uuid references public.media (id) on delete cascade
      );
      comment on table public.books is 'What people read.';
      create policy "readers can read" on public.books for select to authenticated using (true);
      create policy "readers can write" on public.books for insert to authenticated with check (true);
      create policy "readers can tear pages out" on public.books for delete to authenticated using (true);
      create policy "passers-by can look" on public.books for select to anon using (true);
      grant select on public.books to authenticated;
      grant insert (id, title) on public.books to authenticated;
      grant select (title) on public.books to anon;
      grant select, update on public.books to service_role;`);
    const [table] = (await readTables(db.sql)).filter(({ name }) =>
      name === "books"
    );
    assert(table !== undefined);
    // A policy without a grant has no effect and is left out.
    assertEquals(
      describeTable(table),
      `### books

What people read.

- Signed in:
  - readers can read
  - readers can write (\`id\`, \`title\`)
- Not signed in:
  - passers-by can look (\`title\`)
- Secret key: select, update
- When the account is deleted: kept, without the account
- \`media_id\` → \`media\`, on delete cascade`,
    );
  });
});

Deno.test("data model: a table that is in no chapter, or in two, is an error", async () => {
  await withDatabase(async (db) => {
    const tables = await readTables(db.sql);
    const names = tables.map(({ name }) => name);
    checkChapters([{ title: "all", tables: names }], tables);
    for (
      const [chapters, message] of [
        [[names.slice(1)], `table ${names[0]} is in 0 chapters`],
        [[names, ["media"]], "table media is in 2 chapters"],
        [[[...names, "nothing"]], "nothing is not a table"],
      ] as const
    ) {
      const error = assertThrows(
        () =>
          checkChapters(
            chapters.map((some) => ({ title: "", tables: [...some] })),
            tables,
          ),
        Error,
      );
      assertStringIncludes(error.message, message);
    }
  });
});

Deno.test("data model: only the marked parts of the page are replaced, and each must exist", () => {
  const page =
    "before\n<!-- generated: one -->\nold\n<!-- end -->\nbetween\n<!-- generated: two -->\n<!-- end -->\nafter\n";
  assertEquals(
    fillParts(page, { one: "1", two: "2" }),
    "before\n<!-- generated: one -->\n\n1\n\n<!-- end -->\nbetween\n<!-- generated: two -->\n\n2\n\n<!-- end -->\nafter\n",
  );
  assertThrows(() => fillParts(page, { one: "1" }), Error, "two");
  assertThrows(
    () => fillParts(page, { one: "1", two: "2", three: "3" }),
    Error,
    "three",
  );
});
