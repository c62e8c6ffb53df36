import { assertEquals } from "@std/assert";
import {
  describeMessage,
  describeResult,
  tableOf,
} from "../../../dev/stack/sql.ts";

Deno.test("sql: rows form a table with names; nulls are empty, objects are JSON, long texts are cut to a line", () => {
  assertEquals(
    tableOf(["id", "name", "data", "at"], [
      [1, "Grandma", { a: [1] }, "1970-01-01 00:00:00+00"],
      [22, null, `${"x".repeat(90)}`, "two\nlines"],
    ]),
    [
      `id  name     data${" ".repeat(78)}at`,
      `--  -------  ${"-".repeat(80)}  ${"-".repeat(22)}`,
      `1   Grandma  {"a":[1]}${" ".repeat(73)}1970-01-01 00:00:00+00`,
      `22           ${"x".repeat(79)}…  two lines`,
      "",
    ].join("\n"),
  );
});

Deno.test("sql: a change prints its command tag, a query its rows, and a change with returning both", () => {
  const changed = { tag: "UPDATE 3", columns: undefined, rows: [] };
  assertEquals(describeResult(changed), "UPDATE 3\n");
  assertEquals(
    describeResult({ ...changed, tag: "CREATE TABLE" }),
    "CREATE TABLE\n",
  );
  assertEquals(
    describeResult({ tag: "SELECT 0", columns: ["id"], rows: [] }),
    "id\n--\n(0 rows)\n",
  );
  assertEquals(
    describeResult({ tag: "UPDATE 1", columns: ["id"], rows: [[7]] }),
    "id\n--\n7\n(1 row)\nUPDATE 1\n",
  );
  assertEquals(describeResult({ ...changed, tag: "" }), "");
});

Deno.test("sql: a message has the line and position in the statement, the detail and the hint", () => {
  assertEquals(
    describeMessage({
      severity: "ERROR",
      message: 'column "ö" does not exist',
      detail: "There is a column x.",
      hint: "Use it.",
      position: "12",
    }, "select 1,\n 'ö', ö\nfrom x"),
    [
      'ERROR:  column "ö" does not exist',
      "LINE 2:  'ö', ö",
      "         ^",
      "DETAIL:  There is a column x.",
      "HINT:  Use it.",
      "",
    ].join("\n"),
  );
  assertEquals(
    describeMessage({ severity: "NOTICE", message: "three" }, "select 1"),
    "NOTICE:  three\n",
  );
});
