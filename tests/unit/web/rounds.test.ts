import { assertEquals } from "@std/assert";
import { withoutRepeats } from "../../../web/words/rounds.ts";

/** Entries one second apart; what follows a colon is their stage. */
function timeline(...names: string[]) {
  return names.map((name, index) => {
    const [event = "", stage] = name.split(":");
    const second = String(index).padStart(2, "0");
    return { event, stage, created_at: `2026-11-22T10:00:${second}Z` };
  });
}

const shown = (...names: string[]) =>
  withoutRepeats(
    timeline(...names),
    ({ event, stage }) => `${event} ${stage ?? ""}`,
  ).map(({ entry, times, lastAt }) =>
    [entry.event, ...(times > 1 ? [times, lastAt.slice(17, 19)] : [])].join(" ")
  );

const POLL = ["claimed", "progress:reconciling", "snoozed:reconciling"];

Deno.test("page timeline: polls that read the same are one, with their number and the time of the last", () => {
  assertEquals(
    shown("created", ...POLL, ...POLL, ...POLL, "claimed", "completed"),
    ["created", "claimed", "progress", "snoozed 3 09", "claimed", "completed"],
  );
});

Deno.test("page timeline: a poll that reads differently is shown, and so is what happens between two", () => {
  const rendering = ["claimed", "progress:rendering", "snoozed:rendering"];
  assertEquals(shown(...POLL, ...rendering, ...POLL).length, 9);
  assertEquals(shown(...POLL, "rescued", ...POLL).length, 7);
  assertEquals(
    shown("claimed", "submitted", "settled", "snoozed:reconciling", ...POLL)
      .length,
    7,
  );
});

Deno.test("page timeline: a run that is not over is shown, also when it begins like the one before", () => {
  assertEquals(
    shown(...POLL, ...POLL, "claimed", "progress:reconciling"),
    ["claimed", "progress", "snoozed 2 05", "claimed", "progress"],
  );
});

Deno.test("page timeline: nothing is lost when nothing repeats", () => {
  assertEquals(shown(), []);
  assertEquals(
    shown(
      "created",
      "claimed",
      "progress:storing_output",
      "retried",
      "claimed",
    ),
    ["created", "claimed", "progress", "retried", "claimed"],
  );
});
