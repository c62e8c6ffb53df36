import { assertEquals } from "@std/assert";
import { findUnfilteredWrites } from "../../../dev/tools/unfiltered-writes.ts";

const found = (sql: string) =>
  findUnfilteredWrites(sql).map(({ kind, text }) => `${kind}: ${text}`);

Deno.test("unfiltered writes: finds an update and a delete without a condition, wherever they are", () => {
  assertEquals(found("update public.a set b = 1"), [
    "update: update public.a set b = 1",
  ]);
  assertEquals(
    found("begin delete\n  from a; update a set b = 1 where c; end"),
    ["delete: delete from a; update a set b = 1 where c; end"],
  );
  assertEquals(found("with gone as (delete from a returning id) select 1"), [
    "delete: delete from a returning id) select 1",
  ]);
  assertEquals(
    found("update a set b = (select c from d where d.id = 1)").length,
    1,
  );
  assertEquals(
    found("if x then update a set b = 1; end if; select 1 where true").length,
    1,
  );
  assertEquals(found("execute format('delete from %I', t)"), [
    "delete: delete from %I",
  ]);
  assertEquals(
    found("execute 'update a set b = ''where'' returning 1'").length,
    1,
  );
});

Deno.test("unfiltered writes: ignores statements with a condition, and texts that are not statements", () => {
  for (
    const sql of [
      "update a set b = 1 where true",
      "delete from a using b where a.id = b.id returning a.id",
      "with gone as (delete from a where b returning id) select 1",
      "update a set b = c from (select 1 as c) as d where a.id = d.c",
      "insert into a (b) values (1) on conflict (b) do update set c = 2",
      "select 1 from a for update skip locked",
      "select 1 from a for no key update of a",
      "create trigger t before insert or update on a for each row execute function f()",
      "create trigger t before update of b, c on a for each row execute function f()",
      "grant select, insert, update on a to b",
      "create policy p on a for update to b using (true)",
      "-- delete from a\nselect 'UPDATE' = tg_op",
    ]
  ) assertEquals(found(sql), [], sql);
});
