import { assertEquals } from "@std/assert";
import { tableOf } from "../../../dev/stack/sql.ts";

Deno.test("sql: rows form a table with names; nulls are empty, objects are JSON, long texts are cut to a line", () => {
  assertEquals(
    tableOf([
      { id: 1, name: "Grandma", data: { a: [1] }, at: new Date(0) },
      { id: 22, name: null, data: `${"x".repeat(90)}`, at: "two\nlines" },
    ]),
    [
      `id  name     data${" ".repeat(78)}at`,
      `--  -------  ${"-".repeat(80)}  ${"-".repeat(24)}`,
      `1   Grandma  {"a":[1]}${" ".repeat(73)}1970-01-01T00:00:00.000Z`,
      `22           ${"x".repeat(79)}…  two lines`,
      "",
    ].join("\n"),
  );
  assertEquals(tableOf([]), "");
});
