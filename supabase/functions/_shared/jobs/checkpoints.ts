/** What a job that takes several claims writes down for the next one. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { Database, Json } from "../database.types.ts";
import { fromDatabaseError } from "../database/errors.ts";
import { LeaseLost } from "./outcome.ts";
import type { Lease } from "./repository.ts";

const rowSchema = z.object({
  data: z.json(),
  upload_id: z.string().nullable(),
}).nullable();

/** How far a job has come. */
export interface Checkpoint {
  data: Json;
  /** A resumable upload that the job has begun; the janitor ends one that the job does not finish. */
  uploadId: string | null;
}

/**
 * Checkpoints of claimed jobs. They are gone when the job has ended, so that one that is retried begins anew.
 *
 * Both throw an AppError when the database cannot be reached or refuses; `save` throws {@link LeaseLost} when the job is
 * no longer ours, and has then changed nothing.
 */
export interface Checkpoints {
  read(lease: Lease): Promise<Checkpoint | null>;
  save(lease: Lease, checkpoint: Checkpoint): Promise<void>;
}

/** The checkpoints through the Data API with the secret key. */
export function createCheckpoints(
  supabase: SupabaseClient<Database>,
): Checkpoints {
  return {
    async read(lease) {
      const { data, error } = await supabase.from("ai_job_checkpoints")
        .select("data,upload_id").eq("job_id", lease.id).maybeSingle();
      if (error) throw fromDatabaseError(error);
      const row = rowSchema.parse(data);
      return row && { data: row.data, uploadId: row.upload_id };
    },
    async save(lease, { data, uploadId }) {
      const saved = await supabase.rpc("save_ai_job_checkpoint", {
        p_job_id: lease.id,
        p_lease_token: lease.lease_token,
        p_data: data,
        ...(uploadId === null ? {} : { p_upload_id: uploadId }),
      });
      if (saved.error) throw fromDatabaseError(saved.error);
      if (!saved.data) throw new LeaseLost();
    },
  };
}
