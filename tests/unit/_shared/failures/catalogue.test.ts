import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { CODE_BY_SQLSTATE } from "../../../../supabase/functions/_shared/database/errors.ts";
import {
  ERROR_CATALOGUE,
  ERROR_CODES,
  isOutage,
  isProviderFailing,
  isTransient,
} from "../../../../supabase/functions/_shared/failures/catalogue.ts";

const ROOT = new URL("../../../../", import.meta.url);

/** The concatenated text of every file below a folder. */
async function textBelow(folder: URL): Promise<string> {
  const texts: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) texts.push(await textBelow(new URL(`${name}/`, folder)));
    else if (name !== "catalogue.ts" && name !== "database.types.ts") {
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

Deno.test("docs/error-codes.md: each code has a meaning, what to do, and whether it is retried", async () => {
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

Deno.test("docs/error-codes.md: each state that the database raises is a code or in the table of plain writes", async () => {
  const raised = [...migrations.matchAll(/errcode\s*=\s*'(AJ[^']*)'/gi)]
    .map(([, state]) => state ?? "");
  const plainWrites = [...(await page()).matchAll(/^\| `(AJ\d{3})` +\|/gm)]
    .map(([, state]) => state ?? "");
  assertEquals(
    [...Object.keys(CODE_BY_SQLSTATE), ...plainWrites].sort(),
    [...new Set(raised)].sort(),
  );
});

Deno.test("docs/error-codes.md: lists the codes that the client itself throws", async () => {
  const client = await textBelow(new URL("client/", ROOT));
  const thrown = [...client.matchAll(/code: "([a-z_]+)"/g)]
    .flatMap(([, code]) => code ?? []);
  assert(thrown.includes("network_error"));
  const [, section = ""] = (await page()).split("## Codes of the client");
  for (const code of ["http_<status>", "unknown", ...thrown]) {
    assertStringIncludes(section, `| \`${code}\``);
  }
});

for (const code of ERROR_CODES) {
  Deno.test(`ERROR_CATALOGUE: ${code} is used by a function or by the database`, () => {
    assert(
      functions.includes(`"${code}"`) || migrations.includes(`'${code}'`) ||
        Object.values<string>(CODE_BY_SQLSTATE).includes(code) ||
        // Those that fromDatabaseError uses.
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

Deno.test("ERROR_CATALOGUE: lists the codes that are transient, an outage, or a failing provider", () => {
  const transient = ERROR_CODES.filter(isTransient);
  assertEquals(
    transient.map((code) => [code, isOutage(code), isProviderFailing(code)]),
    [
      ["service_unavailable", true, false],
      ["storage_unavailable", true, false],
      ["provider_concurrency_limited", false, false],
      ["provider_rate_limited", false, true],
      ["provider_unavailable", true, true],
      ["provider_timeout", true, true],
    ],
  );
  for (const code of ERROR_CODES.filter((code) => !isTransient(code))) {
    assert(!isOutage(code) && !isProviderFailing(code), code);
  }
});
