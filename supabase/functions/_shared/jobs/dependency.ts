/** The job that another one depends on. */
import type { SupabaseClient } from "@supabase/supabase-js";
import {
  type ClaimedJob,
  type Dependency,
  dependencySchema,
} from "../contracts/jobs.ts";
import type { Database } from "../database.types.ts";
import { fromDatabaseError } from "../database/errors.ts";

/**
 * Resolves with the completed job that `job` depends on; null when it names none, or when that job was deleted.
 *
 * @throws {AppError} when the database cannot be reached or refuses.
 */
export type DependencyLookup = (
  job: Pick<ClaimedJob, "user_id" | "depends_on_job_id">,
) => Promise<Dependency | null>;

/** Looks dependencies up over the Data API. The service's client sees every job, so the owner is part of the query. */
export function createDependencyLookup(
  supabase: SupabaseClient<Database>,
): DependencyLookup {
  return async ({ user_id, depends_on_job_id }) => {
    if (depends_on_job_id === null) return null;
    const { data, error } = await supabase.from("ai_jobs")
      .select(Object.keys(dependencySchema.shape).join(","))
      .eq("id", depends_on_job_id).eq("user_id", user_id)
      .eq("status", "completed").maybeSingle();
    if (error) throw fromDatabaseError(error);
    return dependencySchema.nullable().parse(data);
  };
}
