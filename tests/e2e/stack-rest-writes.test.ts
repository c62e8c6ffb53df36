/** Responses to writes over REST: embedded tables, single objects, and errors, which change nothing. */
import { assertEquals } from "@std/assert";
import { clientOf, dataOf, newPerson } from "../_support/stack-people.ts";
import { makeProject, startChild } from "../_support/stack-fixture.ts";

const migration = `
create table public.albums (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  title text not null
);
create table public.photos (
  album_id uuid not null references public.albums (id) on delete cascade,
  name text not null,
  stars int not null default 0,
  primary key (album_id, name)
);
alter table public.albums enable row level security;
alter table public.photos enable row level security;
grant select, insert, update, delete on public.albums, public.photos to authenticated;
create policy "people have their own albums" on public.albums to authenticated
  using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy "people have the photos of their albums" on public.photos to authenticated
  using (exists (select from public.albums as a where a.id = album_id));
`;

Deno.test("rest: a write returns embedded tables as PostgREST does, even if it changes a filtered column", async (t) => {
  await using project = await makeProject({
    "supabase/migrations/20260102000000_albums.sql": migration,
  });
  await using stack = await startChild(project.dir, ["--ephemeral"]);
  const ann = await newPerson(stack.env, "ann");
  const albums = () => ann.client.from("albums");
  const photos = () => ann.client.from("photos");
  const titles = async () =>
    (await dataOf(albums().select("title").order("title"))).map(({ title }) =>
      title
    );
  const zoo = await dataOf(
    albums().insert({ title: "Zoo" }).select("id, photos(name)").single(),
  );
  const id: string = zoo.id;
  await dataOf(
    photos().insert([{ album_id: id, name: "lion" }, {
      album_id: id,
      name: 'a "big", wild (cat)\\',
    }]).select(),
  );

  await t.step("single() after an insert is one object", () => {
    assertEquals(zoo, { id, photos: [] });
  });

  await t.step(
    "an update of the filtered column returns its rows",
    async () => {
      assertEquals(
        await dataOf(
          albums().update({ title: "Park" }).eq("title", "Zoo")
            .select("title, photos(name)").order("name", {
              referencedTable: "photos",
            }),
        ),
        [{
          title: "Park",
          photos: [{ name: 'a "big", wild (cat)\\' }, { name: "lion" }],
        }],
      );
    },
  );

  await t.step("rows with a key of several columns are returned", async () => {
    const updated: unknown = await dataOf(
      photos().update({ stars: 5 }).eq("stars", 0)
        .select("name, stars, album:albums(title)").order("name"),
    );
    assertEquals(
      updated,
      ['a "big", wild (cat)\\', "lion"].map((name) => ({
        name,
        stars: 5,
        album: { title: "Park" },
      })),
    );
  });

  await t.step(
    "filters of the embedded table apply to that table only",
    async () => {
      assertEquals(
        await dataOf(
          albums().update({ title: "Garden" }).eq("id", id).eq(
            "photos.name",
            "lion",
          ).select("title, photos(name)").single(),
        ),
        { title: "Garden", photos: [{ name: "lion" }] },
      );
    },
  );

  await t.step(
    "without a match the result is no row, or no object",
    async () => {
      const nowhere = crypto.randomUUID();
      assertEquals(
        await dataOf(
          albums().update({ title: "x" }).eq("id", nowhere)
            .select("title, photos(name)"),
        ),
        [],
      );
      assertEquals(
        await dataOf(
          photos().update({ stars: 1 }).eq("album_id", nowhere)
            .select("name, albums(title)"),
        ),
        [],
      );
      const { status, error } = await albums().update({ title: "x" })
        .eq("id", nowhere).select("title, photos(name)").single();
      assertEquals([status, error?.code], [406, "PGRST116"]);
    },
  );

  await t.step("a write of every row is refused for every caller", async () => {
    for (
      const client of [ann.client, clientOf(stack.env, stack.env.SECRET_KEY)]
    ) {
      const updated = await client.from("albums").update({ title: "x" });
      assertEquals([updated.status, updated.error?.code], [400, "21000"]);
      assertEquals(updated.error?.message, "UPDATE requires a WHERE clause");
      const deleted = await client.from("albums").delete().select();
      assertEquals([deleted.status, deleted.error?.code], [400, "21000"]);
      assertEquals(deleted.error?.message, "DELETE requires a WHERE clause");
    }
    assertEquals(await titles(), ["Garden"]);
  });

  await t.step("a missing table is an error", async () => {
    const { error } = await albums().update({ title: "x" }).eq("id", id)
      .select("title, films(*)");
    assertEquals(error?.code, "PGRST200");
    assertEquals(await titles(), ["Garden"]);
  });

  await t.step(
    "single() of two rows is an error, and nothing is changed",
    async () => {
      await dataOf(albums().insert({ title: "Lake" }).select());
      for (const columns of ["title", "title, photos(name)"]) {
        const updated = await albums().update({ title: "Sea" })
          .eq("user_id", ann.id).select(columns).single();
        assertEquals([updated.status, updated.error?.code], [406, "PGRST116"]);
        assertEquals(await titles(), ["Garden", "Lake"]);
        const deleted = await albums().delete().eq("user_id", ann.id)
          .select(columns).single();
        assertEquals([deleted.status, deleted.error?.code], [406, "PGRST116"]);
        assertEquals(await titles(), ["Garden", "Lake"]);
        const inserted = await albums()
          .insert([{ title: "A" }, { title: "B" }]).select(columns).single();
        assertEquals([inserted.status, inserted.error?.code], [
          406,
          "PGRST116",
        ]);
        assertEquals(await titles(), ["Garden", "Lake"]);
      }
    },
  );

  await t.step("a delete returns the deleted rows", async () => {
    assertEquals(
      await dataOf(
        albums().delete().eq("id", id).select("title, photos(stars)").single(),
      ),
      { title: "Garden", photos: [{ stars: 5 }, { stars: 5 }] },
    );
    assertEquals(await titles(), ["Lake"]);
  });

  await t.step(
    "rows of other users are neither changed nor returned",
    async () => {
      const bob = await newPerson(stack.env, "bob");
      assertEquals(
        await dataOf(
          bob.client.from("albums").update({ title: "His" }).eq("title", "Lake")
            .select("title, photos(name)"),
        ),
        [],
      );
      const nobody = await clientOf(stack.env).from("albums")
        .update({ title: "His" }).eq("title", "Lake").select("*, photos(*)");
      assertEquals([nobody.status, nobody.error?.code], [401, "42501"]);
      assertEquals(await titles(), ["Lake"]);
    },
  );
});
