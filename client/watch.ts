/**
 * Following jobs without a gap: every event once and in order, through lost connections. The table decides; a live
 * event is accepted only if it is the next one.
 */
import type { SupabaseClient } from "@supabase/supabase-js";
import { pause, throwIfAborted } from "./abort.ts";
import { isAiJobsError, NotSignedIn } from "./errors.ts";
import { isFinal, type JobEvent } from "./job-types.ts";
import type { Live } from "./live.ts";
import { isFields, readEvents, readRows, ROWS_PER_READ } from "./server.ts";

/** How events arrive: live, by polling, or not at all at the moment. */
export type Connection = "live" | "polling" | "offline";

/** What watching needs. */
export interface WatchDeps {
  supabase: SupabaseClient;
  live: Live;
  /** Milliseconds between two reads while the channel is not joined. */
  pollMs: number;
}

/** How to watch. */
export interface WatchOptions {
  /** Only events after this number; 0 is the beginning. */
  after?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called when the connection changes. */
  onConnection?: ((connection: Connection) => void) | undefined;
}

/** How often the table is read even while the channel is joined. */
const JOINED_POLL_MS = 30_000;
const MAX_BACKOFF_MS = 30_000;
/** A refused session may be in the middle of a refresh. */
const REFUSALS_TOLERATED = 3;
/** Rows may become visible slightly after their timestamp. */
const OVERLAP_MS = 10_000;

/** What one watcher receives: hints from the channel, and reads of the tables when they are due. */
class Follower {
  readonly #deps: WatchDeps;
  readonly #options: WatchOptions;
  readonly #batches: (readonly JobEvent[] | null)[] = [null];
  #wake: (() => void) | undefined;
  #failures = 0;
  #refusals = 0;
  #reported: Connection | undefined;
  /** Ends the watch. */
  readonly release: () => void;

  constructor(deps: WatchDeps, options: WatchOptions) {
    throwIfAborted(options.signal);
    this.#deps = deps;
    this.#options = options;
    this.release = deps.live.listen(this.add);
  }

  /** Adds events, or null for a read of the tables. */
  readonly add = (batch: readonly JobEvent[] | null): void => {
    const { live } = this.#deps;
    // A failed join does not shorten the delay before the next try of a read.
    if (this.#failures && !live.isJoined && !live.isClosed) return;
    if (batch === null) {
      // Reading the tables covers everything before.
      this.#batches.length = 0;
      this.#reportConnection();
    }
    this.#batches.push(batch);
    this.#wake?.();
  };

  /**
   * The events that arrived; null when the tables must be read, undefined once the client is closed. Rejects with the
   * signal's reason once it is aborted.
   */
  async next(): Promise<readonly JobEvent[] | null | undefined> {
    const { signal } = this.#options;
    throwIfAborted(signal);
    if (this.#batches.length === 0) {
      await pause(this.#nextReadMs, signal, (wake) => this.#wake = wake);
    }
    return this.#deps.live.isClosed ? undefined : this.#batches.shift() ?? null;
  }

  /** The delay until the next read, if nothing arrives before. */
  get #nextReadMs(): number {
    const { live, pollMs } = this.#deps;
    return this.#failures > 0
      ? Math.min(pollMs * 2 ** (this.#failures - 1), MAX_BACKOFF_MS)
      : live.isJoined
      ? JOINED_POLL_MS
      : pollMs;
  }

  #reportConnection(): void {
    const connection = this.#failures > 0
      ? "offline"
      : this.#deps.live.isJoined
      ? "live"
      : "polling";
    if (connection === this.#reported) return;
    this.#reported = connection;
    this.#options.onConnection?.(connection);
  }

  /**
   * What `read` returns; undefined when it fails with a temporary error: it is then due again after a growing delay.
   */
  async try<T>(read: () => Promise<T>): Promise<T | undefined> {
    try {
      const answer = await read();
      this.#failures = this.#refusals = 0;
      this.#reportConnection();
      return answer;
    } catch (error) {
      throwIfAborted(this.#options.signal);
      if (!isAiJobsError(error)) throw error;
      const isLost = error instanceof NotSignedIn
        ? ++this.#refusals > REFUSALS_TOLERATED
        : !error.retryable;
      if (isLost) throw error;
      this.#failures++;
      this.#reportConnection();
      return undefined;
    }
  }
}

/**
 * The events of one job after `after`, each once and in order. Ends after the event that ends the job.
 *
 * @param readJob called when the first read finds nothing: the job has ended, or it throws when there is no such job.
 * @throws the signal's reason once it is aborted; {@link NotSignedIn} when the session has ended, `RequestInvalid` or
 *   `NotFound` when a read is refused for good.
 */
export async function* watchJob(
  deps: WatchDeps,
  jobId: string,
  options: WatchOptions,
  readJob: () => Promise<{ status: string }>,
): AsyncGenerator<JobEvent, void, void> {
  let after = options.after ?? 0;
  let isKnown = false;
  const readNew = () => readEvents(deps.supabase, jobId, after, options.signal);
  const follower = new Follower(deps, options);
  try {
    for (;;) {
      const hint = await follower.next();
      if (hint === undefined) return;
      let batch = hint && hint.filter(({ job_id }) => job_id === jobId);
      if (batch === null || (batch[0]?.seq ?? 0) > after + 1) {
        const read = await follower.try(async () => {
          const events = await readNew();
          if (events.length > 0 || isKnown) return events;
          if (!isFinal((await readJob()).status)) return events;
          // It has ended, possibly after the first read.
          const late = await readNew();
          return late.length === 0 ? null : late;
        });
        if (read === null) return;
        if (read === undefined) continue;
        isKnown = true;
        batch = read;
      }
      for (const event of batch) {
        if (event.seq <= after) continue;
        after = event.seq;
        yield event;
        // A failed job that was retried continues after the event that ended it.
        if (event === batch.at(-1) && isFinal(event.event)) return;
      }
    }
  } finally {
    follower.release();
  }
}

/**
 * The events of all the user's jobs from now on: those of one job each once and in order. Never ends on its own.
 *
 * @throws as {@link watchJob} does.
 */
export async function* watchAllJobs(
  deps: WatchDeps,
  options: WatchOptions,
): AsyncGenerator<JobEvent, void, void> {
  const seen = new Map<string, number>();
  const readNew = changesOf(deps.supabase, seen, options.signal);
  const follower = new Follower(deps, options);
  try {
    for (;;) {
      const hint = await follower.next();
      if (hint === undefined) return;
      for (const event of hint ?? await follower.try(readNew) ?? []) {
        const known = seen.get(event.job_id) ?? 0;
        if (event.seq <= known) continue;
        if (hint !== null && event.seq > known + 1) {
          follower.add(null);
          break;
        }
        seen.set(event.job_id, event.seq);
        yield event;
      }
    }
  } finally {
    follower.release();
  }
}

/**
 * Returns the events of the user's jobs since the last call; the first call starts ten seconds back. The rows of the
 * jobs show which have new events: the timeline would need one more index for that.
 */
function changesOf(
  supabase: SupabaseClient,
  seen: Map<string, number>,
  signal: AbortSignal | undefined,
): () => Promise<JobEvent[]> {
  let since: number | undefined;
  return async () => {
    const floor = since ?? Date.now() - OVERLAP_MS;
    const changed: string[] = [];
    let newest = 0;
    let oldest = 0;
    let from = 0;
    let rows: unknown[];
    do {
      // A row that changes meanwhile moves to the front, so that none is skipped.
      rows = await readRows(
        supabase.from("ai_jobs").select("id,event_seq,updated_at")
          .gte(
            "updated_at",
            new Date(since ?? 0).toISOString(),
          )
          .order("updated_at", { ascending: false })
          .range(from, from + ROWS_PER_READ - 1),
        signal,
      );
      from += ROWS_PER_READ;
      for (const row of rows) {
        if (!isFields(row)) continue;
        const id = String(row["id"]), seq = Number(row["event_seq"]);
        oldest = Date.parse(String(row["updated_at"]));
        newest = Math.max(newest, oldest);
        if (oldest < floor) seen.set(id, seq);
        else if (seq > (seen.get(id) ?? 0)) changed.push(id);
      }
    } while (rows.length === ROWS_PER_READ && oldest >= floor);
    const events = await Promise.all(changed.map((id) => {
      const known = seen.get(id) ?? 0;
      return readEvents(supabase, id, known, signal, known ? 0 : floor);
    }));
    // By the server's clock, since the device's may be wrong.
    since = since === undefined
      ? Math.min(floor, newest)
      : Math.max(floor, newest - OVERLAP_MS);
    return events.flat();
  };
}
