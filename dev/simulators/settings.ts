/** The settings of a simulated provider, which tests and developers change while it runs. */
import { z } from "zod";
import { issueWords } from "../../supabase/functions/_shared/contracts/issue-words.ts";
import type { Records, State } from "./state.ts";

const changesSchema = z.record(z.string(), z.unknown());

/** Settings of one provider, kept with its state. */
export class ProviderSettings<T extends object> {
  readonly #schema: z.ZodType<T>;
  readonly #defaults: T;
  readonly #kept: Records<T>;

  constructor(
    state: State,
    provider: string,
    schema: z.ZodType<T>,
    defaults: T,
  ) {
    this.#schema = schema;
    this.#defaults = defaults;
    this.#kept = state.records(`${provider}.settings`, schema);
  }

  /** The current settings. */
  get now(): T {
    return this.#kept.get("settings") ?? this.#defaults;
  }

  /** Changes the given settings. If any is invalid, throws a `ZodError` and changes nothing. */
  change(changes: unknown): void {
    const given = changesSchema.parse(changes, { error: issueWords });
    this.#kept.set(
      "settings",
      this.#schema.parse({ ...this.now, ...given }, { error: issueWords }),
    );
  }

  /** Restores the defaults. */
  reset(): void {
    this.#kept.clear();
  }
}
