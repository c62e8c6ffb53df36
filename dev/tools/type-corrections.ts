/** Corrections of the Supabase CLI's types: columns that a trigger fills, and function results that may be null. */
import type postgres from "postgres";
import ts from "typescript";

/** A member of the types, as the keys from `Database["public"]`. */
export type TypePath = readonly string[];

/** Results that may be null, which Postgres cannot declare. */
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
 * The columns that are required, have no default, and get a value from a row trigger before the insert, so that an
 * insert may omit them. Found in the triggers' sources as assignments to `new.<column>`.
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
        -- For each row, before insert: the bits of pg_trigger.tgtype.
        and t.tgtype & 7 = 7
        -- A value derived from the sent one fills in nothing, except with coalesce.
        and p.prosrc ~ (
          '\\mnew\\.' || a.attname || '\\s*:=\\s*(coalesce\\(|(?![^;]*\\mnew\\.' || a.attname || '\\M))'
        )
      order by 1, 2`,
  ];
}

/**
 * The CLI's types with `columns` optional on insert, and function results nullable where they may be null. Nothing else
 * changes.
 *
 * @throws {Error} when the types lack a member that needs a correction.
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
  // From the end, so that earlier offsets stay valid.
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
    // A function that returns a table returns an array of rows.
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
