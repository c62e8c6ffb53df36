import { assertEquals, assertThrows } from "@std/assert";
import { correctTypes } from "../../../dev/tools/type-corrections.ts";

const TYPES = `export type Json = string;
export type Database = {
  "public": {
    Tables: {
      "order_items": {
        Row: { "currency": string };
        Insert: { "currency": string; "quantity": number };
        Update: { "currency"?: string };
      };
      orders: { Row: { currency: string }; Insert: { currency: string } };
    };
    Functions: {
      "left_over": { Args: never; Returns: { "micros": number; "month": string }[] };
    };
  };
};
`;

Deno.test("correctTypes: a column that a trigger fills is optional on insert, and nothing else changes", () => {
  assertEquals(
    correctTypes(TYPES, [
      { table: "order_items", column: "currency" },
      { table: "orders", column: "currency" },
    ], []),
    TYPES
      .replace('Insert: { "currency": string', 'Insert: { "currency"?: string')
      .replace("Insert: { currency: string", "Insert: { currency?: string"),
  );
});

Deno.test("correctTypes: a result that may be null is nullable", () => {
  assertEquals(
    correctTypes(TYPES, [], [["Functions", "left_over", "Returns", "micros"]]),
    TYPES.replace('"micros": number', '"micros": number | null'),
  );
});

Deno.test("correctTypes: a correction of something that the types do not have is an error", () => {
  for (const column of ["price", "Row"]) {
    assertThrows(
      () => correctTypes(TYPES, [{ table: "order_items", column }], []),
      Error,
      `the types have no Tables.order_items.Insert.${column}`,
    );
  }
});
