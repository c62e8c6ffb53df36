/** Webhooks of the simulated providers. */
import { z } from "zod";
import type { Clock } from "./provider.ts";

/** Settings for the webhooks of a simulated provider. */
export const webhookSettings = {
  /**
   * `once`: as documented. `doubled`: every delivery twice. `early`: before the result is readable. `forged`: with a
   * wrong signature or token. `lost`: never.
   */
  webhooks: z.enum(["once", "doubled", "early", "forged", "lost"]),
  /** Milliseconds after the end of the render. */
  webhook_delay_ms: z.int().min(0).max(600_000),
};

/** A delivery. */
export interface Delivery {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

interface Scheduled {
  /** By the simulators' clock, in Unix milliseconds. */
  readonly dueAt: number;
  readonly make: () => Promise<Delivery[]>;
}

/** Sends webhooks with a delay by the simulators' clock, and can cancel those that are not sent yet. */
export class WebhookSender {
  readonly #clock: Clock;
  readonly #timers = new Map<Scheduled, ReturnType<typeof setTimeout>>();
  readonly #running = new Set<Promise<void>>();
  #end = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
    clock.onAdvance(() => {
      for (const [webhook, timer] of this.#timers) {
        clearTimeout(timer);
        this.#wait(webhook);
      }
    });
  }

  /** Creates the deliveries after `ms` and sends them in order. The receiver's response is ignored. */
  schedule(ms: number, make: () => Promise<Delivery[]>): void {
    this.#wait({ dueAt: this.#clock.now() + ms, make });
  }

  #wait(webhook: Scheduled): void {
    const timer = setTimeout(() => {
      this.#timers.delete(webhook);
      const sending = this.#send(webhook.make, this.#end.signal);
      this.#running.add(sending);
      void sending.finally(() => this.#running.delete(sending));
    }, Math.max(0, webhook.dueAt - this.#clock.now()));
    this.#timers.set(webhook, timer);
  }

  async #send(
    make: () => Promise<Delivery[]>,
    signal: AbortSignal,
  ): Promise<void> {
    for (const { url, headers, body } of await make()) {
      try {
        const response = await fetch(url, {
          method: "POST",
          headers: { "content-type": "application/json", ...headers },
          body,
          signal,
        });
        await response.body?.cancel();
      } catch {
        // An unreachable receiver: real providers' webhooks can be lost too.
      }
    }
  }

  /** Cancels scheduled webhooks, aborts those being sent, and resolves when none is left. */
  async clear(): Promise<void> {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#end.abort();
    await Promise.allSettled(this.#running);
    this.#end = new AbortController();
  }
}

/** HMAC-SHA256 of a text with a text secret, in hex. */
export async function hexHmac(secret: string, text: string): Promise<string> {
  const encoder = new TextEncoder();
  const key = await crypto.subtle.importKey(
    "raw",
    encoder.encode(secret),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  const mac = await crypto.subtle.sign("HMAC", key, encoder.encode(text));
  return [...new Uint8Array(mac)]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
