/** A channel that a client has joined: its options, its caller, and the expiry of its token. */
import type { ChangeRequest, ChangeSubscription } from "./changes.ts";
import type { KnownCaller } from "./tokens.ts";

/** Longest interval between two checks of a token, as in the hosted server. */
const RECHECK_MS = 300_000;

/** The options in `phx_join`. */
export interface ChannelOptions {
  /** Includes the prefix `realtime:`. */
  topic: string;
  joinRef: string | null;
  isPrivate: boolean;
  /** Whether it receives its own broadcasts. */
  self: boolean;
  /** Whether each broadcast is acknowledged. */
  ack: boolean;
  changes: ChangeRequest[];
}

let subscriptions = 0;

/** A joined channel. */
export class Channel {
  readonly options: ChannelOptions;
  readonly changes: ChangeSubscription[];
  /** Ids of replayed broadcasts, which must not be delivered again. */
  readonly replayed = new Set<string>();
  /** Whether it may send; undefined until its first attempt, because write policies are checked lazily. */
  mayWrite: boolean | undefined;
  #caller: KnownCaller;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ChannelOptions, caller: KnownCaller) {
    this.options = options;
    this.#caller = caller;
    this.changes = options.changes.map((request) => ({
      id: ++subscriptions,
      request,
    }));
  }

  /** The topic without the prefix, as policies and `realtime.send` see it. */
  get name(): string {
    return this.options.topic.replace(/^realtime:/, "");
  }

  get caller(): KnownCaller {
    return this.#caller;
  }

  /** Sets a new token; all permissions are checked again. */
  renew(caller: KnownCaller): void {
    this.#caller = caller;
    this.mayWrite = undefined;
  }

  /** Calls `onExpired` once the token has expired, and repeatedly until the channel is left. */
  onExpiry(expired: (channel: Channel) => void): void {
    clearTimeout(this.#timer);
    const remaining = this.#caller.expiresAt - Date.now();
    this.#timer = setTimeout(() => {
      if (this.#caller.expiresAt <= Date.now()) expired(this);
      else this.onExpiry(expired);
    }, Math.max(0, Math.min(RECHECK_MS, remaining)));
  }

  /** Stops the timer. */
  leave(): void {
    clearTimeout(this.#timer);
  }
}
