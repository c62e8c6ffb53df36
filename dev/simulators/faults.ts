/** Faults, and the rules that say which requests they hit. */
import { z } from "zod";
import { issueWords } from "../../supabase/functions/_shared/contracts/issue-words.ts";
import type { Provider } from "./provider.ts";

/** Maximum delay, so that a test which forgets to release a request does not hang for a day. */
const milliseconds = z.int().min(0).max(600_000);

/** Whether and when the request takes effect at the provider, independent of its response. */
const processed = z.enum(["before", "after", "never"]);

const headers = z.record(z.string(), z.string());

const faultSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("status"),
    status: z.int().min(200).max(599).optional(),
    /** An error of the provider. */
    error: z.string().optional(),
    shape: z.enum(["old", "new"]).optional(),
    /** Replaces the error's body: a string unchanged, anything else as JSON. */
    body: z.json().optional(),
    headers: headers.optional(),
    processed: processed.exclude(["after"]).default("never"),
  }).refine(
    (fault) => fault.status !== undefined || fault.error !== undefined,
    {
      path: ["status"],
      message: "set status, error, or both",
    },
  ),
  z.strictObject({
    kind: z.literal("html"),
    status: z.int().min(200).max(599).default(502),
    body: z.string().optional(),
    processed: processed.exclude(["after"]).default("never"),
  }),
  z.strictObject({
    kind: z.literal("delay"),
    ms: milliseconds,
    processed: processed.exclude(["never"]).default("before"),
  }),
  z.strictObject({ kind: z.literal("delay_body"), ms: milliseconds }),
  z.strictObject({ kind: z.literal("close_before") }),
  z.strictObject({ kind: z.literal("close_after") }),
  z.strictObject({ kind: z.literal("close_in_body") }),
  z.strictObject({ kind: z.literal("truncated_json") }),
  z.strictObject({
    kind: z.literal("missing_fields"),
    /** Members to omit from the response; all when absent. */
    fields: z.array(z.string()).min(1).optional(),
  }),
  z.strictObject({
    kind: z.literal("hang"),
    processed: processed.default("never"),
  }),
  z.strictObject({
    kind: z.literal("lie"),
    value: z.json().default("not what was stored"),
  }),
]);

/** A fault: how the response to a request is replaced or changed. Documented in `docs/simulators.md`. */
export type Fault = z.output<typeof faultSchema>;

/** A rule as listed: its filter and counts. */
export interface FaultRule {
  readonly id: number;
  readonly provider: string;
  readonly operation: string | null;
  readonly path: string | null;
  readonly method: string | null;
  readonly marker: string | null;
  /** How often it may still apply; null for no limit. */
  remaining: number | null;
  /** How many matching requests it still ignores. */
  passing: number;
  /** How often it has applied. */
  applied: number;
  readonly fault: Fault;
}

/** The request that rules are matched with. `path` is the whole path, without the query. */
export interface FaultTarget {
  readonly provider: string;
  readonly operations: readonly string[];
  readonly method: string;
  readonly path: string;
  readonly marker: string | null;
}

function ruleSchema(providers: readonly Provider[]) {
  return z.strictObject({
    provider: z.enum(providers.map(({ name }) => name)),
    operation: z.string().optional(),
    path: z.string().startsWith("/").optional(),
    method: z.string().toUpperCase().optional(),
    times: z.int().min(1).nullable().default(1),
    after: z.int().min(0).default(0),
    match: z.strictObject({ marker: z.guid().toLowerCase().optional() })
      .optional(),
    fault: faultSchema,
  }).superRefine((rule, context) => {
    const provider = providers.find(({ name }) => name === rule.provider);
    if (provider === undefined) return;
    const refuse = (path: string[], message: string) =>
      context.addIssue({ code: "custom", path, message });
    if (
      rule.operation !== undefined && !provider.operations.has(rule.operation)
    ) {
      refuse(
        ["operation"],
        `one of ${[...provider.operations].join(", ")}`,
      );
    }
    if (
      rule.fault.kind === "status" && rule.fault.error !== undefined &&
      !provider.errorNames.has(rule.fault.error)
    ) {
      refuse(
        ["fault", "error"],
        `one of ${[...provider.errorNames].join(", ")}`,
      );
    }
    if (rule.fault.kind === "lie" && provider.lie === undefined) {
      refuse(["fault", "kind"], `${provider.name} cannot be made to lie`);
    }
  });
}

function matches(rule: FaultRule, target: FaultTarget): boolean {
  const { path } = rule;
  return rule.provider === target.provider &&
    (rule.operation === null || target.operations.includes(rule.operation)) &&
    (path === null ||
      (path.endsWith("*")
        ? target.path.startsWith(path.slice(0, -1))
        : target.path === path)) &&
    (rule.method === null || rule.method === target.method) &&
    (rule.marker === null || rule.marker === target.marker);
}

/** The active rules in the order in which they were added. */
export class FaultRules {
  #rules: FaultRule[] = [];
  #lastId = 0;
  readonly #schema: ReturnType<typeof ruleSchema>;

  constructor(providers: readonly Provider[]) {
    this.#schema = ruleSchema(providers);
  }

  /**
   * Adds one rule or an array of rules and returns them as parsed. Throws `z.ZodError` when any is invalid, and adds
   * none.
   */
  add(given: unknown): readonly FaultRule[] {
    const rules = Array.isArray(given)
      ? z.array(this.#schema).min(1).parse(given, { error: issueWords })
      : [this.#schema.parse(given, { error: issueWords })];
    const added = rules.map((rule): FaultRule => ({
      id: ++this.#lastId,
      provider: rule.provider,
      operation: rule.operation ?? null,
      path: rule.path ?? null,
      method: rule.method ?? null,
      marker: rule.match?.marker ?? null,
      remaining: rule.times,
      passing: rule.after,
      applied: 0,
      fault: rule.fault,
    }));
    this.#rules.push(...added);
    return added;
  }

  /** All rules, including those that are used up. */
  list(): readonly FaultRule[] {
    return this.#rules;
  }

  /** Removes every rule. */
  clear(): void {
    this.#rules = [];
  }

  /**
   * The fault for this request, or null. The first matching rule that is not used up decides. A rule that still ignores
   * requests counts this one and leaves it to later rules.
   */
  take(target: FaultTarget): Fault | null {
    for (const rule of this.#rules) {
      if (rule.remaining === 0 || !matches(rule, target)) continue;
      if (rule.passing > 0) {
        rule.passing -= 1;
        continue;
      }
      if (rule.remaining !== null) rule.remaining -= 1;
      rule.applied += 1;
      return rule.fault;
    }
    return null;
  }
}
