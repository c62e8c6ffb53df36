import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  AppError,
  CODE_BY_SQLSTATE,
  ERROR_CATALOGUE,
  fromDatabaseError,
} from "../../../supabase/functions/_shared/errors.ts";

const ROOT = new URL("../../../", import.meta.url);

/** The text of every file below a folder, all in one. */
async function textBelow(folder: URL): Promise<string> {
  const texts: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) texts.push(await textBelow(new URL(`${name}/`, folder)));
    else if (name !== "errors.ts" && name !== "database.types.ts") {
      texts.push(await Deno.readTextFile(new URL(name, folder)));
    }
  }
  return texts.join("\n");
}
const functions = await textBelow(new URL("supabase/functions/", ROOT));
const migrations = await textBelow(new URL("supabase/migrations/", ROOT));

interface DocumentedCode {
  code: string;
  status: string;
  sqlstate: string;
  cells: string[];
}

function page(): Promise<string> {
  return Deno.readTextFile(new URL("docs/error-codes.md", ROOT));
}

/** The rows of the tables of docs/error-codes.md whose first cell is a code. */
async function documented(): Promise<DocumentedCode[]> {
  return (await page()).split("\n").flatMap((line) => {
    const cells = line.split("|").slice(1, -1).map((cell) => cell.trim());
    const code = /^`([a-z_]+)`$/.exec(cells[0] ?? "")?.[1];
    if (code === undefined) return [];
    const isAnswer = cells.length === 6;
    assert(isAnswer || cells.length === 5, line);
    return [{
      code,
      status: cells[1] ?? "",
      sqlstate: isAnswer ? (cells[2] ?? "").replaceAll("`", "") : "",
      cells: isAnswer ? cells.toSpliced(2, 1) : cells,
    }];
  });
}

Deno.test("docs/error-codes.md: lists every code once, with its status, and no other", async () => {
  const rows = await documented();
  assertEquals(
    Object.fromEntries(rows.map((row) => [row.code, row.status])),
    Object.fromEntries(
      Object.entries(ERROR_CATALOGUE).map((
        [code, { status }],
      ) => [code, status === null ? "job only" : String(status)]),
    ),
  );
  assertEquals(rows.length, Object.keys(ERROR_CATALOGUE).length);
});

Deno.test("docs/error-codes.md: tells of every code what it means, what to do, and whether it is retried", async () => {
  for (const { code, cells } of await documented()) {
    assert(cells.every((cell) => cell !== ""), code);
    assertMatch(cells.at(-1) ?? "", /^(yes|no)\b/, code);
  }
});

Deno.test("docs/error-codes.md: has the SQLSTATE of every code that the database raises", async () => {
  assertEquals(
    Object.fromEntries(
      (await documented()).filter((row) => row.sqlstate !== "").map((row) => [
        row.sqlstate,
        row.code,
      ]),
    ),
    { ...CODE_BY_SQLSTATE },
  );
});

Deno.test("docs/error-codes.md: each state that the migrations raise is a code, or stands in the table of plain writes", async () => {
  const raised = [...migrations.matchAll(/errcode\s*=\s*'(AJ[^']*)'/gi)]
    .map(([, state]) => state ?? "");
  const plainWrites = [...(await page()).matchAll(/^\| `(AJ\d{3})` +\|/gm)]
    .map(([, state]) => state ?? "");
  assertEquals(
    [...Object.keys(CODE_BY_SQLSTATE), ...plainWrites].sort(),
    [...new Set(raised)].sort(),
  );
});

for (const code of Object.keys(ERROR_CATALOGUE)) {
  Deno.test(`ERROR_CATALOGUE: ${code} is used by a function or by the database`, () => {
    assert(
      functions.includes(`"${code}"`) || migrations.includes(`'${code}'`) ||
        Object.values<string>(CODE_BY_SQLSTATE).includes(code) ||
        // fromDatabaseError's own.
        ["service_unavailable", "account_not_found"].includes(code),
    );
  });
}

Deno.test("ERROR_CATALOGUE: statuses are those of errors, and messages are sentences", () => {
  for (const [code, { status, message }] of Object.entries(ERROR_CATALOGUE)) {
    assert(status === null || (status >= 400 && status <= 504), code);
    assertMatch(message, /^[A-Za-z].*\.$/, code);
  }
});

Deno.test("AppError: has the catalogue's message and status, and details in its place", () => {
  const plain = new AppError("not_found");
  assertEquals(plain.message, ERROR_CATALOGUE.not_found.message);
  assertEquals([plain.status, plain.fields.length], [404, 0]);
  const told = new AppError("not_found", { details: "No job has this id." });
  assertEquals(told.message, "No job has this id.");
});

Deno.test("AppError: a code that belongs on jobs is a 500 in an answer", () => {
  assertEquals(new AppError("provider_timeout").status, 500);
});

Deno.test("fromDatabaseError: a reference to a deleted account is 401, to anything else that is gone 404", () => {
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
  Deno.test(`fromDatabaseError: ${sqlstate} is ${code}, with the database's words and field`, () => {
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
  Deno.test(`fromDatabaseError: ${sqlstate ?? "no state"} is ${code}, and what the database said is the cause alone`, () => {
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
