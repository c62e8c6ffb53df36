/** The rings of tests: a new one is one line here and a folder in `tests/`. */

/** What a ring needs besides its own folder, and how it runs. */
export interface RingPlan {
  /** How many test files run at once. */
  files: number;
  /** What the runner starts for all files of the ring: a Postgres cluster to copy databases from, stacks to take turns on. */
  shares?: "cluster" | "stacks";
  /** What must be on this machine; the ring is skipped without it, which is printed beside the sum. */
  needs?: "chromium";
  /** A ring that takes longer waits for something that never comes: it is ended and counts as failed. */
  minutes: number;
}

const cores = Math.max(2, navigator.hardwareConcurrency);
/** Where each file has a stack: some 20 processes, which a machine with many cores and little memory could not hold. */
const stacks = Math.min(cores, 4);

/** The rings in the order in which a fault is cheapest to find. */
export const RINGS = {
  /** Modules alone. */
  unit: { files: cores, minutes: 15 },
  /** SQL; each test has a copy of the database. */
  database: { files: cores, shares: "cluster", minutes: 15 },
  /** The functions, with everything that they call. */
  functions: { files: stacks, shares: "stacks", minutes: 30 },
  /** Everything, started as a user starts it. */
  e2e: { files: stacks, minutes: 15 },
  /** The page in a Chromium, which dev/tools/chromium.ts finds or fetches. */
  browser: { files: 1, needs: "chromium", minutes: 10 },
} as const satisfies Record<string, RingPlan>;

/** The name of a ring: its folder in `tests/`. */
export type Ring = keyof typeof RINGS;

/** All rings, in their order. */
export const ALL_RINGS: readonly Ring[] = Object.keys(RINGS).filter(isRing);

/** Whether a word names a ring. */
export function isRing(name: string): name is Ring {
  return Object.hasOwn(RINGS, name);
}
