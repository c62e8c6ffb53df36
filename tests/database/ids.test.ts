/** Ids in the order of time, so that new rows are neighbours in the indexes. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { withDatabase } from "../_support/database.ts";

Deno.test("uuid_v7: a UUID of version 7 with the time of the server in milliseconds, never the same twice", async () => {
  await withDatabase(async ({ sql }) => {
    const [made] = await sql<
      { ids: string[]; from_ms: number; until_ms: number }[]
    >`
      with started as materialized (select floor(extract(epoch from clock_timestamp()) * 1000)::float8 as ms),
      made as materialized (
        select array_agg(private.uuid_v7()::text) as ids from started, generate_series(1, 1000)
      )
      select made.ids, started.ms as from_ms, ceil(extract(epoch from clock_timestamp()) * 1000)::float8 as until_ms
      from made, started`;
    assert(made !== undefined);
    assertEquals(new Set(made.ids).size, 1000);
    let last = made.from_ms;
    for (const id of made.ids) {
      assertMatch(
        id,
        /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      );
      const ms = parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
      assert(
        ms >= last && ms <= made.until_ms + 1,
        `${id} does not have the current time`,
      );
      last = ms;
    }
  });
});

Deno.test("ids: every column that generates ids generates them in the order of time", async () => {
  await withDatabase(async ({ sql }) => {
    const defaults = await sql<{ name: string; expression: string }[]>`
      select format('%s.%s', c.oid::regclass, a.attname) as name, pg_get_expr(d.adbin, d.adrelid) as expression
      from pg_attrdef as d
      join pg_class as c on c.oid = d.adrelid
      join pg_attribute as a on a.attrelid = d.adrelid and a.attnum = d.adnum
      where c.relnamespace::regnamespace::text in ('public', 'private') and a.atttypid = 'uuid'::regtype
        and pg_get_expr(d.adbin, d.adrelid) ~ 'uuid'`;
    assert(defaults.length > 10);
    assertEquals(
      defaults.filter(({ expression }) => expression !== "private.uuid_v7()"),
      [],
    );
  });
});
