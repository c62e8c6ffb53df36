/** The ledger of the simulators: what was paid for, and every request. */
import { z } from "zod";
import type { Records, State } from "./state.ts";

const ledgerEntrySchema = z.object({
  seq: z.int(),
  /** ISO time of the creation. */
  at: z.string(),
  provider: z.string(),
  operation: z.string(),
  /** The provider's id of the object. */
  id: z.string(),
  /** The job's uuid, found in labels, name or description. */
  marker: z.string().nullable(),
  /** The requested parameters, without secrets. */
  request: z.record(z.string(), z.unknown()),
  /** Total bytes of all uploaded files. */
  bytes: z.number(),
  /** The last four characters of the API key that was charged. */
  api_key_tail: z.string(),
  state: z.enum(["created", "deleted"]),
  deleted_at: z.string().nullable(),
}).readonly();
/** A billable creation. It is recorded when the object exists, whether or not the client gets the response. */
export type LedgerEntry = z.output<typeof ledgerEntrySchema>;

/** A request, recorded on arrival. */
export interface RequestEntry {
  readonly seq: number;
  readonly at: string;
  readonly provider: string | null;
  /** The most general name; null when no route matches. */
  readonly operation: string | null;
  /** All names that fault rules can match. */
  readonly operations: readonly string[];
  readonly method: string;
  readonly path: string;
  readonly marker: string | null;
  /** The kind of the applied fault. */
  readonly fault: string | null;
  /** The status that was sent; null while, or because, nothing was sent. */
  status: number | null;
  /** `closed`: the simulator closed the socket; `client_gone`: the client disconnected first. */
  outcome: "pending" | "answered" | "closed" | "client_gone";
}

/** Filters of a listing; an absent member matches everything. */
export interface EntryFilter {
  readonly provider?: string | undefined;
  readonly operation?: string | undefined;
  readonly marker?: string | undefined;
}

/** Wakes callers that wait for a list to grow, so that no test has to sleep. */
class Changes {
  readonly #waiting = new Map<() => void, () => void>();

  announce(): void {
    for (const wake of this.#waiting.keys()) wake();
  }

  /** Ends every wait with false. */
  abandon(): void {
    for (const cancel of this.#waiting.values()) cancel();
  }

  /** True as soon as `reached()` is true, false after `withinMs`. */
  async until(reached: () => boolean, withinMs: number): Promise<boolean> {
    if (reached()) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), withinMs);
    const wake = () => {
      if (reached()) resolve(true);
    };
    this.#waiting.set(wake, () => resolve(false));
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(wake);
    }
  }
}

/** Every billable creation since the last reset, oldest first. */
export class Ledger {
  readonly #entries: Records<LedgerEntry>;
  readonly #changes = new Changes();

  constructor(state: State) {
    this.#entries = state.records("ledger", ledgerEntrySchema);
  }

  /** Adds an entry in state `created` and returns it. */
  add(
    creation: Omit<LedgerEntry, "seq" | "at" | "state" | "deleted_at">,
    now: number,
  ): LedgerEntry {
    const entry: LedgerEntry = {
      seq: this.#entries.size + 1,
      at: new Date(now).toISOString(),
      ...creation,
      state: "created",
      deleted_at: null,
    };
    this.#entries.set(String(entry.seq), entry);
    this.#changes.announce();
    return entry;
  }

  /** Marks the object as deleted. The entry stays, because it was charged. */
  markDeleted(provider: string, id: string, now: number): void {
    const entry = [...this.#entries.values()].find((one) =>
      one.provider === provider && one.id === id
    );
    if (entry === undefined) return;
    this.#entries.set(String(entry.seq), {
      ...entry,
      state: "deleted",
      deleted_at: new Date(now).toISOString(),
    });
    this.#changes.announce();
  }

  /** The matching entries, oldest first. */
  list(filter: EntryFilter = {}): readonly LedgerEntry[] {
    return [...this.#entries.values()].filter((entry) =>
      (filter.provider ?? entry.provider) === entry.provider &&
      (filter.operation ?? entry.operation) === entry.operation &&
      (filter.marker ?? entry.marker) === entry.marker
    );
  }

  /** True as soon as `atLeast` entries match, false after `withinMs`. */
  waitFor(
    filter: EntryFilter,
    atLeast: number,
    withinMs: number,
  ): Promise<boolean> {
    return this.#changes.until(
      () => this.list(filter).length >= atLeast,
      withinMs,
    );
  }

  /** Removes all entries. */
  clear(): void {
    this.#entries.clear();
  }

  /** Ends every `waitFor` with false. */
  abandonWaits(): void {
    this.#changes.abandon();
  }
}

/** Counts for assertions, per operation and per marker, including deleted objects. */
export function countEntries(entries: readonly LedgerEntry[]): {
  total: number;
  created: number;
  deleted: number;
  by_operation: Record<string, number>;
  by_marker: Record<string, number>;
} {
  const byOperation: Record<string, number> = {};
  const byMarker: Record<string, number> = {};
  for (const { provider, operation, marker } of entries) {
    const name = `${provider}.${operation}`;
    byOperation[name] = (byOperation[name] ?? 0) + 1;
    if (marker !== null) byMarker[marker] = (byMarker[marker] ?? 0) + 1;
  }
  const deleted = entries.filter(({ state }) => state === "deleted").length;
  return {
    total: entries.length,
    created: entries.length - deleted,
    deleted,
    by_operation: byOperation,
    by_marker: byMarker,
  };
}

/** Every request to a provider since the start or the last reset, oldest first. */
export class RequestLog {
  #entries: RequestEntry[] = [];
  readonly #changes = new Changes();

  /** Logs the arrival of a request; `finish` completes the entry. */
  begin(
    request: Omit<RequestEntry, "seq" | "at" | "status" | "outcome">,
    now: number,
  ): RequestEntry {
    const entry: RequestEntry = {
      seq: this.#entries.length + 1,
      at: new Date(now).toISOString(),
      ...request,
      status: null,
      outcome: "pending",
    };
    this.#entries.push(entry);
    this.#changes.announce();
    return entry;
  }

  /** Completes an entry; the first call wins. */
  finish(
    entry: RequestEntry,
    outcome: Exclude<RequestEntry["outcome"], "pending">,
    status: number | null,
  ): void {
    if (entry.outcome !== "pending") return;
    entry.outcome = outcome;
    entry.status = status;
    this.#changes.announce();
  }

  /** The matching entries, oldest first; `operation` matches any of a request's names. */
  list(filter: EntryFilter = {}): readonly RequestEntry[] {
    return this.#entries.filter((entry) =>
      (filter.provider ?? entry.provider) === entry.provider &&
      (filter.operation === undefined ||
        entry.operations.includes(filter.operation)) &&
      (filter.marker ?? entry.marker) === entry.marker
    );
  }

  /** True as soon as `atLeast` entries match, false after `withinMs`. */
  waitFor(
    filter: EntryFilter,
    atLeast: number,
    withinMs: number,
  ): Promise<boolean> {
    return this.#changes.until(
      () => this.list(filter).length >= atLeast,
      withinMs,
    );
  }

  /** Removes all entries. */
  clear(): void {
    this.#entries = [];
  }

  /** Ends every `waitFor` with false. */
  abandonWaits(): void {
    this.#changes.abandon();
  }
}
