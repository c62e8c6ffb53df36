/** Natural batching: items that arrive while a call of their kind is in flight are sent together in the next one. */
import { setImmediate } from "node:timers";

/** How items are sent. */
export interface Batching<Item, Result> {
  /** Maximum weight in one call: bounds the duration of a statement and the effect of one failure. */
  limit: number;
  /** The weight of an item, at most the limit. 1 for all when left out. */
  weightOf?(item: Item): number;
  /** The key of an item. Two items with the same key are never sent in one call. */
  keyOf(item: Item): string;
  /** Sends items in one call; resolves with a result for each, in their order. */
  send(items: readonly Item[]): Promise<readonly Result[]>;
  /** Whether a call that threw `error` may succeed for each of its items alone. */
  isSplit(error: unknown): boolean;
}

interface Waiting<Item, Result> {
  item: Item;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

/**
 * A function of one item that sends many in one call.
 *
 * Guarantees: one call at a time. An item that arrives while none is in flight is sent without delay, together with
 * those of the same event. A call that throws rejects all of its items with that error, unless `isSplit` returns true
 * for it: then each item is sent alone and has its own result. Throws what `send` throws.
 */
export function batcher<Item, Result>(
  { limit, weightOf = () => 1, keyOf, send, isSplit }: Batching<Item, Result>,
): (item: Item) => Promise<Result> {
  let waiting: Waiting<Item, Result>[] = [];
  let isSending = false;

  function nextBatch(): Waiting<Item, Result>[] {
    const batch = new Map<string, Waiting<Item, Result>>();
    const rest: Waiting<Item, Result>[] = [];
    let weight = 0;
    for (const entry of waiting) {
      const key = keyOf(entry.item);
      const total = weight + weightOf(entry.item);
      if (total <= limit && !batch.has(key)) {
        batch.set(key, entry);
        weight = total;
      } else rest.push(entry);
    }
    waiting = rest;
    return [...batch.values()];
  }

  async function sendBatch(batch: Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await send(batch.map(({ item }) => item));
      batch.forEach(({ resolve, reject }, index) => {
        const result = results[index];
        if (result === undefined) reject(new Error("an item has no result"));
        else resolve(result);
      });
    } catch (error) {
      if (batch.length > 1 && isSplit(error)) {
        for (const entry of batch) await sendBatch([entry]);
      } else {
        for (const { reject } of batch) reject(error);
      }
    }
  }

  async function sendAll(): Promise<void> {
    // Items that the same event brings travel together.
    await Promise.resolve();
    while (waiting.length > 0) {
      await sendBatch(nextBatch());
      // Work that continues after this response joins the next call.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    isSending = false;
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (isSending) return;
      isSending = true;
      void sendAll();
    });
}
