/** Writes of a runner that are told again when the database does not answer. */
import { AppError } from "../failures/app-error.ts";
import type { JobRepository } from "./repository.ts";

/** Milliseconds before each further telling: eight seconds in all, which a restart of the database or a deploy lasts. */
const PAUSES_MS = [250, 500, 1_000, 2_000, 4_000];

/**
 * The same repository, whose writes that carry a lease are told again while it throws `service_unavailable`.
 *
 * Guarantees: nothing happens twice. An ending that was written although its answer was lost has ended the lease, and is
 * then answered as lost; a paid call is begun and settled under an id of its own, and answered as the first time; to revise
 * one twice is to revise it once. Not told again: claims, heartbeats and the wake, since whoever waits for those has other
 * ways, and reading, which supabase-js repeats by itself. Throws what the last telling throws, and every other error at once.
 *
 * @param sleep resolves after so many milliseconds.
 */
export function repeatWrites(
  repository: JobRepository,
  sleep: (ms: number) => Promise<void>,
): JobRepository {
  async function repeated<T>(write: () => Promise<T>): Promise<T> {
    for (const ms of PAUSES_MS) {
      try {
        return await write();
      } catch (error) {
        if (!isAway(error)) throw error;
        await sleep(ms);
      }
    }
    return await write();
  }
  return {
    claimDispatched: (...args) => repository.claimDispatched(...args),
    claimDue: (...args) => repository.claimDue(...args),
    heartbeat: (...args) => repository.heartbeat(...args),
    wake: () => repository.wake(),
    dependencyOf: (...args) => repository.dependencyOf(...args),
    beginProviderCall: (...args) =>
      repeated(() => repository.beginProviderCall(...args)),
    settleProviderCall: (...args) =>
      repeated(() => repository.settleProviderCall(...args)),
    reviseProviderCall: (...args) =>
      repeated(() => repository.reviseProviderCall(...args)),
    complete: (...args) => repeated(() => repository.complete(...args)),
    reuseResult: (...args) => repeated(() => repository.reuseResult(...args)),
    fail: (...args) => repeated(() => repository.fail(...args)),
    cancel: (...args) => repeated(() => repository.cancel(...args)),
    snooze: (...args) => repeated(() => repository.snooze(...args)),
    release: (...args) => repeated(() => repository.release(...args)),
  };
}

function isAway(error: unknown): boolean {
  return error instanceof AppError && error.code === "service_unavailable";
}
