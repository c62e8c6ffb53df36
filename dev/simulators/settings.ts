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

  /** The settings as they are now. */
  get now(): T {
    return this.#kept.get("settings") ?? this.#defaults;
  }

  /** Changes the settings that are given. Throws a `ZodError` that names what is wrong, and then changes nothing. */
  change(changes: unknown): void {
    const given = changesSchema.parse(changes, { error: issueWords });
    this.#kept.set(
      "settings",
      this.#schema.parse({ ...this.now, ...given }, { error: issueWords }),
    );
  }

  /** Back to the defaults. */
  reset(): void {
    this.#kept.clear();
  }
}
