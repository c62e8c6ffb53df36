import { assert, assertEquals } from "@std/assert";
import {
  CODE_BY_SQLSTATE,
  fromDatabaseError,
} from "../../../../supabase/functions/_shared/database/errors.ts";
import { ERROR_CATALOGUE } from "../../../../supabase/functions/_shared/failures/catalogue.ts";

Deno.test("fromDatabaseError: a reference to a deleted account is 401, to another deleted row 404", () => {
  const refusal = (table: string) =>
    fromDatabaseError({
      code: "23503",
      message:
        'insert or update on table "ai_jobs" violates foreign key constraint "ai_jobs_user_id_fkey"',
      details: `Key (user_id)=(7) is not present in table "${table}".`,
    });
  const account = refusal("users");
  assertEquals([account.code, account.status], ["account_not_found", 401]);
  assert(!account.message.includes("ai_jobs"));
  assertEquals([refusal("calls").code, refusal("calls").status], [
    "not_found",
    404,
  ]);
});

for (const [sqlstate, code] of Object.entries(CODE_BY_SQLSTATE)) {
  Deno.test(`fromDatabaseError: ${sqlstate} is ${code}, with the database's message and field`, () => {
    const error = fromDatabaseError({
      code: sqlstate,
      message: "input_url names no object",
      details: "input_url",
    });
    assertEquals(error.code, code);
    assertEquals(error.message, "input_url names no object");
    assertEquals(error.fields, [
      { field: "input_url", message: "names no object" },
    ]);
    assertEquals(
      fromDatabaseError({ code: sqlstate, message: "m" }).fields,
      [],
    );
  });
}

for (
  const [sqlstate, code] of [
    ["08006", "service_unavailable"],
    ["40001", "service_unavailable"],
    ["40P01", "service_unavailable"],
    ["57014", "service_unavailable"],
    ["57P01", "service_unavailable"],
    ["53300", "service_unavailable"],
    ["55P03", "service_unavailable"],
    ["PGRST000", "service_unavailable"],
    ["PGRST001", "service_unavailable"],
    ["PGRST002", "service_unavailable"],
    ["PGRST003", "service_unavailable"],
    ["AJ050", "internal_error"],
    ["AJ999", "internal_error"],
    ["42501", "internal_error"],
    ["23514", "internal_error"],
    ["", "service_unavailable"],
    [undefined, "service_unavailable"],
    ["PGRST202", "internal_error"],
  ] as const
) {
  Deno.test(`fromDatabaseError: ${sqlstate ?? "no state"} is ${code}, and the original error is only its cause`, () => {
    const said = {
      ...(sqlstate === undefined ? {} : { code: sqlstate }),
      message: 'permission denied for table "ai_jobs" of tenant 7',
      details: "row (7, secret)",
    };
    const error = fromDatabaseError(said);
    assertEquals(error.code, code);
    assertEquals(error.message, ERROR_CATALOGUE[code].message);
    assertEquals(error.fields, []);
    assertEquals(error.cause, said);
  });
}
