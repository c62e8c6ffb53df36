/** Removes files whose removal this caller has leased in the database. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import { parseObjectPath } from "../contracts/object-path.ts";
import type { Database } from "../database.types.ts";
import { fromDatabaseError } from "../database/errors.ts";

/** A row of `claim_storage_removals` and `claim_lost_job_files`: a file that may be removed now. */
export const fileRemovalSchema = z.object({
  id: z.number().int(),
  lease_token: z.uuid(),
  object_path: z.string(),
});
export type FileRemoval = z.infer<typeof fileRemovalSchema>;

/** The result of a batch of removals. `problem` is the error of Storage if it did not remove all of them. */
export interface FilesRemoved {
  removed: number;
  problem: Error | null;
}

/**
 * Deletes the files of one lease from Storage and settles them in the database, which checks itself which files are
 * gone. The others are due again later.
 *
 * @param supabase the service's client.
 * @throws {AppError} when the database cannot be reached; an error of Storage is part of the result and is not thrown.
 */
export async function removeFiles(
  supabase: SupabaseClient<Database>,
  files: readonly FileRemoval[],
): Promise<FilesRemoved> {
  const [first] = files;
  if (first === undefined) return { removed: 0, problem: null };
  const byBucket = Map.groupBy(
    files.map(({ object_path }) => parseObjectPath(object_path))
      .filter((object) => object !== null),
    ({ bucket }) => bucket,
  );
  let problem: Error | null = null;
  for (const [bucket, objects] of byBucket) {
    const { error } = await supabase.storage.from(bucket).remove(
      objects.map(({ path }) => path),
    );
    if (error) problem = error;
  }
  const { data, error } = await supabase.rpc("settle_storage_removals", {
    p_ids: files.map(({ id }) => id),
    p_lease_token: first.lease_token,
    ...(problem === null ? {} : { p_error_code: "storage_unavailable" }),
  });
  if (error) throw fromDatabaseError(error);
  return { removed: z.number().int().parse(data), problem };
}

/**
 * Removes the files in the folder of a job whose lease is lost, if the job was deleted, alone or with its account.
 * While the job exists, its files belong to another worker or its owner.
 *
 * @param supabase the service's client.
 * @returns how many files were removed.
 * @throws {AppError} when the database cannot be reached. The janitor removes the files that remain.
 */
export async function removeLostFiles(
  supabase: SupabaseClient<Database>,
  job: { id: string; user_id: string },
): Promise<number> {
  const { data, error } = await supabase.rpc("claim_lost_job_files", {
    p_user_id: job.user_id,
    p_job_id: job.id,
  });
  if (error) throw fromDatabaseError(error);
  const files = z.array(fileRemovalSchema).parse(data);
  return (await removeFiles(supabase, files)).removed;
}
