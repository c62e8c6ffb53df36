/**
 * Attempts that no rule over the catalogue covers: functions that users may call, and the checks of triggers and
 * functions.
 */
import type { Attempt } from "./attempt.ts";
import { asAttempt } from "./case.ts";
import { functionCases, jobCases } from "./cases-jobs.ts";
import { orderingCases, sharingCases } from "./cases-library.ts";
import { shopCases } from "./cases-shop.ts";
import type { Stage } from "./stage.ts";

/** All cases. */
export function caseAttempts(stage: Stage): Attempt[] {
  return [
    ...jobCases(stage),
    ...functionCases(stage),
    ...sharingCases(stage),
    ...orderingCases(stage),
    ...shopCases(stage),
  ].map((one) => asAttempt(stage, one));
}
