import { assertEquals } from "@std/assert";
import { createJsonOutline } from "../../../../supabase/functions/_shared/http/json-outline.ts";
import fc, { anyCharacter } from "../../../_support/fast-check.ts";

/** The outline of a text that arrives in chunks of `step` bytes. */
function outlineOf(text: string, step = 1000): string | undefined {
  const outline = createJsonOutline();
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; at += step) {
    outline.add(bytes.subarray(at, at + step));
  }
  return outline.text();
}

/** The value with empty lists. */
function withoutLists(value: unknown): unknown {
  if (Array.isArray(value)) return [];
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, withoutLists(member)]),
  );
}

Deno.test("json outline: is the text with empty lists, for any split into chunks", () => {
  fc.assert(
    fc.property(
      fc.jsonValue({ maxDepth: 5, stringUnit: anyCharacter }),
      fc.integer({ min: 1, max: 40 }),
      fc.boolean(),
      (value, step, isPretty) => {
        const text = JSON.stringify(value, null, isPretty ? 2 : 0);
        assertEquals(
          JSON.parse(outlineOf(text, step) ?? ""),
          withoutLists(JSON.parse(text)),
        );
      },
    ),
    { numRuns: 3000 },
  );
});

Deno.test("json outline: a long string becomes an empty one, and the text around it stays", () => {
  const value = { text: 'a "]\\[é'.repeat(5000), id: "t", more: { n: 1 } };
  for (const step of [1, 7, 100_000]) {
    assertEquals(
      JSON.parse(outlineOf(JSON.stringify(value), step) ?? ""),
      { ...value, text: "" },
    );
  }
});

Deno.test("json outline: a string of 16 KiB is kept", () => {
  const value = { text: "a".repeat(16_384) };
  assertEquals(JSON.parse(outlineOf(JSON.stringify(value)) ?? ""), value);
});

Deno.test("json outline: undefined for a text with too much outside lists", () => {
  const many = Object.fromEntries(
    Array.from({ length: 9000 }, (_, index) => [`key-${index}`, index]),
  );
  assertEquals(outlineOf(JSON.stringify(many)), undefined);
});

Deno.test("json outline: a text that is not JSON does not throw", () => {
  for (const text of ["", "]]]]{", '"', "[[[[", '{"a":[}', "\\"]) {
    outlineOf(text);
  }
  assertEquals(outlineOf("]]{}"), "]]{}");
});
