/** When a schedule of pg_cron is due: five fields in UTC, or `'[1-59] seconds'`. */
import { Cron } from "croner";

/** A parsed schedule. */
export type CronSchedule =
  | { kind: "seconds"; every: number }
  | { kind: "calendar"; matches: (date: Date) => boolean };

const SHORTHANDS =
  /^@(?:yearly|annually|monthly|weekly|daily|midnight|hourly)$/i;

/** pg_cron has five fields of numbers, names of three letters and `* , - /`, and `$` for the last day of the month. */
const FIELD = "(?:\\d+|[a-zA-Z]{3}|[*,/-])+";
const FIELDS = new RegExp(
  `^${FIELD}\\s+${FIELD}\\s+(?:\\$|${FIELD})\\s+${FIELD}\\s+${FIELD}$`,
);

/** Parses a schedule; undefined for one that pg_cron would refuse. */
export function readSchedule(text: string): CronSchedule | undefined {
  const trimmed = text.trim();
  const seconds = /^(\d{1,2})\s+seconds?$/i.exec(trimmed)?.[1];
  if (seconds !== undefined) {
    const every = Number(seconds);
    return every >= 1 && every <= 59 ? { kind: "seconds", every } : undefined;
  }
  if (!SHORTHANDS.test(trimmed) && !FIELDS.test(trimmed)) return undefined;
  const [, , day = "*", , weekday = "*"] = trimmed.split(/\s+/);
  try {
    const cron = new Cron(trimmed.replace("$", "L"), {
      paused: true,
      timezone: "UTC",
      // As in Vixie cron: with both a day and a weekday either is enough, unless one begins with a star.
      domAndDow: day.startsWith("*") || weekday.startsWith("*"),
      sloppyRanges: true, // 5/10
    });
    return { kind: "calendar", matches: (date) => cron.match(date) };
  } catch {
    return undefined; // croner throws for what it cannot parse
  }
}

/**
 * Whether a job is due at `now`. A seconds schedule counts from the last start (or from when the job was first
 * seen); a calendar schedule fires once in each minute that it names.
 */
export function isDue(
  schedule: CronSchedule,
  lastStart: Date,
  now: Date,
): boolean {
  if (schedule.kind === "seconds") {
    return now.getTime() - lastStart.getTime() >= schedule.every * 1000;
  }
  const minute = Math.floor(now.getTime() / 60_000);
  return minute > Math.floor(lastStart.getTime() / 60_000) &&
    schedule.matches(new Date(minute * 60_000));
}
