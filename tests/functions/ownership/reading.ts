/** A read as an attempt: what it requests, which grants it needs, and the rows that it should return. */
import { z } from "zod";
import { type Attempt, refusalOf, rest } from "./attempt.ts";
import type { Relation } from "./catalogue.ts";
import type { Row } from "./fixture.ts";
import type { Actor } from "./people.ts";
import {
  grantedColumns,
  keyOf,
  listed,
  namesIn,
  rowsWithRight,
} from "./rows.ts";
import type { Stage } from "./stage.ts";

/** Rows in an answer. */
export const rowsSchema = z.array(z.record(z.string(), z.unknown()));
const NOT_GRANTED = "not granted";

/** A read as an attempt. `expected` is what a caller with every needed grant would see. */
export interface Reading {
  what: string;
  column?: string;
  path: string;
  /** Columns that the request names, by relation. */
  needs: [Relation, string[]][];
  expected: string;
  /**
   * Whether the caller may be refused where the expected answer is `nothing`: the embedded REST joins by the first
   * column of a key only, a hosted one by all, and so needs more grants.
   */
  mayBeRefused?: boolean;
  /** Describes the rows of the response; by default by their names. */
  describe?(rows: Record<string, unknown>[]): string;
  subjects?: string[];
}

/** Whether the caller's role lacks a grant that a request needs. */
export function missesGrant(
  stage: Stage,
  actor: Actor,
  needs: Reading["needs"],
) {
  return needs.some(([relation, columns]) => {
    const granted = grantedColumns(stage, actor, relation, "select");
    return granted.length === 0 ||
      columns.some((column) => !granted.includes(column));
  });
}

/** The reading as an attempt. */
export function asAttempt(
  stage: Stage,
  actor: Actor,
  relation: Relation,
  reading: Reading,
): Attempt {
  const isRefused = missesGrant(stage, actor, reading.needs);
  return {
    subjects: [`table ${relation.name}`, ...reading.subjects ?? []],
    actor: actor.name,
    operation: "select",
    ...(reading.column === undefined ? {} : { column: reading.column }),
    what: reading.what,
    expected: isRefused ? NOT_GRANTED : reading.expected,
    mayChange: false,
    async run() {
      const answer = await rest(stage.apiUrl, actor, "GET", reading.path);
      const refusal = refusalOf(answer);
      // The API may refuse either of two relations first.
      if (refusal?.startsWith(NOT_GRANTED)) {
        return reading.mayBeRefused && !isRefused ? "nothing" : NOT_GRANTED;
      }
      if (refusal !== undefined) return refusal;
      const rows = rowsSchema.parse(answer.body);
      return reading.describe?.(rows) ??
        listed(namesIn(stage, relation.name, rows));
    },
  };
}

/** Columns that identify rows; for a caller who may not name the key, all columns that they may name. */
export function shownColumns(
  stage: Stage,
  actor: Actor,
  relation: Relation,
): string[] {
  const granted = grantedColumns(stage, actor, relation, "select");
  const key = keyOf(relation);
  return key.every((column) => granted.includes(column)) || granted.length === 0
    ? key
    : granted;
}

/** A row that the caller should not see or, where everything may be seen, any. */
export function targetOf(stage: Stage, actor: Actor, relation: Relation): Row {
  const rows = stage.fixture[relation.name]?.rows ?? [];
  const visible = rowsWithRight(stage, actor, relation.name, "select");
  const target = rows.find((row) => !visible.includes(row)) ?? rows[0];
  if (target === undefined) {
    throw new Error(`fixture.ts has no row of ${relation.name}`);
  }
  return target;
}
