/// <reference path="../types/pg.d.ts" />
/**
 * `deno task sql "select …"`: runs SQL as `postgres` on the database of the running stack and prints what psql would: rows,
 * `UPDATE 3`, notices and errors. Several statements run in one transaction. Without an argument it reads them from standard
 * input.
 *
 * Exit codes: 0, 1 when there is no database or it refuses the statement, 2 for invalid arguments.
 */
import { parseArgs } from "@std/cli/parse-args";
import { Client } from "pg";
import { z } from "zod";
import { databaseUrlOf } from "./postgres/postgres.ts";
import { defaultDataDir, readHolder } from "./process/data-folder.ts";

const usage = `Usage: deno task sql [options] "select …"

  --db URL    the database (default: that of the running stack)
  --data DIR  the data folder of the stack (default .data/stack)
  --json      one JSON object per row; everything else goes to standard error
  --help      show this
`;

const argumentsSchema = z.strictObject({
  _: z.array(z.coerce.string()),
  db: z.url().optional(),
  data: z.string().min(1).default(() => defaultDataDir()),
  json: z.boolean(),
  help: z.boolean(),
});

/** Maximum width of a printed column; `--json` prints whole values. */
const MAX_WIDTH = 80;

const encoder = new TextEncoder();
const say = (text: string) => Deno.stdout.writeSync(encoder.encode(text));
const printError = (text: string) =>
  Deno.stderr.writeSync(encoder.encode(text));

/** What one statement returned. */
export interface StatementResult {
  /** Its command tag, `UPDATE 3` or `CREATE TABLE`; empty for an empty statement. */
  tag: string;
  /** Names of the columns; undefined for a statement that returns no rows. */
  columns: readonly string[] | undefined;
  rows: readonly (readonly unknown[])[];
}

function cell(value: unknown): string {
  const text = value === null || value === undefined
    ? ""
    : typeof value === "object"
    ? JSON.stringify(value)
    : String(value);
  const line = text.replaceAll(/\s+/g, " ");
  return line.length > MAX_WIDTH ? `${line.slice(0, MAX_WIDTH - 1)}…` : line;
}

/** The rows as a table below a line of column names. */
export function tableOf(
  columns: readonly string[],
  rows: readonly (readonly unknown[])[],
): string {
  const lines = [columns, ...rows.map((row) => row.map(cell))];
  const widths = columns.map((_, index) =>
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

/**
 * A result as psql prints it: the rows and their number, and the command tag of a statement that changes something, such
 * as `UPDATE 3`.
 */
export function describeResult(
  { tag, columns, rows }: StatementResult,
): string {
  const table = columns === undefined
    ? ""
    : `${tableOf(columns, rows)}(${rows.length} ${
      rows.length === 1 ? "row" : "rows"
    })\n`;
  const isRead = columns !== undefined &&
    !/^(INSERT|UPDATE|DELETE|MERGE)\b/.test(tag);
  return tag === "" || isRead || tag.startsWith("COPY")
    ? table
    : `${table}${tag}\n`;
}

/** What Postgres says about an error or a notice. */
export interface ServerMessage {
  severity?: string | undefined;
  message: string;
  detail?: string | undefined;
  hint?: string | undefined;
  where?: string | undefined;
  /** Where in the statement, counted in characters from 1. */
  position?: string | undefined;
}

/** An error or a notice as psql prints it: with the line of the statement, the detail and the hint. */
export function describeMessage(
  { severity = "ERROR", message, detail, hint, where, position }: ServerMessage,
  statement: string,
): string {
  const lines = [`${severity}:  ${message}`];
  const before = [...statement].slice(0, Number(position ?? 0) - 1).join("");
  if (position !== undefined) {
    const start = before.lastIndexOf("\n") + 1;
    const label = `LINE ${before.split("\n").length}: `;
    lines.push(
      label + (statement.slice(start).split("\n")[0] ?? ""),
      `${" ".repeat(label.length + before.length - start)}^`,
    );
  }
  if (detail !== undefined) lines.push(`DETAIL:  ${detail}`);
  if (hint !== undefined) lines.push(`HINT:  ${hint}`);
  if (where !== undefined) lines.push(`CONTEXT:  ${where}`);
  return `${lines.join("\n")}\n`;
}

const messageSchema: z.ZodType<ServerMessage> = z.object({
  severity: z.string(),
  message: z.string(),
  detail: z.string().optional(),
  hint: z.string().optional(),
  where: z.string().optional(),
  position: z.string().optional(),
});

/** Types that JSON has too: booleans, whole numbers, floating point, JSON. Everything else is text as Postgres writes it. */
const JSON_TYPES = new Set([16, 21, 23, 26, 700, 701, 114, 3802]);

const jsonOf = (oid: number) => (text: string): unknown =>
  !JSON_TYPES.has(oid) || /NaN|Infinity/.test(text)
    ? text
    : oid === 16
    ? text === "t"
    : JSON.parse(text);

async function addressOf(data: string): Promise<string | undefined> {
  const holder = await readHolder(data);
  return holder?.dbPort === undefined
    ? undefined
    : await databaseUrlOf(data, holder.dbPort);
}

async function run(args: string[]): Promise<0 | 1 | 2> {
  // A statement may begin with a comment.
  const isComment = (word: string) => /^--\s/.test(word);
  const read = argumentsSchema.safeParse(
    parseArgs([
      ...args.filter((word) => !isComment(word)),
      "--",
      ...args.filter(isComment),
    ], { string: ["db", "data"], boolean: ["json", "help"] }),
  );
  if (!read.success) {
    printError(`${usage}\n${z.prettifyError(read.error)}\n`);
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
    printError(`${usage}\nThere is no statement.\n`);
    return 2;
  }
  const url = db ?? await addressOf(data);
  if (url === undefined) {
    printError(
      `No stack is running on ${data}. Start it with \`deno task start\`, or name a database with --db.\n`,
    );
    return 1;
  }
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: 10_000,
  });
  client.on("error", () => {});
  client.on(
    "notice",
    (notice) =>
      printError(describeMessage(messageSchema.parse(notice), statement)),
  );
  const tags: string[] = [];
  client.connection
    .on("commandComplete", ({ text }) => tags.push(text))
    .on("copyData", ({ chunk }) => Deno.stdout.writeSync(chunk));
  try {
    await client.connect();
    const answer = await client.query({
      text: statement,
      rowMode: "array",
      types: { getTypeParser: json ? jsonOf : () => (text) => text },
    });
    for (const [index, { fields, rows }] of [answer].flat().entries()) {
      const tag = tags[index] ?? "";
      const columns = fields.length === 0
        ? undefined
        : fields.map(({ name }) => name);
      if (!json) say(describeResult({ tag, columns, rows }));
      else if (columns === undefined) printError(`${tag}\n`);
      else {
        for (const row of rows) {
          const members = columns.map((name, at) => [name, row[at]]);
          say(`${JSON.stringify(Object.fromEntries(members))}\n`);
        }
      }
    }
    return 0;
  } catch (error) {
    const message = messageSchema.safeParse(error);
    printError(
      message.success
        ? describeMessage(message.data, statement)
        : `${error instanceof Error ? error.message : String(error)}\n`,
    );
    return 1;
  } finally {
    await client.end();
  }
}

if (import.meta.main) Deno.exit(await run(Deno.args));
