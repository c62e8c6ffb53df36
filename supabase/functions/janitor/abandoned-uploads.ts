/** Ends abandoned resumable uploads, so that Storage keeps no parts of files. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { Database } from "../_shared/database.types.ts";
import { fromDatabaseError } from "../_shared/database/errors.ts";
import { JobFailure } from "../_shared/failures/job-failure.ts";
import type { Logger } from "../_shared/platform/log.ts";
import type { ResumableUploads } from "../_shared/storage/resumable-uploads.ts";

const AT_ONCE = 20;

const claimedSchema = z.array(
  z.object({ upload_id: z.string(), lease_token: z.uuid() }),
);

/** What {@link endAbandonedUploads} needs. */
export interface AbandonedUploadsDeps {
  supabase: SupabaseClient<Database>;
  uploads: Pick<ResumableUploads, "end">;
  /** Whether there is time to start something. */
  hasTime(): boolean;
  /** Aborts when the isolate is about to end. */
  signal: AbortSignal;
  log: Logger;
}

/**
 * Ends uploads until none is due or no time is left. An upload that Storage does not end is retried later.
 *
 * @returns how many were ended.
 * @throws {AppError} when the database cannot be reached.
 */
export async function endAbandonedUploads(
  { supabase, uploads, hasTime, signal, log }: AbandonedUploadsDeps,
): Promise<number> {
  let ended = 0;
  while (hasTime()) {
    const { data, error } = await supabase.rpc("claim_abandoned_uploads", {
      p_limit: AT_ONCE,
    });
    if (error) throw fromDatabaseError(error);
    const claimed = claimedSchema.parse(data);
    const [first] = claimed;
    if (first === undefined) break;
    const settle = async (ids: string[], code?: string) => {
      const { data, error } = await supabase.rpc("settle_abandoned_uploads", {
        p_upload_ids: ids,
        p_lease_token: first.lease_token,
        ...(code === undefined ? {} : { p_error_code: code }),
      });
      if (error) throw fromDatabaseError(error);
      return data;
    };
    for (const { upload_id } of claimed) {
      try {
        await uploads.end(upload_id, signal);
      } catch (failure) {
        if (!(failure instanceof JobFailure)) throw failure;
        log.warn("upload_not_ended", { upload_id, error: failure });
        await settle([upload_id], failure.code);
        continue;
      }
      ended += await settle([upload_id]);
    }
  }
  if (ended > 0) log.info("uploads_ended", { uploads: ended });
  return ended;
}
