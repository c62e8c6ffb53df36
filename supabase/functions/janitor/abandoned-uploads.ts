/** Ends abandoned resumable uploads, so that Storage keeps no parts of files. */
import { JobFailure } from "../_shared/failures/job-failure.ts";
import type { Logger } from "../_shared/platform/log.ts";
import type { ResumableUploads } from "../_shared/storage/resumable-uploads.ts";
import type { JanitorRepository } from "./repository.ts";

const AT_ONCE = 20;

/** What {@link endAbandonedUploads} needs. */
export interface AbandonedUploadsDeps {
  repository: Pick<JanitorRepository, "claimUploads" | "settleUpload">;
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
  { repository, uploads, hasTime, signal, log }: AbandonedUploadsDeps,
): Promise<number> {
  let ended = 0;
  while (hasTime()) {
    const claimed = await repository.claimUploads(AT_ONCE);
    if (claimed.length === 0) break;
    for (const upload of claimed) {
      try {
        await uploads.end(upload.upload_id, signal);
      } catch (failure) {
        if (!(failure instanceof JobFailure)) throw failure;
        log.warn("upload_not_ended", {
          upload_id: upload.upload_id,
          error: failure,
        });
        await repository.settleUpload(upload, failure.code);
        continue;
      }
      ended += await repository.settleUpload(upload);
    }
  }
  if (ended > 0) log.info("uploads_ended", { uploads: ended });
  return ended;
}
