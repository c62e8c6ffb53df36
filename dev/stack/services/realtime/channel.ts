/** A channel that a client has joined: what it wants, who it is, and until when its token is good. */
import type { ChangeRequest, ChangeSubscription } from "./changes.ts";
import type { KnownCaller } from "./tokens.ts";

/** Tokens are looked at again after this time at the latest, as the hosted server does. */
const RECHECK_MS = 300_000;

/** What a client requests in `phx_join`. */
export interface ChannelOptions {
  /** With the prefix `realtime:`. */
  topic: string;
  joinRef: string | null;
  isPrivate: boolean;
  /** Whether it receives what it sends itself. */
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
  /** Ids of broadcasts that were replayed and must not come a second time. */
  readonly replayed = new Set<string>();
  /** Whether it may send; undefined until it first tries, as write policies are checked lazily. */
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

  /** The topic as policies and `realtime.send` know it: without the prefix. */
  get name(): string {
    return this.options.topic.replace(/^realtime:/, "");
  }

  get caller(): KnownCaller {
    return this.#caller;
  }

  /** Takes a new token and checks every permission again. */
  renew(caller: KnownCaller): void {
    this.#caller = caller;
    this.mayWrite = undefined;
  }

  /** Calls back once the token has expired, and keeps doing so until the channel is left. */
  onExpiry(expired: (channel: Channel) => void): void {
    clearTimeout(this.#timer);
    const remaining = this.#caller.expiresAt - Date.now();
    this.#timer = setTimeout(() => {
      if (this.#caller.expiresAt <= Date.now()) expired(this);
      else this.onExpiry(expired);
    }, Math.max(0, Math.min(RECHECK_MS, remaining)));
  }

  /** Forgets the timer. */
  leave(): void {
    clearTimeout(this.#timer);
  }
}
