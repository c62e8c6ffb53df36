import { assert, assertEquals } from "@std/assert";
import { getAuthSchemaSql, getStorageSchemaSql } from "@supabase/lite";
import { parse } from "libpg-query";
import { z } from "zod";

const script = z.object({
  stmts: z.array(z.object({
    stmt: z.looseObject({
      CreateStmt: z.object({
        relation: z.object({ schemaname: z.string(), relname: z.string() }),
        tableElts: z.array(z.looseObject({
          ColumnDef: z.object({ colname: z.string() }).optional(),
        })),
      }).optional(),
      CreateFunctionStmt: z.object({
        funcname: z.array(z.object({ String: z.object({ sval: z.string() }) })),
      }).optional(),
    }),
  })),
});

/** `schema.table.column` of every column and `schema.function()` of every function that a script creates. */
async function created(sql: string): Promise<Set<string>> {
  const names = new Set<string>();
  for (const { stmt } of script.parse(await parse(sql)).stmts) {
    const { CreateStmt: table, CreateFunctionStmt: fn } = stmt;
    for (const { ColumnDef } of table?.tableElts ?? []) {
      if (!table || !ColumnDef) continue;
      const { schemaname, relname } = table.relation;
      names.add(`${schemaname}.${relname}.${ColumnDef.colname}`);
    }
    if (fn) {
      names.add(fn.funcname.map((one) => one.String.sval).join(".") + "()");
    }
  }
  return names;
}

const bootstrap = (name: string) =>
  Deno.readTextFile(
    new URL(
      `../../../../dev/stack/postgres/bootstrap/${name}`,
      import.meta.url,
    ),
  );

Deno.test("bootstrap: has every column and function that the embedded Auth and Storage need", async () => {
  for (
    const [needed, file] of [
      [getAuthSchemaSql(), "30-auth.sql"],
      [getStorageSchemaSql(), "40-storage.sql"],
    ] as const
  ) {
    const wanted = await created(needed);
    const present = await created(await bootstrap(file));
    assert(wanted.size > 20, "the schema of the library was read");
    assertEquals([...wanted.difference(present)], [], file);
  }
});
