/**
 * The result cache: from the hash of a request to the earlier job that answers it.
 *
 * An entry is only a job id. Whether that job's result may be reused is decided by the database from the job's own
 * row (same owner, same input, completed, still there), so a cache that is stale, wrong or forged costs a provider
 * call at worst and never shows anything to anybody.
 */
import { z } from "zod";
import type { Logger } from "../platform/log.ts";

/** How long an entry is kept. The job type's own `cache_ttl_seconds` may make it count for less. */
export const CACHE_TTL_SECONDS = 24 * 60 * 60;

/** Longest wait for the cache: it is there to save time. */
export const CACHE_TIMEOUT_MS = 1_000;

/** What a store keeps under a key. */
export const cacheEntrySchema = z.object({ job_id: z.uuid() });

/** A place where entries are kept. A store may throw whatever it likes; see {@link createResultCache}. */
export interface CacheStore {
  /** The value under the key as the store has it, or null. */
  get(key: string): Promise<unknown>;
  set(
    key: string,
    value: z.infer<typeof cacheEntrySchema>,
    userId: string,
    ttlSeconds: number,
  ): Promise<void>;
}

/** Where an earlier equal job may be found, by hash of the request. */
export interface ResultCache {
  /** The job that answered this request before, or null. Never throws. */
  find(inputHash: string): Promise<string | null>;
  /** Remembers that this job answers this request. Never throws. */
  remember(inputHash: string, jobId: string, userId: string): Promise<void>;
}

/**
 * Makes any store harmless: a call that throws, takes longer than {@link CACHE_TIMEOUT_MS} or answers nonsense is a
 * miss and a warning in the log.
 */
export function createResultCache(store: CacheStore, log: Logger): ResultCache {
  return {
    async find(inputHash) {
      try {
        const value = await within(store.get(cacheKey(inputHash)));
        if (value === null || value === undefined) return null;
        const entry = cacheEntrySchema.safeParse(value);
        if (!entry.success) {
          log.warn("cache_entry_ignored", { input_hash: inputHash });
        }
        return entry.data?.job_id ?? null;
      } catch (error) {
        log.warn("cache_unavailable", {
          operation: "get",
          error: describe(error),
        });
        return null;
      }
    },
    async remember(inputHash, jobId, userId) {
      try {
        await within(
          store.set(
            cacheKey(inputHash),
            { job_id: jobId },
            userId,
            CACHE_TTL_SECONDS,
          ),
        );
      } catch (error) {
        log.warn("cache_unavailable", {
          operation: "set",
          error: describe(error),
        });
      }
    },
  };
}

/** `ai_job:` and the SHA-256 that the database computed over job type, owner, input version and parameters. */
export function cacheKey(inputHash: string): string {
  return `ai_job:${inputHash}`;
}

async function within<T>(work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new Error(`no answer within ${CACHE_TIMEOUT_MS} ms`)),
      CACHE_TIMEOUT_MS,
    );
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** The client of Redis quotes keys and values in its messages; the log gets the kind of failure only. */
function describe(error: unknown): string {
  return error instanceof Error
    ? `${error.name}: ${error.message.split(", command was:")[0]}`
    : "unknown";
}
