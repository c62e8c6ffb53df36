/** Describes the numbers of the overview in words. */
import type { z } from "zod";
import type {
  OpsOverview,
  overviewCountsSchema,
} from "../_shared/contracts/ops.ts";

type Counts = z.infer<typeof overviewCountsSchema>;
type Verdict = "good" | "attention" | "bad";

function judged<Value>(value: Value, verdict: Verdict, words: string) {
  return { value, verdict, words };
}

/** `3 s`, `4 min`, `2 h`, `5 days`. */
export function durationWords(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** `12 %`, `0.24 %`: two figures, so that a few failures among many jobs are not `0 %`. */
export function shareWords(share: number): string {
  return `${Number((share * 100).toPrecision(2))} %`;
}

const jobs = (count: number) => count === 1 ? "1 job" : `${count} jobs`;

const SUMMARY: Readonly<Record<Counts["status"], string>> = {
  ok: "Everything works.",
  degraded: "Jobs run, but something needs attention.",
  failing: "Jobs are held up.",
};

/**
 * What the jobs of providers with an open breaker wait for; undefined when there are none. However short their wait has
 * been so far, it is not good: each query about a lost call schedules a job again.
 */
function heldUp({ queue, open_breakers }: Counts): string | undefined {
  const held = queue.filter(({ provider, waiting, scheduled }) =>
    open_breakers.includes(provider) && waiting + scheduled > 0
  ).map(({ provider }) => provider);
  return held.length === 0
    ? undefined
    : `Jobs for ${held.join(" and ")} wait until it works again.`;
}

function judgeWaiting(counts: Counts) {
  const { waiting, scheduled } = counts;
  const now = waiting === 0
    ? "Nothing waits."
    : `${jobs(waiting)} ready to start.`;
  const held = heldUp(counts);
  const later = scheduled === 0 ? [] : [
    `${scheduled === 1000 ? "At least 1000" : scheduled} scheduled for later.`,
  ];
  return held === undefined
    ? judged(waiting, "good", [now, ...later].join(" "))
    : judged(
      waiting,
      "attention",
      [held, ...(waiting === 0 ? [] : [now]), ...later].join(" "),
    );
}

function judgeOldest(counts: Counts) {
  const { oldest_waiting_seconds: seconds } = counts;
  const held = heldUp(counts);
  if (held !== undefined && (seconds === null || seconds <= 60)) {
    return judged(seconds, "attention", held);
  }
  if (seconds === null) return judged(null, "good", "Nothing waits.");
  if (seconds <= 60) return judged(seconds, "good", "No delay.");
  const words = `The oldest job has waited for ${durationWords(seconds)}.`;
  return judged(seconds, seconds <= 600 ? "attention" : "bad", words);
}

function judgeFailed(
  { failed_last_hour: failed, completed_last_hour }: Counts,
) {
  const ended = failed + completed_last_hour;
  if (failed === 0) return judged(0, "good", "No job failed.");
  const share = failed / ended;
  const words = ended === 1
    ? "The only job that ended."
    : `${
      shareWords(share)
    } of ${ended} job endings; each failed retry counts separately.`;
  if (share <= 0.05) return judged(failed, "good", words);
  return judged(failed, share <= 0.5 ? "attention" : "bad", words);
}

function observed(counts: Counts, name: string): number {
  return counts.checks.find((check) => check.name === name)?.observed ?? 0;
}

/** The state as one sentence. It never says that everything works while a number next to it says otherwise. */
function summaryOf(counts: Counts, verdicts: readonly Verdict[]): string {
  const { status, failing_since, checked_at } = counts;
  if (status === "degraded" && failing_since !== null) {
    const seconds = (Date.parse(checked_at) - Date.parse(failing_since)) / 1000;
    return `Jobs run, but ${
      shareWords(observed(counts, "failed_share"))
    } of those that ended in the last 15 minutes failed. The failure rate has been too high for ${
      seconds > 3500 ? "an hour or more" : durationWords(seconds)
    }.`;
  }
  return status === "ok" && verdicts.some((verdict) => verdict !== "good")
    ? "Jobs run, but some numbers need a look."
    : SUMMARY[status];
}

/** Adds a verdict and a sentence to each number of the overview. */
export function judge(counts: Counts): OpsOverview {
  const { waiting, running } = counts;
  const stuck = observed(counts, "stuck_jobs");
  const parked = observed(counts, "parked_jobs");
  const numbers = {
    waiting: judgeWaiting(counts),
    // Jobs that wait for another job are not due.
    running:
      running === 0 && waiting > 0 && counts.oldest_waiting_seconds !== null
        ? judged(running, "attention", "Nothing runs although jobs wait.")
        : judged(
          running,
          "good",
          running === 0 ? "Idle." : `${jobs(running)} in progress.`,
        ),
    oldest_waiting: judgeOldest(counts),
    failed_last_hour: judgeFailed(counts),
    stuck: stuck === 0
      ? judged(0, "good", "Nothing is stuck.")
      : judged(stuck, "bad", `${jobs(stuck)} should make progress but do not.`),
    parked: parked === 0
      ? judged(0, "good", "Nothing needs a person.")
      : judged(
        parked,
        "attention",
        `${jobs(parked)} with a paid call of unknown outcome.`,
      ),
  };
  const verdicts = Object.values(numbers).map(({ verdict }) => verdict);
  return { ...counts, ...numbers, words: summaryOf(counts, verdicts) };
}
