/**
 * One private Realtime channel for everything that one client watches. What arrives is a hint: a watcher reads the
 * table when an event is missing, and polls while the channel is not joined.
 */
import type { RealtimeChannel, SupabaseClient } from "@supabase/supabase-js";
import type { JobEvent } from "./job-types.ts";
import { readEvent } from "./server.ts";

/**
 * Receives the events of the channel, those of one job in order; null when it may have been joined or lost, so that
 * events may have been missed and the tables must be read.
 */
export type LiveListener = (events: readonly JobEvent[] | null) => void;

/** The channel stays open this long without watchers, so that a page that mounts twice opens only one. */
const LINGER_MS = 1000;
const INITIAL_REOPEN_MS = 500;
const MAX_REOPEN_MS = 30_000;

/** The shared channel. */
export class Live {
  readonly #supabase: SupabaseClient;
  readonly #isEnabled: boolean;
  readonly #listeners = new Set<LiveListener>();
  #channel: RealtimeChannel | undefined;
  #isOpening = false;
  #isClosed = false;
  #reopenMs = INITIAL_REOPEN_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(supabase: SupabaseClient, isEnabled: boolean) {
    this.#supabase = supabase;
    this.#isEnabled = isEnabled;
  }

  /** Whether the channel is joined, so that events arrive without polling. */
  get isJoined(): boolean {
    return this.#channel?.state === "joined";
  }

  /** Whether {@link close} was called. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The user of the socket's token; undefined while there is none. */
  get userId(): string | undefined {
    const part = this.#supabase.realtime.accessTokenValue?.split(".")[1] ?? "";
    try {
      const { sub }: { sub?: string } = JSON.parse(
        atob(part.replaceAll("-", "+").replaceAll("_", "/")),
      );
      return sub;
    } catch {
      return undefined;
    }
  }

  /** Opens the channel of the current user, unless it is open. Keeps it open until the returned function is called. */
  listen(listener: LiveListener): () => void {
    this.#listeners.add(listener);
    clearTimeout(this.#timer);
    if (this.#isEnabled) void this.#open();
    return () => {
      if (!this.#listeners.delete(listener) || this.#listeners.size > 0) return;
      clearTimeout(this.#timer);
      if (!this.#channel) return;
      this.#timer = setTimeout(() => void this.#leave(), LINGER_MS);
    };
  }

  /** Leaves the channel permanently. Disconnects the socket if the app has no other channel on it. */
  close(): void {
    this.#isClosed = true;
    this.#notify(null);
    this.#listeners.clear();
    const { realtime } = this.#supabase;
    // Otherwise realtime-js keeps the socket open, and a Node process alive, for another 50 seconds.
    void this.#leave().then(() => {
      if (realtime.isConnected() && realtime.channels.length === 0) {
        void realtime.disconnect();
      }
    });
  }

  async #leave(): Promise<void> {
    clearTimeout(this.#timer);
    const channel = this.#channel;
    this.#channel = undefined;
    if (!channel) return;
    this.#notify(null);
    await this.#supabase.removeChannel(channel);
  }

  async #open(): Promise<void> {
    if (this.#isOpening) return;
    this.#isOpening = true;
    try {
      // The join carries the socket's current token.
      await this.#supabase.realtime.setAuth();
      const { userId } = this;
      if (
        this.#isClosed || !this.#listeners.size ||
        this.#channel?.subTopic === `ai_jobs:${userId}`
      ) return;
      if (userId) this.#join(userId);
      else this.#reopenLater();
    } catch {
      this.#reopenLater();
    } finally {
      this.#isOpening = false;
    }
  }

  #join(userId: string): void {
    void this.#leave();
    const channel = this.#supabase.channel(`ai_jobs:${userId}`, {
      config: { private: true },
    });
    this.#channel = channel;
    channel.on("broadcast", { event: "ai_job_events" }, ({ payload }) => {
      if (channel !== this.#channel) return;
      const events: unknown = payload?.events;
      this.#notify(
        Array.isArray(events)
          ? events.flatMap((row) => readEvent(row) ?? [])
          : null,
      );
    }).subscribe((status) => {
      if (channel !== this.#channel) return;
      if (this.isJoined) this.#reopenMs = INITIAL_REOPEN_MS;
      // Events written before the join, or after the loss, did not arrive.
      this.#notify(null);
      // supabase-js rejoins after errors and timeouts, but not when the server closes the channel.
      if (status === "CLOSED") this.#reopenLater();
    });
  }

  #reopenLater(): void {
    void this.#leave();
    if (!this.#listeners.size) return;
    this.#timer = setTimeout(() => void this.#open(), this.#reopenMs);
    this.#reopenMs = Math.min(this.#reopenMs * 2, MAX_REOPEN_MS);
  }

  #notify(events: readonly JobEvent[] | null): void {
    for (const listener of this.#listeners) listener(events);
  }
}
