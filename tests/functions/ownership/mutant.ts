/** A way to break the protection of the data, made from the catalogue: one statement, and the one that mends it. */
import type { Attempt, Operation } from "./attempt.ts";

/** One change for the worse. */
export interface Mutant {
  /** What was done, the same in every run; names it in lists and in equivalents.ts. */
  name: string;
  /** What the attempts are about that could see it. */
  subjects: string[];
  /** What they do; everything when absent. */
  operations?: readonly Operation[];
  apply: string;
  revert: string;
  /** Whether an attempt is likely to see it; those are made first. */
  isConcerned(attempt: Attempt): boolean;
}

/** Whatever writes rows: what a trigger or a constraint can show in. */
export const WRITES = [
  "insert",
  "update",
  "delete",
  "execute",
  "call",
] as const satisfies Operation[];

/** A name as Postgres reads it back. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Whether two lists have something in common. */
export function shares(one: string[], other: string[]): boolean {
  return one.some((name) => other.includes(name));
}
