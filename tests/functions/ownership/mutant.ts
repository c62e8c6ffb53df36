/** A way to break the protection of the data, derived from the catalogue: a statement, and one that reverts it. */
import type { Attempt, Operation } from "./attempt.ts";

/** One change that weakens the protection. */
export interface Mutant {
  /** A description of the change, the same in every run; its name in lists and in equivalents.ts. */
  name: string;
  /** The subjects of the attempts that could detect it. */
  subjects: string[];
  /** The operations of those attempts; all operations if absent. */
  operations?: readonly Operation[];
  apply: string;
  revert: string;
  /** Whether an attempt is likely to detect it; those are made first. */
  isConcerned(attempt: Attempt): boolean;
}

/** All operations that write rows, in which the loss of a trigger or constraint can show. */
export const WRITES = [
  "insert",
  "update",
  "delete",
  "execute",
  "call",
] as const satisfies Operation[];

/** The name as a quoted identifier. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Whether two lists have something in common. */
export function shares(one: string[], other: string[]): boolean {
  return one.some((name) => other.includes(name));
}
