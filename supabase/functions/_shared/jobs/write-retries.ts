/** Retries of writes that must survive a short outage of the database. */
import { retry, RetryError } from "@std/async/retry";
import { AppError } from "../failures/app-error.ts";

/** Delays of 0.25 to 4 s, each shortened at random by up to a half: nine seconds in all, on average. */
const SCHEDULE = {
  maxAttempts: 7,
  minTimeout: 250,
  multiplier: 2,
  maxTimeout: 4_000,
  // Spreads the retries of jobs that lost the database at the same time.
  jitter: 0.5,
};

/**
 * Repeats `write` while it throws `service_unavailable`, for six to twelve seconds: a restart of the database or a
 * deploy is shorter. `write` must be idempotent.
 *
 * Throws the error of the last attempt, and any other error without a retry.
 */
export async function retryWrite<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await retry(write, {
      ...SCHEDULE,
      isRetriable: (error) =>
        error instanceof AppError && error.code === "service_unavailable",
    });
  } catch (error) {
    throw error instanceof RetryError ? error.cause : error;
  }
}
