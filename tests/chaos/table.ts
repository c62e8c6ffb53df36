/** The table of points and what became of their jobs. */
import { nameOfPoint, type Visit } from "./points.ts";

/** One line for each point: how the job ended, after how many attempts, with how many creations. */
export function tableOf(visits: readonly Visit[]): string {
  const rows = [
    ["point", "outcome", "attempts", "creations", "spend"],
    ...visits.map((visit) => [
      nameOfPoint(visit.point),
      !visit.isReached
        ? "not reached"
        : visit.errorCode === null
        ? visit.status
        : `${visit.status}: ${visit.errorCode}`,
      String(visit.attempts),
      String(visit.creations),
      visit.spend,
    ]),
  ];
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0))
  );
  return rows.map((row) =>
    `  ${
      row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")
    }`.trimEnd()
  ).join("\n");
}
