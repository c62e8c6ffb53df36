import { assertEquals } from "@std/assert";
import {
  isDue,
  readSchedule,
} from "../../../../../dev/stack/extensions/pg_cron/schedule.ts";

function due(schedule: string, lastStart: string, now: string): boolean {
  const parsed = readSchedule(schedule);
  if (parsed === undefined) throw new Error(`not a schedule: ${schedule}`);
  return isDue(parsed, new Date(lastStart), new Date(now));
}

Deno.test("readSchedule: an invalid schedule gives undefined", () => {
  for (
    const text of [
      "",
      "* * * *",
      "* * * * * *",
      "60 * * * *",
      "* 24 * * *",
      "* * 0 * *",
      "* * 32 * *",
      "* * * 13 *",
      "* * * * 8",
      "5-1 * * * *",
      "*/0 * * * *",
      "0 seconds",
      "60 seconds",
      "x * * * *",
      "1,,2 * * * *",
      "* * L * *",
      "* * * * 5#2",
      "* * ? * *",
    ]
  ) assertEquals(readSchedule(text), undefined, text);
});

Deno.test("isDue: a seconds schedule counts from the last start", () => {
  assertEquals(
    due("5 seconds", "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:04.999Z"),
    false,
  );
  assertEquals(
    due("5 seconds", "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:05.000Z"),
    true,
  );
});

Deno.test("isDue: a calendar schedule fires once in each minute that it names, in UTC", () => {
  const at = (now: string, last = "2026-01-01T00:00:00Z") =>
    due("17 3 * * *", last, now);
  assertEquals(at("2026-01-02T03:16:59.999Z"), false);
  assertEquals(at("2026-01-02T03:17:00.000Z"), true);
  assertEquals(at("2026-01-02T03:17:59.999Z"), true);
  assertEquals(
    at("2026-01-02T03:17:30Z", "2026-01-02T03:17:00Z"),
    false,
    "it ran in this minute",
  );
  assertEquals(at("2026-01-02T03:18:00Z"), false);
});

Deno.test("isDue: lists, ranges, steps, names and the last day of the month", () => {
  const long = "2020-01-01T00:00:00Z";
  const cases: [string, string, boolean][] = [
    ["*/15 * * * *", "2026-03-04T05:45:00Z", true],
    ["*/15 * * * *", "2026-03-04T05:46:00Z", false],
    ["10-20/5 * * * *", "2026-03-04T05:15:00Z", true],
    ["10-20/5 * * * *", "2026-03-04T05:16:00Z", false],
    ["0 9,17 * * *", "2026-03-04T17:00:00Z", true],
    ["0 0 * jan,mar *", "2026-03-04T00:00:00Z", true],
    ["0 0 * jan,mar *", "2026-02-04T00:00:00Z", false],
    ["0 0 * * mon-fri", "2026-03-06T00:00:00Z", true],
    ["0 0 * * mon-fri", "2026-03-07T00:00:00Z", false],
    ["0 0 * * 7", "2026-03-08T00:00:00Z", true],
    ["0 0 $ * *", "2028-02-29T00:00:00Z", true],
    ["0 0 $ * *", "2026-02-27T00:00:00Z", false],
    ["@hourly", "2026-02-27T13:00:00Z", true],
    ["@monthly", "2026-02-27T00:00:00Z", false],
  ];
  for (const [schedule, now, expected] of cases) {
    assertEquals(due(schedule, long, now), expected, `${schedule} at ${now}`);
  }
});

Deno.test("isDue: with both a day of the month and a weekday, either is enough", () => {
  const long = "2020-01-01T00:00:00Z";
  assertEquals(due("0 0 13 * fri", long, "2026-03-06T00:00:00Z"), true);
  assertEquals(due("0 0 13 * fri", long, "2026-05-13T00:00:00Z"), true);
  assertEquals(due("0 0 13 * fri", long, "2026-05-14T00:00:00Z"), false);
  assertEquals(due("0 0 13 * *", long, "2026-03-06T00:00:00Z"), false);
  assertEquals(due("0 0 */2 * fri", long, "2026-03-06T00:00:00Z"), false);
  assertEquals(due("0 0 */2 * fri", long, "2026-03-13T00:00:00Z"), true);
});
