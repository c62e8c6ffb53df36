/** Whether a project has the shop: it may leave out that module. */
import type { SupabaseClient } from "@supabase/supabase-js";

type Database = Pick<SupabaseClient, "from">;

/** What PostgREST answers for an unknown table, and what version 12 passed on from Postgres. */
const UNKNOWN_TABLE: readonly unknown[] = ["PGRST205", "42P01"];

const answers = new WeakMap<Database, Promise<boolean>>();

/**
 * Whether the project has the shop's tables. A project may leave out that module, so one request finds out for all books.
 *
 * @throws the error of the Data API; the next call sends the request again.
 */
export function hasShop(database: Database): Promise<boolean> {
  const known = answers.get(database);
  if (known !== undefined) return known;
  const answer = findShop(database);
  answers.set(database, answer);
  answer.catch(() => answers.delete(database));
  return answer;
}

async function findShop(database: Database): Promise<boolean> {
  const { error } = await database.from("order_items").select("id").limit(1);
  if (error === null) return true;
  if (UNKNOWN_TABLE.includes(error.code)) return false;
  throw error;
}
