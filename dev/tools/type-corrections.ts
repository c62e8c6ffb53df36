/**
 * What the Supabase CLI cannot know when it writes the types of a database: which columns a trigger fills, and which
 * results of a function may be null.
 */
import type postgres from "postgres";
import ts from "typescript";

/** A member of the types, as the keys on the way to it from `Database["public"]`. */
export type TypePath = readonly string[];

/** Results that are null at times, which Postgres declares nowhere. */
const NULLABLE_RESULTS: readonly TypePath[] = [
  ["Functions", "get_ai_budget", "Returns", "budget_micros"],
  ["Functions", "get_ai_budget", "Returns", "remaining_micros"],
];

/** A column of schema `public`. */
export interface Column {
  table: string;
  column: string;
}

/**
 * The columns that must have a value, have no default, and get one from a row trigger before the insert: an insert
 * that leaves them out succeeds. Read from the triggers' sources, where such a value is assigned to `new.<column>`.
 */
export async function columnsFilledByTriggers(
  sql: postgres.Sql,
): Promise<Column[]> {
  return [
    ...await sql<Column[]>`
      select distinct c.relname as table, a.attname as column
      from pg_class as c
      join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      join pg_trigger as t on t.tgrelid = c.oid and not t.tgisinternal
      join pg_proc as p on p.oid = t.tgfoid
      where c.relnamespace = 'public'::regnamespace
        and c.relkind in ('r', 'p')
        and a.attnotnull
        and not a.atthasdef
        and a.attidentity = ''
        -- For each row, before, at an insert: the bits of pg_trigger.tgtype.
        and t.tgtype & 7 = 7
        -- A value that is made of the one that was sent fills in nothing, but for coalesce.
        and p.prosrc ~ (
          '\\mnew\\.' || a.attname || '\\s*:=\\s*(coalesce\\(|(?![^;]*\\mnew\\.' || a.attname || '\\M))'
        )
      order by 1, 2`,
  ];
}

/**
 * The types of the CLI with `columns` optional on insert and the results of functions nullable that are so. Nothing
 * else changes.
 *
 * @throws {Error} when the types lack a member that is to be corrected.
 */
export function correctTypes(
  source: string,
  columns: readonly Column[],
  nullable: readonly TypePath[] = NULLABLE_RESULTS,
): string {
  const file = ts.createSourceFile(
    "types.ts",
    source,
    ts.ScriptTarget.Latest,
    true,
  );
  const edits = [
    ...columns.map(({ table, column }) => ({
      at: memberAt(file, ["Tables", table, "Insert", column]).name.getEnd(),
      text: "?",
    })),
    ...nullable.map((path) => ({
      at: (memberAt(file, path).type ?? file).getEnd(),
      text: " | null",
    })),
  ];
  // From the end, so that what comes before stays where it is.
  return edits.sort((a, b) => b.at - a.at).reduce(
    (text, { at, text: added }) => text.slice(0, at) + added + text.slice(at),
    source,
  );
}

function memberAt(file: ts.SourceFile, path: TypePath): ts.PropertySignature {
  const root = file.statements.find((statement) =>
    ts.isTypeAliasDeclaration(statement) && statement.name.text === "Database"
  );
  let type = root && ts.isTypeAliasDeclaration(root) ? root.type : undefined;
  let found: ts.PropertySignature | undefined;
  for (const name of ["public", ...path]) {
    // A function that returns a table returns an array of its rows.
    const members = type && ts.isArrayTypeNode(type) ? type.elementType : type;
    found = members && ts.isTypeLiteralNode(members)
      ? members.members.filter(ts.isPropertySignature).find((member) =>
        (ts.isIdentifier(member.name) || ts.isStringLiteral(member.name)) &&
        member.name.text === name
      )
      : undefined;
    type = found?.type;
  }
  if (found === undefined) {
    throw new Error(`the types have no ${path.join(".")}`);
  }
  return found;
}
