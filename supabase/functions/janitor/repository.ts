/** The janitor's queues, as the database offers them. */
import { z } from "zod";
import type { VerifiedDispatch } from "../_shared/http/dispatch-signature.ts";
import { functionCaller, type Rpc } from "../_shared/database/rpc.ts";
import type { ListedObject } from "../_shared/providers/inventory.ts";
import {
  type FileRemoval,
  fileRemovalSchema,
} from "../_shared/storage/remove-files.ts";

const removalSchema = z.object({
  id: z.number().int(),
  lease_token: z.uuid(),
  provider: z.string(),
  object_type: z.string(),
  provider_object_id: z.string().nullable(),
  marker: z.string().nullable(),
  made_at: z.string().nullable(),
  is_lookup_conclusive: z.boolean(),
});
/** An object at a provider that is due to be removed. */
export type ProviderRemoval = z.infer<typeof removalSchema>;

const begunRunSchema = z.object({
  jobs_deleted: z.number().int(),
  jobs_checked: z.number().int(),
});
/** What the database has done at the start of a run: old jobs deleted, cancelled and failed ones checked. */
export type BegunRun = z.infer<typeof begunRunSchema>;

const scanSchema = z.object({
  lease_token: z.uuid(),
  page_cursor: z.string().nullable(),
  is_listed: z.boolean(),
});
/** A leased scan of a provider's list. `is_listed`: its last page has been read. */
export type Scan = z.infer<typeof scanSchema>;

const abandonedUploadSchema = z.object({
  upload_id: z.string(),
  lease_token: z.uuid(),
});
/** A resumable upload that no job will finish. All of one claim have the same lease token. */
export type AbandonedUpload = z.infer<typeof abandonedUploadSchema>;

/** The outcome of a removal; see the comment on `settle_provider_removal`. */
export type RemovalOutcome = "removed" | "absent" | "looking" | "failed";

/**
 * The comments of the SQL functions say what each guarantees. `false` means that the lease is lost and nothing was
 * changed. Every method throws an AppError when the database cannot be reached or refuses.
 */
export interface JanitorRepository {
  /**
   * @returns how many ended jobs it checked for leftovers.
   * @throws {AppError} `dispatch_stale` and `dispatch_replayed`.
   */
  beginRun(dispatch: VerifiedDispatch): Promise<BegunRun>;
  claimFiles(limit: number): Promise<FileRemoval[]>;
  /**
   * Continues the scan of the buckets for files without account or job, by up to `limit` objects.
   * @returns how many it scanned; fewer than `limit` means that the scan is complete for now.
   */
  scanFiles(limit: number): Promise<number>;
  claimRemovals(
    providers: readonly string[],
    limit: number,
  ): Promise<ProviderRemoval[]>;
  /** Whether an object that was found by its marker may be removed: no row names it, and no job may use it. */
  discardFoundObject(
    removal: ProviderRemoval,
    objectId: string,
  ): Promise<boolean>;
  settleRemoval(
    removal: ProviderRemoval,
    outcome: RemovalOutcome,
    errorCode?: string,
  ): Promise<boolean>;
  claimUploads(limit: number): Promise<AbandonedUpload[]>;
  /** Resolves with how many of the uploads were settled. Without an error code they have ended. */
  settleUpload(upload: AbandonedUpload, errorCode?: string): Promise<number>;
  beginScan(provider: string): Promise<Scan | null>;
  recordPage(
    provider: string,
    scan: Scan,
    objects: readonly ListedObject[],
    next: string | null,
  ): Promise<boolean>;
  unseenRows(provider: string, scan: Scan, limit: number): Promise<string[]>;
  noteRows(
    provider: string,
    scan: Scan,
    rows: { missing: string[]; present: string[] },
  ): Promise<boolean>;
  endScan(
    provider: string,
    scan: Scan,
    errorCode: string | null,
  ): Promise<boolean>;
}

/** The janitor's functions over `rpc`, which needs the rights of the service. */
export function createJanitorRepository(rpc: Rpc): JanitorRepository {
  const call = functionCaller(rpc);
  const fence = (provider: string, scan: Scan) => ({
    p_provider: provider,
    p_lease_token: scan.lease_token,
  });

  return {
    beginRun: ({ messageId, sentAtUnix }) =>
      call("begin_janitor_run", {
        p_message_id: messageId,
        p_sent_at_unix: sentAtUnix,
      }, z.tuple([begunRunSchema])).then(([begun]) => begun),
    claimFiles: (limit) =>
      call(
        "claim_storage_removals",
        { p_limit: limit },
        z.array(fileRemovalSchema),
      ),
    scanFiles: (limit) =>
      call("scan_stored_files", { p_limit: limit }, z.number()),
    claimRemovals: (providers, limit) =>
      call("claim_provider_removals", {
        p_providers: [...providers],
        p_limit: limit,
      }, z.array(removalSchema)),
    discardFoundObject: (removal, objectId) =>
      call("discard_found_object", {
        p_id: removal.id,
        p_lease_token: removal.lease_token,
        p_provider_object_id: objectId,
      }, z.boolean()),
    settleRemoval: (removal, outcome, errorCode) =>
      call("settle_provider_removal", {
        p_id: removal.id,
        p_lease_token: removal.lease_token,
        p_outcome: outcome,
        ...(errorCode === undefined ? {} : { p_error_code: errorCode }),
      }, z.boolean()),
    claimUploads: (limit) =>
      call(
        "claim_abandoned_uploads",
        { p_limit: limit },
        z.array(abandonedUploadSchema),
      ),
    settleUpload: (upload, errorCode) =>
      call("settle_abandoned_uploads", {
        p_upload_ids: [upload.upload_id],
        p_lease_token: upload.lease_token,
        ...(errorCode === undefined ? {} : { p_error_code: errorCode }),
      }, z.number()),
    async beginScan(provider) {
      const [scan] = await call(
        "begin_provider_scan",
        { p_provider: provider },
        z.array(scanSchema),
      );
      return scan ?? null;
    },
    recordPage: (provider, scan, objects, next) =>
      call("record_provider_page", {
        ...fence(provider, scan),
        p_objects: objects.map(({ id, type, jobId }) => ({
          object_id: id,
          object_type: type,
          job_id: jobId,
        })),
        ...(next === null ? {} : { p_next_cursor: next }),
      }, z.boolean()),
    unseenRows: (provider, scan, limit) =>
      call("unseen_provider_rows", {
        ...fence(provider, scan),
        p_limit: limit,
      }, z.array(z.string())),
    noteRows: (provider, scan, { missing, present }) =>
      call("record_provider_rows", {
        ...fence(provider, scan),
        p_missing: missing,
        p_present: present,
      }, z.boolean()),
    endScan: (provider, scan, errorCode) =>
      call("end_provider_scan", {
        ...fence(provider, scan),
        ...(errorCode === null ? {} : { p_error_code: errorCode }),
      }, z.boolean()),
  };
}
