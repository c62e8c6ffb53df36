import { assert, assertEquals } from "@std/assert";
import {
  dispatchSchema,
  MAX_DISPATCHED_JOBS,
} from "../../../../supabase/functions/_shared/contracts/dispatch.ts";

const [A, B] = [
  "00000000-0000-4000-8000-00000000000a",
  "00000000-0000-4000-8000-00000000000b",
] as const;

/** The body that private.dispatch_ai_jobs sends. */
const body = {
  type: "INSERT",
  table: "ai_jobs",
  schema: "public",
  record: { id: A },
  old_record: null,
  job_ids: [A, B],
};

Deno.test("dispatchSchema: keeps only the ids of the body, each once", () => {
  assertEquals(dispatchSchema.parse(body), { jobIds: [A, B] });
});

Deno.test("dispatchSchema: of a plain database webhook only the id of the record is kept", () => {
  const { job_ids: _none, ...webhook } = body;
  assertEquals(
    dispatchSchema.parse({
      ...webhook,
      type: "UPDATE",
      record: { id: A, status: "completed", user_id: "someone" },
    }),
    { jobIds: [A] },
  );
});

Deno.test("dispatchSchema: accepts the maximum number of ids, and not one more", () => {
  const ids = Array.from(
    { length: MAX_DISPATCHED_JOBS + 1 },
    () => crypto.randomUUID(),
  );
  const fits = { ...body, job_ids: ids.slice(1) };
  assertEquals(dispatchSchema.parse(fits).jobIds.length, ids.length);
  assert(!dispatchSchema.safeParse({ ...body, job_ids: ids }).success);
});

for (
  const [why, change] of [
    ["a deletion", { type: "DELETE" }],
    ["another table", { table: "voices" }],
    ["another schema", { schema: "private" }],
    ["no record", { record: null }],
    ["an invalid id", { record: { id: "1; drop table" } }],
    ["an invalid id among others", { job_ids: [A, "x"] }],
    ["ids that are not a list", { job_ids: A }],
  ] as const
) {
  Deno.test(`dispatchSchema: refuses ${why}`, () => {
    assert(dispatchSchema.safeParse(body).success);
    assert(!dispatchSchema.safeParse({ ...body, ...change }).success);
  });
}
