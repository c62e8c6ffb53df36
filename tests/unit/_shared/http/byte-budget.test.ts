import { assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../../../../supabase/functions/_shared/failures/app-error.ts";
import { createByteBudget } from "../../../../supabase/functions/_shared/http/byte-budget.ts";

/** A body of chunks of ten bytes. */
async function* body(chunks: number) {
  for (let chunk = 0; chunk < chunks; chunk++) {
    yield await Promise.resolve(new Uint8Array(10));
  }
}

const length = (declaredBytes?: number) => ({ declaredBytes, maxBytes: 90 });

Deno.test("byte budget: a long body without Content-Length reserves its maximum, and releases it", async () => {
  const budget = createByteBudget({ maxBytes: 100, freeBytes: 10 });
  const first = budget(body(9), length());
  await first.next();
  const second = budget(body(9), length());
  await second.next();
  // Both have been short so far.
  await first.next();
  const error = await assertRejects(() => second.next(), AppError);
  assertEquals(error.code, "service_unavailable");
  await assertRejects(() => budget(body(2), length(11)).next(), AppError);
  await budget(body(1), length(10)).next();
  // An abandoned body releases its bytes,
  await first.return();
  const third = budget(body(9), length(90));
  for (let chunk = 0; chunk < 10; chunk++) await third.next();
  // and so does one that was read to its end.
  assertEquals((await budget(body(9), length(90)).next()).done, false);
});

Deno.test("byte budget: a body that is longer than announced is charged for its actual length", async () => {
  const budget = createByteBudget({ maxBytes: 100, freeBytes: 10 });
  const liar = budget(body(9), length(20));
  for (let chunk = 0; chunk < 8; chunk++) await liar.next();
  await assertRejects(() => budget(body(1), length(30)).next(), AppError);
  await liar.return();
});
