/** Timelines without their repetitions: a job that polls its provider reads the same every few seconds. */

/** An entry of a timeline as the page shows it. */
export interface Line<Entry> {
  entry: Entry;
  /** How often in a row it was read the same, with the entries before it. */
  times: number;
  /** When it was read last. */
  lastAt: string;
}

/**
 * The entries in order, where equal rounds in a row are one. A round goes from the start of a run (`claimed`) to the
 * pause that ends it (`snoozed`); its last entry has the number of rounds, and the time of the last one.
 *
 * @param read the entry in words. Rounds are equal when all their entries read the same.
 */
export function withoutRepeats<
  Entry extends { event: string; created_at: string },
>(
  entries: readonly Entry[],
  read: (entry: Entry) => string,
): Line<Entry>[] {
  const lines: Line<Entry>[] = [];
  let last: { words: string; end: Line<Entry> } | undefined;
  for (let at = 0; at < entries.length;) {
    const round = roundAt(entries, at);
    const words = JSON.stringify(round.map(read));
    const end = round.at(-1);
    if (end === undefined) break;
    at += round.length;
    if (end.event === "snoozed" && last?.words === words) {
      last.end.times++;
      last.end.lastAt = end.created_at;
      continue;
    }
    const shown = round.map((entry) => ({
      entry,
      times: 1,
      lastAt: entry.created_at,
    }));
    lines.push(...shown);
    const shownEnd = shown.at(-1);
    last = end.event !== "snoozed" || shownEnd === undefined
      ? undefined
      : { words, end: shownEnd };
  }
  return lines;
}

/** The round that begins at `start`; only that entry when no round does. */
function roundAt<Entry extends { event: string }>(
  entries: readonly Entry[],
  start: number,
): readonly Entry[] {
  const first = entries.slice(start, start + 1);
  if (first[0]?.event !== "claimed") return first;
  const rest = entries.slice(start + 1);
  const end = rest.findIndex(({ event }) => !INSIDE.includes(event));
  return rest[end]?.event === "snoozed"
    ? entries.slice(start, start + end + 2)
    : first;
}

/** What can lie between the start of a run and its pause. */
const INSIDE: readonly string[] = ["progress", "submitted", "settled"];
