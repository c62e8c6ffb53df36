/**
 * `deno task sql "select …"`: runs SQL as `postgres` on the database of the running stack and prints the rows, without
 * psql. Without an argument it reads the statement from standard input.
 *
 * Exit codes: 0, 1 when there is no database or it refuses the statement, 2 for invalid arguments.
 */
import { parseArgs } from "@std/cli/parse-args";
import postgres from "postgres";
import { z } from "zod";
import { databaseUrlOf } from "./postgres/postgres.ts";
import { defaultDataDir, readHolder } from "./process/data-folder.ts";

const usage = `Usage: deno task sql [options] "select …"

  --db URL    the database (default: that of the running stack)
  --data DIR  the folder that the stack keeps its data in (default .data/stack)
  --json      one JSON object per row
  --help      show this
`;

const argumentsSchema = z.strictObject({
  _: z.array(z.coerce.string()),
  db: z.url().optional(),
  data: z.string().min(1).default(() => defaultDataDir()),
  json: z.boolean(),
  help: z.boolean(),
});

/** Maximal width of a printed column; `--json` prints values whole. */
const MAX_WIDTH = 80;

const encoder = new TextEncoder();
const say = (text: string) => Deno.stdout.writeSync(encoder.encode(text));
const complain = (text: string) => Deno.stderr.writeSync(encoder.encode(text));

type Row = Record<string, unknown>;

function cell(value: unknown): string {
  const text = value === null || value === undefined
    ? ""
    : value instanceof Date
    ? value.toISOString()
    : typeof value === "object"
    ? JSON.stringify(value)
    : String(value);
  const line = text.replaceAll(/\s+/g, " ");
  return line.length > MAX_WIDTH ? `${line.slice(0, MAX_WIDTH - 1)}…` : line;
}

/** The rows as a table with a line of column names. */
export function tableOf(rows: readonly Row[]): string {
  const [first] = rows;
  if (first === undefined) return "";
  const names = Object.keys(first);
  const lines = [
    names,
    ...rows.map((row) => names.map((name) => cell(row[name]))),
  ];
  const widths = names.map((_, index) =>
    Math.max(...lines.map((line) => line[index]?.length ?? 0))
  );
  const text = (line: readonly string[]) =>
    line.map((one, index) => one.padEnd(widths[index] ?? 0)).join("  ")
      .trimEnd();
  const [header = [], ...body] = lines;
  return [
    text(header),
    widths.map((width) => "-".repeat(width)).join("  "),
    ...body.map(text),
  ].join("\n") + "\n";
}

async function addressOf(data: string): Promise<string | undefined> {
  const holder = await readHolder(data);
  return holder?.dbPort === undefined
    ? undefined
    : await databaseUrlOf(data, holder.dbPort);
}

async function run(args: string[]): Promise<0 | 1 | 2> {
  const read = argumentsSchema.safeParse(
    parseArgs(args, { string: ["db", "data"], boolean: ["json", "help"] }),
  );
  if (!read.success) {
    complain(`${usage}\n${z.prettifyError(read.error)}\n`);
    return 2;
  }
  const { _: words, db, data, json, help } = read.data;
  if (help) {
    say(usage);
    return 0;
  }
  const statement = words.length > 0
    ? words.join(" ")
    : await new Response(Deno.stdin.readable).text();
  if (statement.trim() === "") {
    complain(`${usage}\nThere is no statement.\n`);
    return 2;
  }
  const url = db ?? await addressOf(data);
  if (url === undefined) {
    complain(
      `No stack is running on ${data}. Start it with \`deno task start\`, or name a database with --db.\n`,
    );
    return 1;
  }
  const sql = postgres(url, {
    max: 1,
    onnotice: () => {},
    connect_timeout: 10,
  });
  try {
    const result: unknown = await sql.unsafe(statement);
    // Several statements have one result each; only the last is printed.
    const last = Array.isArray(result) && Array.isArray(result.at(-1))
      ? result.at(-1)
      : result;
    const rows = z.array(z.record(z.string(), z.unknown())).parse([
      ...(Array.isArray(last) ? last : []),
    ]);
    say(
      json
        ? rows.map((row) => `${JSON.stringify(row)}\n`).join("")
        : `${tableOf(rows)}(${rows.length} ${
          rows.length === 1 ? "row" : "rows"
        })\n`,
    );
    return 0;
  } catch (error) {
    complain(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

if (import.meta.main) Deno.exit(await run(Deno.args));
