/** What the console concludes from the answers of `ops`. */
import type { Judged, Overview, Provider } from "./answers.ts";

/** Whether a probe can change anything: the breaker is open, or is probing without a job in flight. */
export function canProbe(
  { state, running }: Pick<Provider, "state" | "running">,
): boolean {
  return state === "open" || (state === "probing" && running === 0);
}

/**
 * A number of waiting jobs, or how long they have waited. While a breaker is open it is not called good: jobs of that
 * provider do not start, however short the wait has been so far.
 */
export function judgeWaiting<Value extends number | null>(
  number: Judged<Value>,
  { waiting, open_breakers }: Pick<Overview, "waiting" | "open_breakers">,
): Judged<Value> {
  if (
    number.verdict !== "good" || waiting.value === 0 ||
    open_breakers.length === 0
  ) return number;
  return {
    ...number,
    verdict: "attention",
    words: `Jobs for ${open_breakers.join(" and ")} wait until it works again.`,
  };
}
