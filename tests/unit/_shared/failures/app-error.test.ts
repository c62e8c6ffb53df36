import { assertEquals } from "@std/assert";
import { AppError } from "../../../../supabase/functions/_shared/failures/app-error.ts";
import { ERROR_CATALOGUE } from "../../../../supabase/functions/_shared/failures/catalogue.ts";

Deno.test("AppError: has the catalogue's message and status; details replace the message", () => {
  const plain = new AppError("not_found");
  assertEquals(plain.message, ERROR_CATALOGUE.not_found.message);
  assertEquals([plain.status, plain.fields.length], [404, 0]);
  const described = new AppError("not_found", {
    details: "No job has this id.",
  });
  assertEquals(described.message, "No job has this id.");
});

Deno.test("AppError: a code for jobs is a 500 in a response", () => {
  assertEquals(new AppError("provider_timeout").status, 500);
});
