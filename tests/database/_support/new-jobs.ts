/** Jobs as an app inserts them with supabase-js: as its user, with the columns that it may set. */
import { assert } from "@std/assert";
import type postgres from "postgres";
import type { TestDatabase } from "../../_support/database.ts";
import type { Job } from "./queue.ts";

/** Columns of a row to insert. */
export type Columns = Record<
  string,
  postgres.SerializableParameter | postgres.Parameter
>;

/** Inserts as supabase-js does for that user: only these columns, and returns the row. */
export function insertAs(
  db: TestDatabase,
  userId: string,
  columns: Columns,
): Promise<Job> {
  return db.asUser(userId, async (sql) => {
    const [job] = await sql<
      Job[]
    >`insert into public.ai_jobs ${sql(columns)} returning *`;
    assert(job !== undefined);
    return job;
  });
}

/** The columns that an app sends for a voice clone. */
export function voiceClone(db: TestDatabase, inputUrl: string): Columns {
  return {
    job_type: "voice_clone",
    input_url: inputUrl,
    metadata: db.sql.json({ voice_name: "Grandpa" }),
  };
}
