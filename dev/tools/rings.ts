/** The rings of tests: a new one is one line here, a place in {@link LANES} and a folder in `tests/`. */

/** What a ring needs in addition to its own folder, and how it runs. */
export interface RingPlan {
  /** How many test files run at the same time. */
  files: number;
  /**
   * What the runner starts for all files of the ring: a Postgres cluster to copy databases from, stacks to take turns
   * on.
   */
  shares?: "cluster" | "stacks";
  /** What this machine must have; without it the ring is skipped, and the summary says so. */
  needs?: "chromium";
  /**
   * A ring that takes longer is stuck: it is ended and counts as failed. Several times what it takes on two cores that it
   * has for itself, and the rings of a lane together stay below the 90 minutes of CI.
   */
  minutes: number;
  /** Its longest files, which start before the others: one that started last would leave a core idle. */
  longest: readonly string[];
}

const cores = Math.max(2, navigator.hardwareConcurrency);
/** Where each file has a stack: some 20 processes, which a machine with many cores and little memory could not hold. */
const stacks = Math.min(cores, 4);

/** The rings in the order in which a fault is cheapest to find. */
export const RINGS = {
  /** Modules without a database or stack. */
  unit: {
    files: cores,
    minutes: 30,
    longest: ["hostile/bodies", "model/model", "hostile/media", "client/react"],
  },
  /** SQL; each test has a copy of the database. */
  database: {
    files: cores,
    shares: "cluster",
    minutes: 30,
    longest: ["new-job-type", "model-replay", "cli", "shop", "caps", "modules"],
  },
  /** The functions, with everything that they call. */
  functions: {
    files: stacks,
    shares: "stacks",
    minutes: 50,
    longest: [
      "chaos-storm",
      "ownership/ownership",
      "chaos-types",
      "hosted-runtime",
      "slow-clients",
      "avatar-video",
      "janitor",
      "isolate-limits",
      "stack-runtime",
    ],
  },
  /** The whole stack, started as a user starts it. */
  e2e: {
    files: stacks,
    minutes: 25,
    longest: [
      "documented-commands",
      "stack-lifecycle",
      "stack-seed",
      "client-package",
      "existing-project",
    ],
  },
  /** The page in a Chromium, which dev/tools/chromium.ts finds or fetches. */
  browser: {
    files: stacks,
    needs: "chromium",
    minutes: 35,
    longest: ["console", "page"],
  },
} as const satisfies Record<string, RingPlan>;

/** The name of a ring: its folder in `tests/`. */
export type Ring = keyof typeof RINGS;

/** All rings, in their order. */
export const ALL_RINGS: readonly Ring[] = Object.keys(RINGS).filter(isRing);

/**
 * The rings that run one after another; the lanes run side by side. Each ring waits for processes, leases and browsers
 * for a third of its time, and two rings share nothing but the machine. Their processor time is about equal. A third
 * lane would put six test files at the same time on two cores.
 */
export const LANES: readonly (readonly Ring[])[] = [
  ["functions", "browser"],
  ["unit", "database", "e2e"],
];

/** Whether a word names a ring. */
export function isRing(name: string): name is Ring {
  return Object.hasOwn(RINGS, name);
}

/**
 * The paths that `deno test` is given for a whole ring: the longest files, then its folder, of which each runs once.
 */
export function pathsOf(ring: Ring): string[] {
  const folder = `tests/${ring}/`;
  return [
    ...RINGS[ring].longest.map((name) => `${folder}${name}.test.ts`),
    folder,
  ];
}
