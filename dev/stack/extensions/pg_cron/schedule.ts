/** When a pg_cron schedule is due: five fields in UTC, or `'[1-59] seconds'`. */

/** A schedule that has been read. */
export type CronSchedule =
  | { kind: "seconds"; every: number }
  | { kind: "calendar"; matches: (date: Date) => boolean };

const months = [
  "jan",
  "feb",
  "mar",
  "apr",
  "may",
  "jun",
  "jul",
  "aug",
  "sep",
  "oct",
  "nov",
  "dec",
];
const weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const shorthands: Record<string, string> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};

function readField(
  field: string,
  lowest: number,
  highest: number,
  names: string[] = [],
): Set<number> | undefined {
  const values = new Set<number>();
  for (const part of field.toLowerCase().split(",")) {
    const numeric = names.reduce(
      (text, name, index) => text.replaceAll(name, String(lowest + index)),
      part,
    );
    const found = /^(?:\*|(\d+)(?:-(\d+))?)(?:\/(\d+))?$/.exec(numeric);
    if (found === null) return undefined;
    const [, first, last, every] = found;
    const low = first === undefined ? lowest : Number(first);
    const high = last !== undefined
      ? Number(last)
      : first === undefined || every !== undefined
      ? highest
      : low;
    const step = Number(every ?? 1);
    if (low < lowest || high > highest || low > high || step < 1) {
      return undefined;
    }
    for (let value = low; value <= high; value += step) values.add(value);
  }
  return values;
}

function isLastDayOfMonth(date: Date): boolean {
  return new Date(date.getTime() + 86_400_000).getUTCDate() === 1;
}

/** Reads a schedule; undefined when it is not one. */
export function readSchedule(text: string): CronSchedule | undefined {
  const seconds = /^\s*(\d{1,2})\s+seconds?\s*$/i.exec(text)?.[1];
  if (seconds !== undefined) {
    const every = Number(seconds);
    return every >= 1 && every <= 59 ? { kind: "seconds", every } : undefined;
  }
  const trimmed = text.trim();
  const fields = (shorthands[trimmed.toLowerCase()] ?? trimmed).split(/\s+/);
  const [minute = "", hour = "", day = "", month = "", weekday = ""] = fields;
  if (fields.length !== 5) return undefined;
  const minutes = readField(minute, 0, 59);
  const hours = readField(hour, 0, 23);
  const isLastDay = day === "$";
  const days = isLastDay ? new Set<number>() : readField(day, 1, 31);
  const inMonths = readField(month, 1, 12, months);
  const onWeekdays = readField(weekday, 0, 7, weekdays);
  if (!minutes || !hours || !days || !inMonths || !onWeekdays) return undefined;
  if (onWeekdays.has(7)) onWeekdays.add(0);
  // As every cron: with both a day and a weekday given, either is enough.
  const anyDay = day.startsWith("*"), anyWeekday = weekday.startsWith("*");
  return {
    kind: "calendar",
    matches(date) {
      if (!minutes.has(date.getUTCMinutes())) return false;
      if (!hours.has(date.getUTCHours())) return false;
      if (!inMonths.has(date.getUTCMonth() + 1)) return false;
      const dayFits = isLastDay
        ? isLastDayOfMonth(date)
        : days.has(date.getUTCDate());
      const weekdayFits = onWeekdays.has(date.getUTCDay());
      return anyDay || anyWeekday
        ? dayFits && weekdayFits
        : dayFits || weekdayFits;
    },
  };
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
  const minuteOf = (date: Date) => Math.floor(date.getTime() / 60_000);
  return minuteOf(now) > minuteOf(lastStart) && schedule.matches(now);
}
