/**
 * The result cache: maps the hash of a request to the earlier job that answers it.
 *
 * An entry is only a job id. The database decides from the job's row whether its result may be reused (same owner, same
 * input, completed, not deleted). A stale, wrong or forged entry therefore costs a provider call at most, and never
 * shows one user's result to another.
 */
import { deadline } from "@std/async/deadline";
import { z } from "zod";
import { CACHE_TTL_SECONDS } from "../contracts/jobs.ts";
import type { Logger } from "../platform/log.ts";

/** Time limit of a cache call. A slower cache would save no time. */
export const CACHE_TIMEOUT_MS = 1_000;

/** The value that a store has for a key. */
const cacheEntrySchema = z.object({ job_id: z.uuid() });

/** Reads entries. It may throw any error; see {@link createCacheLookup}. */
export interface CacheReader {
  /** The value of the key, as stored, or null. */
  get(key: string): Promise<unknown>;
}

/** Stores entries. It may throw any error; see {@link createResultCache}. */
export interface CacheStore extends CacheReader {
  set(
    key: string,
    value: z.infer<typeof cacheEntrySchema>,
    userId: string,
    ttlSeconds: number,
  ): Promise<void>;
}

/** Finds an earlier job by the hash of its request. */
export interface ResultCache {
  /** An earlier job whose result answers this request, or null. Never throws. */
  find(inputHash: string): Promise<string | null>;
  /** Records that this job's result answers this request. Never throws. */
  remember(inputHash: string, jobId: string, userId: string): Promise<void>;
}

/**
 * Look-ups on top of a store. A call that throws, exceeds {@link CACHE_TIMEOUT_MS} or returns an invalid value is a
 * miss and a warning in the log.
 */
export function createCacheLookup(
  store: CacheReader,
  log: Logger,
): Pick<ResultCache, "find"> {
  return {
    async find(inputHash) {
      try {
        const value = await deadline(
          store.get(cacheKey(inputHash)),
          CACHE_TIMEOUT_MS,
        );
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
  };
}

/** {@link createCacheLookup}, and writing: a write that fails is a warning as well. */
export function createResultCache(store: CacheStore, log: Logger): ResultCache {
  return {
    ...createCacheLookup(store, log),
    async remember(inputHash, jobId, userId) {
      try {
        await deadline(
          store.set(
            cacheKey(inputHash),
            { job_id: jobId },
            userId,
            CACHE_TTL_SECONDS,
          ),
          CACHE_TIMEOUT_MS,
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

/** Redis's client quotes keys and values in its messages; only the kind of failure is logged. */
function describe(error: unknown): string {
  return error instanceof Error
    ? `${error.name}: ${error.message.split(", command was:")[0]}`
    : "unknown";
}
