/**
 * Following jobs without a gap: every event once and in order, through lost connections. The table is the truth; a live
 * event is believed only when it is the very next one.
 */
import type { SupabaseClient } from "@supabase/supabase-js";
import { onAbort, throwIfAborted } from "./abort.ts";
import { isAiJobsError, NotSignedIn } from "./errors.ts";
import { isFinal, type JobEvent } from "./job-types.ts";
import type { Live } from "./live.ts";
import {
  EVENT_COLUMNS,
  EVENTS_PER_READ,
  readEvents,
  toEvents,
} from "./server.ts";

/** How events come: by themselves, by polling, or not at all at the moment. */
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

/** While the channel is joined the table is read this often all the same. */
const SILENCE_MS = 30_000;
const LONGEST_PAUSE_MS = 30_000;
/** A session that is refused may be one that is being refreshed. */
const REFUSALS_TOLERATED = 3;
/** Rows may become visible a little later than their time says. */
const OVERLAP_MS = 10_000;

/** Waits for hints, the end of a time, or the signal, whichever comes first. */
class Inbox {
  readonly #batches: (readonly JobEvent[] | null)[] = [null];
  #wake: (() => void) | undefined;

  readonly add = (batch: readonly JobEvent[] | null): void => {
    // Reading the table covers everything before.
    if (batch === null) this.#batches.length = 0;
    this.#batches.push(batch);
    this.#wake?.();
  };

  /** What came; null after `ms` without anything. Rejects with the signal's reason once it is aborted. */
  async next(
    ms: number,
    signal: AbortSignal | undefined,
  ): Promise<readonly JobEvent[] | null> {
    throwIfAborted(signal);
    if (this.#batches.length === 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(wake, ms);
        const forget = onAbort(signal, wake);
        function wake() {
          clearTimeout(timer);
          forget?.();
          resolve();
        }
        this.#wake = wake;
      });
      this.#wake = undefined;
      throwIfAborted(signal);
    }
    return this.#batches.shift() ?? null;
  }
}

/** Repeats reads that fail, with growing pauses, and says how events come. */
class Reader {
  readonly #deps: WatchDeps;
  readonly #options: WatchOptions;
  #failures = 0;
  #refusals = 0;
  #said: Connection | undefined;

  constructor(deps: WatchDeps, options: WatchOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** The pause until the next read, if nothing arrives by itself. */
  get pauseMs(): number {
    if (this.#failures > 0) {
      return Math.min(
        this.#deps.pollMs * 2 ** (this.#failures - 1),
        LONGEST_PAUSE_MS,
      );
    }
    return this.#deps.live.isJoined ? SILENCE_MS : this.#deps.pollMs;
  }

  say(): void {
    const connection = this.#failures > 0
      ? "offline"
      : this.#deps.live.isJoined
      ? "live"
      : "polling";
    if (connection === this.#said) return;
    this.#said = connection;
    this.#options.onConnection?.(connection);
  }

  /** What `read` gives; undefined when it fails in a way that may pass. */
  async try<T>(read: () => Promise<T>): Promise<T | undefined> {
    try {
      const answer = await read();
      this.#failures = 0;
      this.#refusals = 0;
      this.say();
      return answer;
    } catch (error) {
      throwIfAborted(this.#options.signal);
      if (!isAiJobsError(error)) throw error;
      if (error instanceof NotSignedIn) {
        this.#refusals += 1;
        if (this.#refusals > REFUSALS_TOLERATED) throw error;
      } else if (!error.retryable) throw error;
      this.#failures += 1;
      this.say();
      return undefined;
    }
  }
}

/**
 * The events of one job, each once and in order, after `after`. Ends after the event that ends the job.
 *
 * @param readJob called when the first read finds nothing: the job has ended, or it throws when there is no such job.
 * @throws the signal's reason once it is aborted; {@link NotSignedIn} when the session has ended.
 */
export async function* watchJob(
  deps: WatchDeps,
  jobId: string,
  options: WatchOptions,
  readJob: () => Promise<{ status: string }>,
): AsyncGenerator<JobEvent, void, void> {
  const { signal } = options;
  throwIfAborted(signal);
  let after = options.after ?? 0;
  let isKnown = false;
  const inbox = new Inbox();
  const reader = new Reader(deps, options);
  const release = deps.live.listen({
    jobId,
    onEvents: inbox.add,
    onChange: () => reader.say(),
  });
  try {
    while (!deps.live.isClosed) {
      let batch = await inbox.next(reader.pauseMs, signal);
      if (deps.live.isClosed) return;
      if (batch === null || (batch[0]?.seq ?? 0) > after + 1) {
        const look = () => readEvents(deps.supabase, jobId, after, signal);
        const read = await reader.try(async () => {
          const events = await look();
          if (events.length > 0 || isKnown) return events;
          if (!isFinal((await readJob()).status)) return events;
          // It has ended, possibly after the first read.
          const late = await look();
          return late.length === 0 ? null : late;
        });
        if (read === null) return;
        if (read === undefined) continue;
        isKnown = true;
        batch = read;
        // There is more than one read gives.
        if (read.length === EVENTS_PER_READ) inbox.add(null);
      }
      const isWhole = batch.length < EVENTS_PER_READ;
      for (const [index, event] of batch.entries()) {
        if (event.seq <= after) continue;
        after = event.seq;
        yield event;
        // A failed job that was retried continues after the event that ended it.
        const isLast = index === batch.length - 1 && isWhole;
        if (isLast && isFinal(event.event)) return;
      }
    }
  } finally {
    release();
  }
}

/**
 * The events of all the user's jobs from now on: those of one job each once and in order. Does not end by itself.
 *
 * @throws as {@link watchJob} does.
 */
export async function* watchAllJobs(
  deps: WatchDeps,
  options: WatchOptions,
): AsyncGenerator<JobEvent, void, void> {
  const { signal } = options;
  throwIfAborted(signal);
  const seen = new Map<string, number>();
  let since = new Date(Date.now() - OVERLAP_MS).toISOString();
  const inbox = new Inbox();
  const reader = new Reader(deps, options);
  const release = deps.live.listen({
    onEvents: inbox.add,
    onChange: () => reader.say(),
  });
  try {
    while (!deps.live.isClosed) {
      let batch = await inbox.next(reader.pauseMs, signal);
      if (deps.live.isClosed) return;
      const [first] = batch ?? [];
      const known = first === undefined ? undefined : seen.get(first.job_id);
      const isGap = first !== undefined && first.seq > (known ?? 0) + 1;
      if (isGap) {
        batch = await reader.try(() =>
          readEvents(deps.supabase, first.job_id, known ?? 0, signal)
        ) ?? null;
      } else if (batch === null) {
        batch = await reader.try(() =>
          readSince(deps.supabase, since, signal)
        ) ??
          [];
        const last = batch.at(-1);
        if (last !== undefined) {
          since = new Date(Date.parse(last.created_at) - OVERLAP_MS)
            .toISOString();
        }
        if (batch.length === EVENTS_PER_READ) inbox.add(null);
      }
      if (batch === null) inbox.add(null);
      for (const event of batch ?? []) {
        if (event.seq <= (seen.get(event.job_id) ?? 0)) continue;
        seen.set(event.job_id, event.seq);
        yield event;
      }
    }
  } finally {
    release();
  }
}

async function readSince(
  supabase: SupabaseClient,
  since: string,
  signal: AbortSignal | undefined,
): Promise<JobEvent[]> {
  let query = supabase.from("ai_job_events").select(EVENT_COLUMNS)
    .gte("created_at", since)
    .order("created_at").order("seq")
    .limit(EVENTS_PER_READ);
  if (signal !== undefined) query = query.abortSignal(signal);
  return toEvents(await query, signal);
}
