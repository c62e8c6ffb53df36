/** The explored worlds: each small enough for a complete exploration, together with every kind of failure. */
import { FAILURES, type World } from "./rules.ts";

/** By name. A broken rule counts as noticed when one of them notices it. */
export const WORLDS = {
  /** Two jobs, two workers, no failures. */
  calm: {
    jobs: 2,
    workers: 2,
    maxAttempts: 2,
    cap: 2,
    ages: false,
    reruns: 0,
    hasKey: false,
    cancellable: 0,
    failures: new Set(),
  },
  /** One job and one worker, until the job is too old. */
  old: {
    jobs: 1,
    workers: 1,
    maxAttempts: 2,
    cap: 1,
    ages: true,
    reruns: 1,
    hasKey: false,
    cancellable: 1,
    failures: new Set(FAILURES),
  },
  /** One job that two workers compete for, with all failures, cancelled, retried and resolved. */
  trouble: {
    jobs: 1,
    workers: 2,
    maxAttempts: 2,
    cap: 1,
    ages: false,
    reruns: 1,
    hasKey: false,
    cancellable: 1,
    failures: new Set(FAILURES),
  },
  /** Two jobs, two workers that may crash or stall at any step, a cap of one at the provider. */
  pair: {
    jobs: 2,
    workers: 2,
    maxAttempts: 2,
    cap: 1,
    ages: false,
    reruns: 0,
    hasKey: false,
    cancellable: 0,
    failures: new Set(["crash", "stall"]),
  },
  /** The same with a cap of two, where one owner cancels. */
  crowd: {
    jobs: 2,
    workers: 2,
    maxAttempts: 1,
    cap: 2,
    ages: false,
    reruns: 0,
    hasKey: false,
    cancellable: 1,
    failures: new Set(["crash", "stall"]),
  },
  /** One job and two workers at a provider that recognises repeated requests by a key. */
  keyed: {
    jobs: 1,
    workers: 2,
    maxAttempts: 2,
    cap: 1,
    ages: false,
    reruns: 0,
    hasKey: true,
    cancellable: 1,
    failures: new Set(FAILURES),
  },
} as const satisfies Record<string, World>;
