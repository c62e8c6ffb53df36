import { assertEquals } from "@std/assert";
import { z } from "zod";
import { check } from "../../../../supabase/functions/_shared/contracts/issue-words.ts";
import { createAiJobRequestSchema } from "../../../../supabase/functions/_shared/contracts/jobs.ts";

/** The issues as `path: message`. */
function wrong(value: unknown, schema: z.ZodType): string[] {
  return (check(value, schema).wrong ?? []).map(({ path, message }) =>
    `${path.join(".")}: ${message}`
  );
}

const shape = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("circle"), radius: z.number() }),
  z.strictObject({ kind: z.literal("square"), side: z.number() }),
]);
const several = z.union([
  z.string().min(3),
  z.strictObject({ name: z.string(), size: z.number().max(9) }),
  z.strictObject({ url: z.url() }),
]);

for (
  const [schema, value, messages] of [
    [z.string(), undefined, [": is required"]],
    [z.string(), null, [": must be a string"]],
    [z.number(), "1", [": must be a number"]],
    [z.coerce.number(), "many", [": must be a number"]],
    [z.number(), Infinity, [": must be a number"]],
    [z.int(), 1.5, [": must be a whole number"]],
    [z.boolean(), "yes", [": must be true or false"]],
    [z.array(z.string()), {}, [": must be a list"]],
    [z.array(z.string()), ["a", 1], ["1: must be a string"]],
    [z.strictObject({}), [], [": must be an object"]],
    [z.record(z.string(), z.string()), 1, [": must be an object"]],
    [z.date(), "today", [": must be of type date"]],
    [z.enum(["a", "b"]), "c", [": must be one of a, b"]],
    [z.enum(["a", "b"]), undefined, [": is required: one of a, b"]],
    [z.literal("a"), "b", [": must be a"]],
    [z.string().min(1), "", [": must not be empty"]],
    [z.string().min(3), "ab", [": must have at least 3 characters"]],
    [z.string().max(2), "abc", [": must have at most 2 characters"]],
    [z.array(z.int()).min(1), [], [": must not be empty"]],
    [z.array(z.int()).max(1), [1, 2], [": must have at most 1 entry"]],
    [z.number().min(1), 0, [": must be at least 1"]],
    [z.number().max(1), 2, [": must be at most 1"]],
    [z.number().positive(), 0, [": must be more than 0"]],
    [z.number().lt(1), 1, [": must be less than 1"]],
    [z.number().multipleOf(5), 3, [": must be a multiple of 5"]],
    [z.number().int().max(100), 1e300, [": must be at most 100"]],
    [z.uuid(), "x", [": must be a UUID"]],
    [z.url(), "x", [": must be a URL"]],
    [z.iso.datetime(), "x", [": must be a date and time in ISO 8601"]],
    [z.string().regex(/^a/), "b", [": has the wrong format"]],
    [z.string().regex(/^a/, "must begin with a"), "b", [
      ": must begin with a",
    ]],
    [z.string().refine(() => false), "b", [": is not valid"]],
    [z.strictObject({ a: z.string() }), { a: "", b: 1, c: 2 }, [
      "b: is not known",
      "c: is not known",
    ]],
    [z.record(z.string().max(3), z.string()), { long: "x" }, [
      "long: is not a valid name: must have at most 3 characters",
    ]],

    [shape, {}, ["kind: is required: one of circle, square"]],
    [shape, { kind: "cube" }, ["kind: must be one of circle, square"]],
    [shape, { kind: "circle" }, ["radius: is required"]],
    [shape, 5, [": must be an object"]],
    [several, null, [": must be a string, or must be an object"]],
    [several, { name: "a", size: 10 }, ["size: must be at most 9"]],
    [several, { url: "x" }, ["url: must be a URL"]],
    [several, "ab", [": must have at least 3 characters"]],
    [z.strictObject({ at: several }), { at: { url: 5 } }, [
      "at.url: must be a string",
    ]],
  ] as const
) {
  Deno.test(`check: ${JSON.stringify(value)} yields ${messages.join("; ")}`, () => {
    assertEquals(wrong(value, schema), [...messages]);
  });
}

Deno.test("check: returns a valid value as parsed by the schema", () => {
  assertEquals(check("7", z.coerce.number()), { data: 7 });
});

Deno.test("check: a request for an unknown job type gets the names of all types", () => {
  const types = createAiJobRequestSchema.options.map(({ shape }) =>
    [...shape.job_type.values][0]
  ).join(", ");
  assertEquals(wrong({ job_type: "mind_reading" }, createAiJobRequestSchema), [
    `job_type: must be one of ${types}`,
  ]);
});
