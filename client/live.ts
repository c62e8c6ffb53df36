/**
 * One private Realtime channel for everything that one client watches. What arrives is a hint: a watcher reads the
 * table when an event is missing, and polls while the channel is not joined.
 */
import type { RealtimeChannel, SupabaseClient } from "@supabase/supabase-js";
import type { JobEvent } from "./job-types.ts";
import { isFields, readEvent } from "./server.ts";

/** Receives the messages of the channel. */
export interface LiveListener {
  /** Events, those of one job in order; null when events may have been missed and the tables must be read. */
  onEvents(events: readonly JobEvent[] | null): void;
  /** Called when the channel may have been joined or lost. */
  onChange(): void;
}

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
  #isJoined = false;
  #isClosed = false;
  #reopenMs = INITIAL_REOPEN_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(supabase: SupabaseClient, isEnabled: boolean) {
    this.#supabase = supabase;
    this.#isEnabled = isEnabled;
  }

  /** Whether the channel is joined, so that events arrive without polling. */
  get isJoined(): boolean {
    return this.#isJoined;
  }

  /** Whether {@link close} was called. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Opens the channel, if it is not open, and keeps it open until the returned function is called. */
  listen(listener: LiveListener): () => void {
    this.#listeners.add(listener);
    clearTimeout(this.#timer);
    if (this.#isEnabled) void this.#open();
    return () => {
      if (!this.#listeners.delete(listener) || this.#listeners.size > 0) return;
      clearTimeout(this.#timer);
      if (this.#channel === undefined) return;
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
    this.#isJoined = false;
    if (channel !== undefined) await this.#supabase.removeChannel(channel);
  }

  async #open(): Promise<void> {
    if (this.#channel !== undefined || this.#isOpening || this.#isClosed) {
      return;
    }
    this.#isOpening = true;
    try {
      // The join carries the socket's current token.
      await this.#supabase.realtime.setAuth();
      const userId = subjectOf(this.#supabase.realtime.accessTokenValue);
      if (this.#isClosed || this.#listeners.size === 0) return;
      if (userId === undefined) this.#reopenLater();
      else this.#join(userId);
    } catch {
      this.#reopenLater();
    } finally {
      this.#isOpening = false;
    }
  }

  #join(userId: string): void {
    const channel = this.#supabase.channel(`ai_jobs:${userId}`, {
      config: { private: true },
    });
    this.#channel = channel;
    channel.on("broadcast", { event: "ai_job_events" }, ({ payload }) => {
      if (channel === this.#channel) this.#receive(payload);
    }).subscribe((status) => {
      if (channel !== this.#channel) return;
      this.#isJoined = status === "SUBSCRIBED";
      if (this.#isJoined) {
        this.#reopenMs = INITIAL_REOPEN_MS;
        // Events written before the join did not arrive.
        this.#notify(null);
      }
      for (const { onChange } of this.#listeners) onChange();
      // supabase-js rejoins after errors and timeouts, but not when the server closes the channel.
      if (status === "CLOSED") {
        void this.#leave();
        this.#reopenLater();
      }
    });
  }

  #reopenLater(): void {
    if (this.#isClosed || this.#listeners.size === 0) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#open(), this.#reopenMs);
    this.#reopenMs = Math.min(this.#reopenMs * 2, MAX_REOPEN_MS);
  }

  #receive(payload: unknown): void {
    const events = isFields(payload) ? payload["events"] : undefined;
    this.#notify(
      Array.isArray(events)
        ? events.flatMap((row) => readEvent(row) ?? [])
        : null,
    );
  }

  #notify(events: readonly JobEvent[] | null): void {
    for (const { onEvents } of this.#listeners) onEvents(events);
  }
}

/** The user of an access token; undefined for an API key or no token. */
function subjectOf(token: string | null): string | undefined {
  const [, part = ""] = token?.split(".") ?? [];
  try {
    const claims: unknown = JSON.parse(
      atob(part.replaceAll("-", "+").replaceAll("_", "/")),
    );
    const sub = isFields(claims) ? claims["sub"] : undefined;
    return typeof sub === "string" ? sub : undefined;
  } catch {
    return undefined;
  }
}
