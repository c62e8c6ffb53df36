/**
 * Finished jobs that a user has hidden from the list. Jobs stay in the account: only the service may delete their rows, so
 * the browser remembers which ones are hidden.
 */
import { type ReadonlySignal, signal } from "@preact/signals";
import { recall, remember } from "../shell/memory.ts";

/** More are forgotten, the oldest first. */
const MAX_HIDDEN = 1000;

/** The hidden jobs of one user in this browser. */
export class HiddenJobs {
  readonly #key: string;
  readonly #ids = signal<ReadonlySet<string>>(new Set());

  constructor(userId: string) {
    this.#key = `heirloom.hidden.${userId}`;
    this.#recall();
    // Another tab has hidden or shown one.
    addEventListener("storage", ({ key }) => {
      if (key === this.#key) this.#recall();
    });
  }

  /** Their ids. */
  get ids(): ReadonlySignal<ReadonlySet<string>> {
    return this.#ids;
  }

  /** Hides a job. */
  hide(id: string): void {
    this.#save([...this.#ids.value, id]);
  }

  /** Shows a job again. */
  show(id: string): void {
    this.#save([...this.#ids.value].filter((one) => one !== id));
  }

  #recall(): void {
    this.#ids.value = new Set(recall(this.#key)?.split(" ") ?? []);
  }

  #save(ids: readonly string[]): void {
    const kept = ids.slice(-MAX_HIDDEN);
    this.#ids.value = new Set(kept);
    remember(this.#key, kept.length === 0 ? null : kept.join(" "));
  }
}
