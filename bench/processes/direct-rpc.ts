/**
 * The database's functions over a direct connection, for the product's repository. The difference to the product's
 * figures is the cost of the Data API.
 */
import postgres from "postgres";
import type { Json } from "../../supabase/functions/_shared/database.types.ts";
import type {
  DatabaseError,
  Rpc,
} from "../../supabase/functions/_shared/database/rpc.ts";

type Value = postgres.ParameterOrJSON<never>;

/** Calls functions of the schema `public` over `sql`, whose role must be service_role, as the Data API calls them. */
export async function createDirectRpc(sql: postgres.Sql): Promise<Rpc> {
  const rows = await sql`
    select distinct p.proname as name from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.proretset`;
  const returnRows = new Set(rows.map((row) => String(row["name"])));

  return async (name, args) => {
    const named: Readonly<Record<string, Json | undefined>> = args;
    const given = Object.entries(named).filter(([, value]) =>
      value !== undefined
    );
    const values = given.map(([, value]): Value =>
      typeof value === "object" && value !== null
        ? sql.json(value)
        : value ?? null
    );
    const call = `public.${name}(${
      given.map(([key], index) => `${key} => $${index + 1}`).join(", ")
    })`;
    const query = returnRows.has(name)
      ? `select coalesce(jsonb_agg(to_jsonb(r)), '[]') as data from ${call} as r`
      : `select ${call} as data`;
    try {
      const [row] = await sql.unsafe(query, values, { prepare: true });
      return { data: row?.["data"], error: null };
    } catch (error) {
      return { data: null, error: toDatabaseError(error) };
    }
  };
}

function toDatabaseError(error: unknown): DatabaseError {
  // Any other error has no SQLSTATE: it is a lost connection.
  return error instanceof postgres.PostgresError
    ? {
      code: error.code,
      message: error.message,
      details: error.detail ?? null,
    }
    : { code: "", message: String(error) };
}
