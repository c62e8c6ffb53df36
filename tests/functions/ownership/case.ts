/** Attempts that are written by hand, and the functions that they use. */
import type { Attempt, Operation } from "./attempt.ts";
import { relationNamed } from "./catalogue.ts";
import type { Json, Values } from "./fixture.ts";
import { rowOf } from "./function-attempts.ts";
import { withChanges } from "./own-attempts.ts";
import type { ActorName } from "./people.ts";
import { filterFor } from "./rows.ts";
import type { Stage } from "./stage.ts";
import { write } from "./writing.ts";

/** An attempt that no rule over the catalogue covers. */
export interface Case {
  subjects: string[];
  actor: ActorName;
  operation: Operation;
  what: string;
  expected: string;
  /** Absent: nothing may change. Otherwise whether the changes are part of the outcome. */
  changes?: "in the outcome" | "not compared";
  run(): Promise<string>;
}

/** The case as an attempt. */
export function asAttempt(stage: Stage, { changes, ...rest }: Case): Attempt {
  return {
    ...rest,
    mayChange: changes !== undefined,
    ...(changes === undefined ? {} : {
      judge: changes === "in the outcome"
        ? withChanges(stage)
        : (outcome: string) => outcome,
    }),
  };
}

/** Inserts, updates and deletes rows by name, as a caller. */
export function writerOf(stage: Stage, name: ActorName) {
  const actor = stage.people.actors[name];
  const relation = (of: string) => relationNamed(stage.catalogue, of);
  return {
    insert: (of: string, body: Json) =>
      write(stage, actor, relation(of), "POST", "", body),
    change: (owner: "A" | "B", of: string, kind: string, body: Values) =>
      write(
        stage,
        actor,
        relation(of),
        "PATCH",
        filterFor(relation(of), rowOf(stage, owner, of, kind)),
        body,
      ),
    remove: (owner: "A" | "B", of: string, kind: string) =>
      write(
        stage,
        actor,
        relation(of),
        "DELETE",
        filterFor(relation(of), rowOf(stage, owner, of, kind)),
      ),
  };
}
