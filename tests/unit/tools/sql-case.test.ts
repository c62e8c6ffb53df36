import { assertEquals } from "@std/assert";
import { findUppercaseWords } from "../../../dev/tools/sql-case.ts";

Deno.test("findUppercaseWords: finds keywords, types and names, in bodies of functions as well", () => {
  const sql = [
    "SELECT id from t;",
    "create function f() returns TEXT as $body$",
    "begin",
    "  Return 'A';",
    "end;",
    "$body$ language plpgsql;",
  ].join("\n");
  assertEquals(findUppercaseWords(sql), [
    { word: "SELECT", line: 1 },
    { word: "TEXT", line: 2 },
    { word: "Return", line: 4 },
  ]);
});

Deno.test("findUppercaseWords: ignores comments, text and quoted names", () => {
  const sql = [
    "-- SELECT, it's",
    "/* INSERT",
    "   INTO */ select 'It''s TEXT', e'a\\'B', \"Column\"\"Name\", $$ 'AJ001' $$, u.A1_b;",
  ].join("\n");
  assertEquals(findUppercaseWords(sql), [{ word: "A1_b", line: 3 }]);
});
