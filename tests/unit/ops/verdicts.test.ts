import { assertEquals } from "@std/assert";
import type { z } from "zod";
import type { overviewCountsSchema } from "../../../supabase/functions/_shared/contracts/ops.ts";
import {
  durationWords,
  judge,
  shareWords,
} from "../../../supabase/functions/ops/verdicts.ts";

type Counts = z.infer<typeof overviewCountsSchema>;

function counts(change: Partial<Counts> = {}, observed = {}): Counts {
  const all: Record<string, number> = {
    stuck_jobs: 0,
    parked_jobs: 0,
    ...observed,
  };
  return {
    status: "ok",
    checked_at: "2026-01-01T00:00:00Z",
    oldest_waiting_seconds: null,
    queue: [],
    open_breakers: [],
    failing_since: null,
    checks: Object.entries(all).map(([name, value]) => ({
      name,
      status: "ok",
      observed: value,
      limit: 0,
      unit: "jobs",
    })),
    waiting: 0,
    scheduled: 0,
    running: 0,
    completed_last_hour: 0,
    failed_last_hour: 0,
    spent_micros_last_hour: 0,
    ...change,
  };
}

Deno.test("overview: every number of an idle project is labelled good", () => {
  const { words, waiting, running, oldest_waiting, failed_last_hour, stuck } =
    judge(counts());
  assertEquals(words, "Everything works.");
  assertEquals(
    [waiting, running, oldest_waiting, failed_last_hour, stuck].map((one) =>
      `${one.value} ${one.verdict}: ${one.words}`
    ),
    [
      "0 good: Nothing waits.",
      "0 good: Idle.",
      "null good: Nothing waits.",
      "0 good: No job failed.",
      "0 good: Nothing is stuck.",
    ],
  );
});

Deno.test("overview: jobs that wait for an open breaker are not labelled good, due or scheduled", () => {
  const words = (waiting: number, scheduled: number, change = {}) => {
    const provider = "heygen";
    const judged = judge(counts({
      waiting,
      scheduled,
      queue: [{ provider, waiting, scheduled, running: 0 }],
      open_breakers: [provider],
      ...change,
    }));
    return [judged.waiting, judged.oldest_waiting].map((one) =>
      `${one.verdict}: ${one.words}`
    );
  };
  const held = "Jobs for heygen wait until it works again.";
  assertEquals(words(0, 12), [
    `attention: ${held} 12 scheduled for later.`,
    `attention: ${held}`,
  ]);
  assertEquals(words(2, 0), [
    `attention: ${held} 2 jobs ready to start.`,
    `attention: ${held}`,
  ]);
  assertEquals(
    words(2, 0, { oldest_waiting_seconds: 700 })[1],
    "bad: The oldest job has waited for 12 min.",
  );
  const good = ["good: Nothing waits.", "good: Nothing waits."];
  assertEquals(words(0, 0), good);
  assertEquals(words(0, 0, { open_breakers: ["d-id"] }), good);
});

Deno.test("overview: waiting jobs while none runs, old ones, failed ones, stuck and parked ones are judged", () => {
  const verdicts = (change: Partial<Counts>, observed = {}) => {
    const { running, oldest_waiting, failed_last_hour, stuck, parked } = judge(
      counts(change, observed),
    );
    return {
      running: running.verdict,
      oldest: oldest_waiting.verdict,
      failed: failed_last_hour.verdict,
      stuck: stuck.verdict,
      parked: parked.verdict,
    };
  };
  const good = {
    running: "good",
    oldest: "good",
    failed: "good",
    stuck: "good",
    parked: "good",
  } as const;
  assertEquals(verdicts({ waiting: 5, running: 1 }), good);
  assertEquals(verdicts({ waiting: 5, oldest_waiting_seconds: 3 }), {
    ...good,
    running: "attention",
  });
  // They wait for another job, so that none is due.
  assertEquals(verdicts({ waiting: 5 }), good);
  assertEquals(verdicts({ oldest_waiting_seconds: 60 }), good);
  assertEquals(verdicts({ oldest_waiting_seconds: 61 }), {
    ...good,
    oldest: "attention",
  });
  assertEquals(verdicts({ oldest_waiting_seconds: 601 }), {
    ...good,
    oldest: "bad",
  });
  assertEquals(
    verdicts({ failed_last_hour: 5, completed_last_hour: 95 }),
    good,
  );
  assertEquals(
    verdicts({ failed_last_hour: 6, completed_last_hour: 94 }),
    { ...good, failed: "attention" },
  );
  assertEquals(
    verdicts({ failed_last_hour: 51, completed_last_hour: 49 }),
    { ...good, failed: "bad" },
  );
  assertEquals(verdicts({}, { stuck_jobs: 1 }), { ...good, stuck: "bad" });
  assertEquals(verdicts({}, { parked_jobs: 2 }), {
    ...good,
    parked: "attention",
  });
});

Deno.test("overview: durations are in a readable unit", () => {
  assertEquals(
    [0.4, 89, 90, 5399, 5400, 172_799, 172_800].map(durationWords),
    ["0 s", "89 s", "2 min", "90 min", "2 h", "48 h", "2 days"],
  );
});

Deno.test("overview: jobs that are scheduled for later are counted separately from those that wait", () => {
  const words = (waiting: number, scheduled: number) =>
    judge(counts({ waiting, scheduled })).waiting.words;
  assertEquals(words(0, 0), "Nothing waits.");
  assertEquals(words(2, 0), "2 jobs ready to start.");
  assertEquals(words(0, 7), "Nothing waits. 7 scheduled for later.");
  assertEquals(
    words(1, 1000),
    "1 job ready to start. At least 1000 scheduled for later.",
  );
});

Deno.test("overview: a few failures among many jobs are not 0 %", () => {
  assertEquals(
    [3 / 1259, 0.123, 0.5, 1].map(shareWords),
    ["0.24 %", "12 %", "50 %", "100 %"],
  );
});

Deno.test("overview: failures are counted as endings of jobs, since one that is retried ends again", () => {
  const words = (failed_last_hour: number, completed_last_hour: number) =>
    judge(counts({ failed_last_hour, completed_last_hour })).failed_last_hour
      .words;
  assertEquals(words(0, 3), "No job failed.");
  assertEquals(words(1, 0), "The only job that ended.");
  assertEquals(
    words(3, 4),
    "43 % of 7 job endings; each failed retry counts separately.",
  );
});

Deno.test("overview: it never says that everything works if a number needs attention", () => {
  assertEquals(
    judge(counts({ failed_last_hour: 3, completed_last_hour: 4 })).words,
    "Jobs run, but some numbers need a look.",
  );
  const failing = (failing_since: string) =>
    judge(
      counts({
        status: "degraded",
        checked_at: "2026-01-01T01:00:20Z",
        failing_since,
      }, { failed_share: 0.432 }),
    ).words;
  assertEquals(
    failing("2026-01-01T00:48:00Z"),
    "Jobs run, but 43 % of those that ended in the last 15 minutes failed. The failure rate has been too high for 12 min.",
  );
  assertEquals(
    failing("2026-01-01T00:01:00Z"),
    "Jobs run, but 43 % of those that ended in the last 15 minutes failed. The failure rate has been too high for an hour or more.",
  );
  assertEquals(
    judge(counts({ status: "degraded" })).words,
    "Jobs run, but something needs attention.",
  );
});
