/** Failing health checks in words. */
import type { Overview } from "../console/responses.ts";
import { providerName } from "./providers.ts";
import { countOf, lengthOf, shareOf } from "./times.ts";

/** By the names of private.check_ai_health; a test compares them. `to` is where it is shown or resolved. */
export const CHECK_WORDS: Readonly<
  Record<
    string,
    {
      say: (observed: number, overview: Overview) => string;
      to?: { view: string; name: string } | { anchor: string; name: string };
    }
  >
> = {
  sweep_age: {
    say: (age) =>
      `The sweep has not run for ${
        lengthOf(age * 1000)
      }: late and lost jobs are not started.`,
  },
  dispatch_unconfigured: {
    say: () => "The database cannot call the functions: a secret is missing.",
  },
  stuck_jobs: {
    say: (count) =>
      `${countOf(count, "job")} should run and ${
        count === 1 ? "does" : "do"
      } not.`,
    to: { view: "view=jobs&status=pending", name: "Show waiting jobs" },
  },
  dispatch_failures: {
    say: (count) =>
      `${
        countOf(count, "call")
      } from the database to the functions failed in the last ten minutes.`,
  },
  open_breakers: {
    say: (_, { open_breakers }) =>
      `${open_breakers.map(providerName).join(" and ")} ${
        open_breakers.length === 1 ? "is" : "are"
      } down: too many calls failed. Its jobs wait; one at a time is sent as a probe.`,
    to: { view: "view=providers", name: "Show providers" },
  },
  parked_jobs: {
    say: (count) =>
      `${countOf(count, "job")} ${
        count === 1 ? "needs" : "need"
      } a person: the outcome of a paid call is unknown.`,
    to: { anchor: "#needs", name: "Answer below" },
  },
  failed_share: {
    say: (share) =>
      `${
        shareOf(share)
      } of the jobs that ended in the last 15 minutes failed. A failure counts even if its job has run again since.`,
    to: { view: "view=activity", name: "Show failures by code" },
  },
  counters_age: {
    say: (age) => `These numbers are ${lengthOf(age * 1000)} old.`,
  },
  janitor_age: {
    say: (age) =>
      `The clean-up has not run for ${
        lengthOf(age * 1000)
      }: deleted files and voices are not removed.`,
  },
};
