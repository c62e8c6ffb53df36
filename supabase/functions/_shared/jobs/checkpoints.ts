/** Checkpoints: the progress that a job saves for its next claim. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { Database, Json } from "../database.types.ts";
import { fromDatabaseError } from "../database/errors.ts";
import { dataApi, functionCaller } from "../database/rpc.ts";
import { LeaseLost } from "./outcome.ts";
import type { Lease } from "./repository.ts";
import { retryWrite } from "./write-retries.ts";

const rowSchema = z.object({
  data: z.json(),
  upload_id: z.string().nullable(),
}).nullable();

/** The saved progress of a job. */
export interface Checkpoint {
  data: Json;
  /** A resumable upload that the job has started. The janitor removes it if the job does not finish it. */
  uploadId: string | null;
}

/**
 * Checkpoints of claimed jobs. They are deleted when the job ends, so a retried job starts from the beginning.
 *
 * Both methods throw an AppError when the database cannot be reached or refuses; `save` throws {@link LeaseLost}, and
 * changes nothing, when another worker owns the job. `save` is retried like the repository's writes.
 */
export interface Checkpoints {
  read(lease: Lease): Promise<Checkpoint | null>;
  save(lease: Lease, checkpoint: Checkpoint): Promise<void>;
}

/** The checkpoints over the Data API. `supabase` needs the rights of the service. */
export function createCheckpoints(
  supabase: SupabaseClient<Database>,
): Checkpoints {
  const call = functionCaller(dataApi(supabase));
  return {
    async read(lease) {
      const { data, error } = await supabase.from("ai_job_checkpoints")
        .select("data,upload_id").eq("job_id", lease.id).maybeSingle();
      if (error) throw fromDatabaseError(error);
      const row = rowSchema.parse(data);
      return row && { data: row.data, uploadId: row.upload_id };
    },
    async save(lease, { data, uploadId }) {
      const isSaved = await retryWrite(() =>
        call("save_ai_job_checkpoint", {
          p_job_id: lease.id,
          p_lease_token: lease.lease_token,
          p_data: data,
          ...(uploadId === null ? {} : { p_upload_id: uploadId }),
        }, z.boolean())
      );
      if (!isSaved) throw new LeaseLost();
    },
  };
}
