/** What the console concludes from the responses of `ops`. */
import { countOf, secondOf, whenOf } from "../words/times.ts";
import type { Overview, Provider } from "./responses.ts";

/** Whether a probe changes anything now, and what it does or why it does nothing. */
export function probeOf(
  { state, running, next_probe_at }: Pick<
    Provider,
    "state" | "running" | "next_probe_at"
  >,
): { isUseful: boolean; words: string } {
  switch (state) {
    case "working":
      return { isUseful: false, words: "Only for a provider that is down." };
    case "paused":
      return { isUseful: false, words: "Resume it first." };
    case "probing":
      return {
        isUseful: false,
        words: running > 0
          ? "A job is trying it now."
          : "It is due: the next job tries it.",
      };
    case "open":
      return {
        isUseful: true,
        words: next_probe_at === null
          ? "Lets one job try it immediately."
          : `Lets one job try it immediately, not at ${
            secondOf(next_probe_at)
          }.`,
      };
  }
}

const failedCalls = (count: number) =>
  count === 1 ? "the last call failed" : `${count} calls in a row failed`;

const upperFirst = (text: string) => text[0]?.toUpperCase() + text.slice(1);

/** What happens to a provider's jobs, since when, and why. */
export function standingOf(
  {
    provider,
    state,
    paused_at,
    open_since,
    next_probe_at,
    failures_in_a_row,
    breaker_threshold,
    last_error_code,
    failed_probes,
    running,
    waiting,
    scheduled,
  }: Omit<Provider, "error_rate">,
): string[] {
  const code = last_error_code ? `, the last with ${last_error_code}` : "";
  const down = open_since === null
    ? ""
    : `Down since ${whenOf(open_since)}${
      failures_in_a_row === 0
        ? ""
        : `: ${failedCalls(failures_in_a_row)}${code}`
    }.${
      failed_probes === 0
        ? ""
        : ` ${countOf(failed_probes, "probe")} failed since.`
    }`;
  switch (state) {
    case "paused":
      return [
        `Paused by an operator${
          paused_at === null ? "" : ` since ${whenOf(paused_at)}`
        }. Jobs in flight finish, the others wait until you resume it.`,
        ...(down === "" ? [] : [down]),
      ];
    case "open":
      return [
        down,
        `Its jobs wait and do not fail; nothing is sent to it.${
          next_probe_at === null
            ? ""
            : ` At ${secondOf(next_probe_at)} one job tries it.`
        }`,
      ];
    case "probing":
      return [
        down,
        `Its jobs wait and do not fail. ${
          running > 0
            ? "One job is trying it now"
            : waiting + scheduled > 0
            ? "The next job tries it alone"
            : "None waits now, and the next that arrives tries it"
        }; once it takes a call, all continue. Jobs whose call was lost first ask what became of it, one at a time.`,
      ];
    case "working":
      return [
        provider === "internal"
          ? "Not an AI service: what the functions make themselves, such as books."
          : "Its jobs are sent as they come.",
        ...(failures_in_a_row === 0 ? [] : [
          `${upperFirst(failedCalls(failures_in_a_row))}${code}.${
            breaker_threshold === null
              ? ""
              : ` At ${breaker_threshold} its jobs wait.`
          }`,
        ]),
      ];
  }
}

/** The colour of the whole: as bad as the checks say, and never good next to a number that is not. */
export function toneOf(
  { status, waiting, running, oldest_waiting, failed_last_hour }: Pick<
    Overview,
    "status" | "waiting" | "running" | "oldest_waiting" | "failed_last_hour"
  >,
): "good" | "warn" | "bad" {
  if (status === "failing") return "bad";
  const isGood = [waiting, running, oldest_waiting, failed_last_hour]
    .every(({ verdict }) => verdict === "good");
  return status === "ok" && isGood ? "good" : "warn";
}
