/** Tables of the visited points and their outcomes. */
import { nameOfPoint, type Visit } from "./points.ts";
import type { Subject } from "./subjects.ts";
import type { ChaosSummary } from "./summary.ts";

type Outcomes = ChaosSummary["types"][string];

/** Whether the job is parked as `outcome_unknown`. */
function isParked({ status, errorCode, spend }: Visit): boolean {
  return status === "failed" && errorCode === "outcome_unknown" &&
    spend === "unknown";
}

/** Whether the job completed with every step paid once, or was parked where the provider has no list to query. */
export function hasExpectedOutcome(subject: Subject, visit: Visit): boolean {
  return visit.status === "completed" && visit.creations === visit.steps ||
    subject.mayPark && isParked(visit) && visit.creations <= visit.steps;
}

/** Adds the outcomes of visits to the counts in `before`. */
export function outcomesOf(
  visits: readonly Visit[],
  before: Outcomes = {
    points: 0,
    completed: 0,
    failed: 0,
    parked: 0,
    creations: 0,
  },
): Outcomes {
  const count = (is: (visit: Visit) => boolean) => visits.filter(is).length;
  return {
    points: before.points + count(({ isReached }) => isReached),
    completed: before.completed + count(({ status }) => status === "completed"),
    failed: before.failed +
      count((visit) => visit.status === "failed" && !isParked(visit)),
    parked: before.parked + count(isParked),
    creations: before.creations +
      visits.reduce((sum, { creations }) => sum + creations, 0),
  };
}

/** One line for each job type: the points tried and the outcomes. */
export function tableOfTypes(types: ChaosSummary["types"]): string {
  return layOut([
    ["type", "points tried", "completed", "failed", "parked", "creations"],
    ...Object.entries(types).map(([name, outcomes]) => [
      name,
      String(outcomes.points),
      String(outcomes.completed),
      String(outcomes.failed),
      String(outcomes.parked),
      String(outcomes.creations),
    ]),
  ]);
}

/** One line for each point: outcome, attempts, creations and spend. */
export function tableOf(visits: readonly Visit[]): string {
  return layOut([
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
  ]);
}

function layOut(rows: string[][]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0))
  );
  return rows.map((row) =>
    `  ${
      row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")
    }`.trimEnd()
  ).join("\n");
}
