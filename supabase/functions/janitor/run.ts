/**
 * A run of the janitor: removes what is due from Storage and from the providers, and continues reading the providers'
 * lists.
 *
 * Work is leased from the database in small parts, and each result is written immediately. A run may be killed at any
 * point and may overlap with another: unfinished work is due again when its lease expires, and removing something twice
 * is harmless.
 */
import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../_shared/database.types.ts";
import { isProviderFailing } from "../_shared/failures/catalogue.ts";
import { ProviderFailure } from "../_shared/failures/provider-failure.ts";
import type { Logger } from "../_shared/platform/log.ts";
import type { ProviderInventory } from "../_shared/providers/inventory.ts";
import { removeFiles } from "../_shared/storage/remove-files.ts";
import type { JanitorRepository, ProviderRemoval, Scan } from "./repository.ts";

/** The dependencies of a run. */
export interface JanitorDeps {
  repository: JanitorRepository;
  /** For Storage. */
  supabase: SupabaseClient<Database>;
  /** One for each provider that has a key. */
  inventories: readonly ProviderInventory[];
  /** Whether there is time to start something. */
  hasTime(): boolean;
  /** Aborts when the isolate is about to end. */
  signal: AbortSignal;
  log: Logger;
}

/** The results of a run. */
export interface JanitorSummary {
  filesScanned: number;
  filesRemoved: number;
  objectsRemoved: number;
  removalsFailed: number;
  pagesRead: number;
  rowsMissing: number;
}

const FILES_AT_ONCE = 100;
const SCANNED_AT_ONCE = 5000;
/** Small: each is a few requests to a provider, and all should end within the lease. */
const REMOVALS_AT_ONCE = 8;
const ROWS_AT_ONCE = 20;
/** Maximum number of objects with the marker of one job: a repeated call may have created two. */
const MAX_FOUND = 5;

/**
 * Runs until nothing is due or no time is left. A scan of the buckets that fails does not keep what is due from being
 * removed; its error is thrown at the end.
 *
 * @throws {AppError} when the database cannot be reached. Failures of providers and Storage are recorded, not thrown.
 */
export async function runJanitor(deps: JanitorDeps): Promise<JanitorSummary> {
  const summary: JanitorSummary = {
    filesScanned: 0,
    filesRemoved: 0,
    objectsRemoved: 0,
    removalsFailed: 0,
    pagesRead: 0,
    rowsMissing: 0,
  };
  if (!deps.hasTime()) {
    deps.log.warn("janitor_has_no_time");
    return summary;
  }
  const usable = new Map(
    deps.inventories.map((inventory) => [inventory.provider, inventory]),
  );
  let scanError: unknown;
  await scanFiles(deps, summary).catch((error) => {
    deps.log.warn("files_not_scanned", { error });
    scanError = error;
  });
  await removeDueFiles(deps, summary);
  await removeObjects(deps, usable, summary);
  for (const inventory of [...usable.values()]) {
    await scan(deps, inventory, summary);
  }
  // The scan may have queued more.
  await removeObjects(deps, usable, summary);
  if (scanError !== undefined) throw scanError;
  return summary;
}

/** Continues the scan of the buckets, which queues files without an account and without a job. */
async function scanFiles(
  deps: JanitorDeps,
  summary: JanitorSummary,
): Promise<void> {
  while (deps.hasTime()) {
    const scanned = await deps.repository.scanFiles(SCANNED_AT_ONCE);
    summary.filesScanned += scanned;
    if (scanned < SCANNED_AT_ONCE) return;
  }
}

async function removeDueFiles(
  deps: JanitorDeps,
  summary: JanitorSummary,
): Promise<void> {
  while (deps.hasTime()) {
    const files = await deps.repository.claimFiles(FILES_AT_ONCE);
    if (files.length === 0) return;
    const { removed, problem } = await removeFiles(deps.supabase, files);
    summary.filesRemoved += removed;
    summary.removalsFailed += files.length - removed;
    if (problem !== null) {
      deps.log.warn("files_not_removed", { error: problem });
      return;
    }
  }
}

async function removeObjects(
  deps: JanitorDeps,
  usable: Map<string, ProviderInventory>,
  summary: JanitorSummary,
): Promise<void> {
  while (deps.hasTime() && usable.size > 0) {
    const removals = await deps.repository.claimRemovals(
      [...usable.keys()],
      REMOVALS_AT_ONCE,
    );
    if (removals.length === 0) return;
    await Promise.all(
      removals.map(async (removal) => {
        const inventory = usable.get(removal.provider);
        if (inventory === undefined) return;
        const failure = await removeObject(deps, inventory, removal);
        if (failure === null) {
          summary.objectsRemoved++;
          return;
        }
        if (failure === "looking") return;
        summary.removalsFailed++;
        deps.log.warn("object_not_removed", {
          provider: removal.provider,
          object_type: removal.object_type,
          removal_id: removal.id,
          error: failure,
        });
        if (isProviderUnusable(failure)) usable.delete(removal.provider);
      }),
    );
  }
}

/** Removes one object and records the outcome. Returns null when the provider no longer has it. */
async function removeObject(
  deps: JanitorDeps,
  inventory: ProviderInventory,
  removal: ProviderRemoval,
): Promise<null | "looking" | ProviderFailure> {
  const { repository, signal } = deps;
  try {
    if (removal.provider_object_id !== null) {
      await inventory.remove({
        id: removal.provider_object_id,
        objectType: removal.object_type,
        madeAt: removal.made_at === null ? null : new Date(removal.made_at),
      }, signal);
    } else {
      const removed = await removeMarked(deps, inventory, removal);
      // A list may lag behind, and a call may still be running: an empty result proves nothing before its time.
      if (!removal.is_lookup_conclusive) {
        await repository.settleRemoval(removal, "looking");
        return "looking";
      }
      await repository.settleRemoval(
        removal,
        removed > 0 ? "removed" : "absent",
      );
      return null;
    }
  } catch (error) {
    if (!(error instanceof ProviderFailure)) throw error;
    await repository.settleRemoval(removal, "failed", error.code);
    return error;
  }
  await repository.settleRemoval(removal, "removed");
  return null;
}

/** Removes every object that has the marker and no owner; returns how many. */
async function removeMarked(
  { repository, signal }: JanitorDeps,
  inventory: ProviderInventory,
  removal: ProviderRemoval,
): Promise<number> {
  const marker = removal.marker ?? "";
  let last: string | null = null;
  for (let removed = 0;; removed++) {
    const id = await inventory.find(removal.object_type, marker, signal);
    // A list that lags behind may still show what has just been removed.
    if (id === null || id === last) return removed;
    last = id;
    if (
      removed === MAX_FOUND || !await repository.discardFoundObject(removal, id)
    ) {
      throw ProviderFailure.rejected("outcome_unknown");
    }
    await inventory.remove({
      id,
      objectType: removal.object_type,
      madeAt: null,
    }, signal);
  }
}

async function scan(
  deps: JanitorDeps,
  inventory: ProviderInventory,
  summary: JanitorSummary,
): Promise<void> {
  const { repository } = deps;
  if (!deps.hasTime()) return;
  const begun = await repository.beginScan(inventory.provider);
  if (begun === null) return;
  try {
    const isWhole = (begun.is_listed ||
      await readList(deps, inventory, begun, summary)) &&
      await checkUnseen(deps, inventory, begun, summary);
    // Without time the lease expires, and the next run continues.
    if (isWhole) await repository.endScan(inventory.provider, begun, null);
  } catch (error) {
    if (!(error instanceof ProviderFailure)) throw error;
    deps.log.warn("list_not_read", { provider: inventory.provider, error });
    await repository.endScan(inventory.provider, begun, error.code);
  }
}

/** Reads the list to its end; false when there was no time, or another run has taken over. */
async function readList(
  { repository, signal, hasTime }: JanitorDeps,
  inventory: ProviderInventory,
  begun: Scan,
  summary: JanitorSummary,
): Promise<boolean> {
  let cursor = begun.page_cursor;
  while (hasTime()) {
    const page = await inventory.list(cursor, signal);
    // A list that returns the same cursor would never end.
    if (page.next !== null && page.next === cursor) {
      throw ProviderFailure.unknown("provider_answer_invalid");
    }
    const isLeased = await repository.recordPage(
      inventory.provider,
      begun,
      page.objects,
      page.next,
    );
    if (!isLeased) return false;
    summary.pagesRead++;
    if (page.next === null) return true;
    cursor = page.next;
  }
  return false;
}

/**
 * Queries each object that a row names but the list did not show: it counts as missing only if the provider says so. An
 * id that the provider does not accept is passed over, so that it does not keep the scan from its end.
 */
async function checkUnseen(
  { repository, signal, hasTime, log }: JanitorDeps,
  inventory: ProviderInventory,
  begun: Scan,
  summary: JanitorSummary,
): Promise<boolean> {
  while (hasTime()) {
    const ids = await repository.unseenRows(
      inventory.provider,
      begun,
      ROWS_AT_ONCE,
    );
    if (ids.length === 0) return true;
    const missing: string[] = [];
    const present: string[] = [];
    for (const id of ids) {
      const isPresent = await inventory.has(id, signal).catch((error) => {
        if (!isRefusedId(error)) throw error;
        log.warn("object_not_checked", {
          provider: inventory.provider,
          error,
        });
        return true;
      });
      (isPresent ? present : missing).push(id);
    }
    const isLeased = await repository.noteRows(inventory.provider, begun, {
      missing,
      present,
    });
    if (!isLeased) return false;
    summary.rowsMissing += missing.length;
  }
  return false;
}

const isRefusedId = (error: unknown) =>
  error instanceof ProviderFailure && error.code === "provider_rejected_input";

/** Whether the provider fails for every object, so that this run sends it nothing more. */
function isProviderUnusable({ code, httpStatus }: ProviderFailure): boolean {
  // 409: this one object is still being rendered.
  return (isProviderFailing(code) || code === "provider_unauthorized") &&
    httpStatus !== 409;
}
