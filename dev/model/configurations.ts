/** The explored configurations: each is small enough for a complete exploration; together they have every fault. */
import { type Configuration, FAULTS } from "./system.ts";

/** By name. A mutation counts as detected when it violates a property in one of them. */
export const CONFIGURATIONS = {
  /** Two jobs, two workers, no faults. */
  noFaults: {
    jobs: 2,
    workers: 2,
    maxAttempts: 2,
    cap: 2,
    ages: false,
    retries: 0,
    hasKey: false,
    cancellable: 0,
    faults: new Set(),
  },
  /** One job and one worker with all faults, until the job exceeds its maximum age. */
  expiry: {
    jobs: 1,
    workers: 1,
    maxAttempts: 2,
    cap: 1,
    ages: true,
    retries: 1,
    hasKey: false,
    cancellable: 1,
    faults: new Set(FAULTS),
  },
  /** One job that two workers compete for, with all faults, cancelled, retried and resolved. */
  allFaults: {
    jobs: 1,
    workers: 2,
    maxAttempts: 2,
    cap: 1,
    ages: false,
    retries: 1,
    hasKey: false,
    cancellable: 1,
    faults: new Set(FAULTS),
  },
  /** Two jobs, two workers that may crash or stall at any step, a cap of one at the provider. */
  crashes: {
    jobs: 2,
    workers: 2,
    maxAttempts: 2,
    cap: 1,
    ages: false,
    retries: 0,
    hasKey: false,
    cancellable: 0,
    faults: new Set(["crash", "stall"]),
  },
  /** The same with a cap of two, where one owner cancels. */
  crashesAndCancel: {
    jobs: 2,
    workers: 2,
    maxAttempts: 1,
    cap: 2,
    ages: false,
    retries: 0,
    hasKey: false,
    cancellable: 1,
    faults: new Set(["crash", "stall"]),
  },
  /** One job and two workers with all faults, at a provider with idempotency keys. */
  idempotencyKey: {
    jobs: 1,
    workers: 2,
    maxAttempts: 2,
    cap: 1,
    ages: false,
    retries: 0,
    hasKey: true,
    cancellable: 1,
    faults: new Set(FAULTS),
  },
} as const satisfies Record<string, Configuration>;
