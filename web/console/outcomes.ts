/** What may have happened to an action of which no usable response arrived. */
import {
  isAiJobsError,
  NetworkError,
  ServiceUnavailable,
} from "../../client/mod.ts";
import { describeError } from "../words/errors.ts";
import type { OpsResponses } from "./responses.ts";

/** The name of an action. */
export type Action = keyof OpsResponses;

/**
 * Whether a request whose response was lost may be repeated automatically: because it only reads, or because the second
 * request sets what the first one has set.
 */
const IS_REPEATABLE: Readonly<Record<Action, boolean>> = {
  overview: true,
  charts: true,
  failures: true,
  providers: true,
  parked: true,
  budgets: true,
  search: true,
  job: true,
  payload: true,
  actions: true,
  preview_redrive: true,
  pause: true,
  resume: true,
  cancel: true,
  set_budget: true,
  // Lets another job try the provider if the one of the first request has failed.
  probe: false,
  // Each is refused when it was done, as if another operator had done it; or it is done to what has become of the job.
  redrive: false,
  retry: false,
  resolve: false,
  take_back: false,
};

/** Whether the action may be repeated when no response arrives. */
export function isRepeatable(action: Action): boolean {
  return IS_REPEATABLE[action];
}

const NOT_KNOWN =
  "No response arrived, so it is not known whether this was done. Look at the state before you repeat it.";

/** Refusals whose general text does not fit the action. */
const REFUSALS: Readonly<Record<string, string>> = {
  "take_back job_not_parked":
    "The answer cannot be taken back any more. Nothing was changed.",
};

/** Says what became of a failed action. */
export function describeFailure(action: Action, error: unknown): string {
  const isLost = error instanceof NetworkError ||
    error instanceof ServiceUnavailable;
  // This one says that nothing was recorded.
  if (
    isLost && !isRepeatable(action) && error.code !== "provider_not_checked"
  ) {
    return NOT_KNOWN;
  }
  const refusal = isAiJobsError(error)
    ? REFUSALS[`${action} ${error.code}`]
    : undefined;
  return refusal ?? describeError(error);
}
