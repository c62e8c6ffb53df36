/** Attempts to write what the caller may not: columns that are not granted, others' rows, rows in another's name. */
import { type Attempt, refusalOf, rest } from "./attempt.ts";
import type { Relation } from "./catalogue.ts";
import type { Row, Values } from "./fixture.ts";
import { type Actor, type ActorName, ACTORS, type Owner } from "./people.ts";
import {
  filterFor,
  grantedColumns,
  hasRight,
  keyOf,
  mayDelete,
  mayNameKey,
  nameOf,
  pick,
} from "./rows.ts";
import type { Stage } from "./stage.ts";
import { anotherOwner, freshRow, write, writeEveryRow } from "./writing.ts";

const NO_ROW = "00000000-0000-4000-8000-000000000000";

/** The owner in whose name a caller writes: users in their own, everyone else in that of A. */
function selfOf(actor: Actor): Owner {
  return actor.name === "B" || actor.name === "vendor" ? actor.name : "A";
}

/** The values of `attempt` that most attempts share. */
function attempt(
  relation: Relation,
  actor: ActorName,
  operation: "insert" | "update" | "delete",
  what: string,
  expected: string,
  run: () => Promise<string>,
  column?: string,
): Attempt {
  return {
    subjects: [`table ${relation.name}`],
    actor,
    operation,
    what,
    expected,
    mayChange: false,
    run,
    ...(column === undefined ? {} : { column }),
  };
}

function withoutKey(stage: Stage, relation: Relation): Attempt[] {
  const actor = stage.people.actors["no key"];
  const methods = [
    ["insert", "POST"],
    ["update", "PATCH"],
    ["delete", "DELETE"],
  ] as const;
  return methods.map(([operation, method]) =>
    attempt(
      relation,
      actor.name,
      operation,
      `${operation} anything`,
      "no key",
      async () =>
        refusalOf(
          await rest(stage.apiUrl, actor, method, relation.name, {
            ...(method === "DELETE" ? {} : { body: {} }),
          }),
        ) ?? "written",
    )
  );
}

/** Every column that the caller's role is not granted, written into a row that would be theirs. */
function columnAttempts(
  stage: Stage,
  actor: Actor,
  relation: Relation,
): Attempt[] {
  const insertable = grantedColumns(stage, actor, relation, "insert");
  const updatable = grantedColumns(stage, actor, relation, "update");
  const rows = stage.fixture[relation.name]?.rows ?? [];
  const own = rows.find(({ owner }) => owner === actor.name) ?? rows[0];
  const filter = own !== undefined && mayNameKey(stage, actor, relation)
    ? filterFor(relation, own)
    : "";
  return relation.columns.flatMap(({ name, isGenerated }) => {
    const expected = isGenerated ? "refused 428C9" : "not granted";
    const value = own?.values[name] ?? null;
    return [
      ...(insertable.includes(name) ? [] : [attempt(
        relation,
        actor.name,
        "insert",
        `insert a row with ${name}`,
        expected,
        () =>
          write(stage, actor, relation, "POST", "", {
            ...pick(freshRow(stage, relation, selfOf(actor)), insertable),
            [name]: value,
          }),
        name,
      )]),
      ...(updatable.includes(name) ? [] : [attempt(
        relation,
        actor.name,
        "update",
        `set ${name}`,
        expected,
        () => write(stage, actor, relation, "PATCH", filter, { [name]: value }),
        name,
      )]),
    ];
  });
}

/** Attempts to change and delete others' rows by their keys, as if they did not exist. */
function foreignRowAttempts(
  stage: Stage,
  actor: Actor,
  relation: Relation,
): Attempt[] {
  const fixture = stage.fixture[relation.name];
  const updatable = grantedColumns(stage, actor, relation, "update");
  const isDeletable = mayDelete(stage, actor, relation);
  const all = fixture?.rows ?? [];
  // Without the grant every row is refused alike, so one is enough.
  const some = all.slice(-1);
  const filter = (row: Row) =>
    mayNameKey(stage, actor, relation) ? filterFor(relation, row) : "";
  return [
    ...(updatable.length === 0
      ? some
      : all.filter((row) => !hasRight(stage, actor, row, "update"))).map((
        row,
      ) =>
        attempt(
          relation,
          actor.name,
          "update",
          `change ${nameOf(row)}`,
          updatable.length > 0 ? "nothing" : "not granted",
          () =>
            write(
              stage,
              actor,
              relation,
              "PATCH",
              filter(row),
              fixture?.change?.(row.owner ?? "A") ??
                { [relation.columns[0]?.name ?? ""]: null },
            ),
        )
      ),
    ...(isDeletable
      ? all.filter((row) => !hasRight(stage, actor, row, "delete"))
      : some).map((row) =>
        attempt(
          relation,
          actor.name,
          "delete",
          `delete ${nameOf(row)}`,
          isDeletable ? "nothing" : "not granted",
          () => write(stage, actor, relation, "DELETE", filter(row)),
        )
      ),
  ];
}

/** A row in another's name, with every column that may be written. */
function foreignInsertAttempt(
  stage: Stage,
  actor: Actor,
  relation: Relation,
): Attempt {
  const insertable = grantedColumns(stage, actor, relation, "insert");
  const owner = anotherOwner(stage, relation, actor);
  return attempt(
    relation,
    actor.name,
    "insert",
    `insert a row of ${owner}'s`,
    insertable.length > 0 ? "against the policy" : "not granted",
    () => {
      const row = freshRow(stage, relation, owner);
      return write(
        stage,
        actor,
        relation,
        "POST",
        "",
        insertable.length > 0 ? pick(row, insertable) : row,
        { blind: true },
      );
    },
  );
}

/** The secret key's grants; those that exist are tried without a matching row. */
function serviceAttempts(stage: Stage, relation: Relation): Attempt[] {
  const actor = stage.people.actors.service;
  const [key = ""] = keyOf(relation);
  const [column = ""] = relation.columns.filter(({ isGenerated }) =>
    !isGenerated
  ).map(({ name }) => name);
  const isGranted = {
    update: grantedColumns(stage, actor, relation, "update").length > 0,
    delete: mayDelete(stage, actor, relation),
  };
  const nothing = `${key}=eq.${NO_ROW}`;
  const isUuid = relation.primaryKey.length > 0 &&
    /^[0-9a-f-]{36}$/.test(
      stage.fixture[relation.name]?.rows[0]?.stored[key] ?? "",
    );
  const filter = isUuid ? nothing : `${key}=eq.no such row`;
  return [
    attempt(
      relation,
      actor.name,
      "update",
      "change a row that does not exist",
      isGranted.update ? "nothing" : "not granted",
      () => write(stage, actor, relation, "PATCH", filter, { [column]: null }),
    ),
    attempt(
      relation,
      actor.name,
      "delete",
      "delete a row that does not exist",
      isGranted.delete ? "nothing" : "not granted",
      () => write(stage, actor, relation, "DELETE", filter),
    ),
    ...(grantedColumns(stage, actor, relation, "insert").length > 0
      ? []
      : [foreignInsertAttempt(stage, actor, relation)]),
  ];
}

/** Every write that is refused, for every caller. */
export function writeAttempts(stage: Stage, relation: Relation): Attempt[] {
  const callers = ACTORS.filter((name) =>
    name !== "no key" && name !== "service"
  ).map((name) => stage.people.actors[name]);
  return [
    ...withoutKey(stage, relation),
    ...callers.flatMap((actor) => [
      ...columnAttempts(stage, actor, relation),
      ...foreignRowAttempts(stage, actor, relation),
      foreignInsertAttempt(stage, actor, relation),
    ]),
    ...serviceAttempts(stage, relation),
  ];
}

/**
 * All rows changed and deleted by one statement, by a user who owns no such row. Without a condition no column is read, so that
 * only the policy for the write decides.
 */
export function sweepingAttempts(stage: Stage, relation: Relation): Attempt[] {
  const actor = stage.people.actors.vendor;
  const change = stage.fixture[relation.name]?.change?.("vendor");
  const [first] = Object.entries(change ?? {});
  const isWritable =
    grantedColumns(stage, actor, relation, "update").length > 0;
  const sweep = (
    operation: "update" | "delete",
    method: "PATCH" | "DELETE",
    values?: Values,
  ): Attempt => ({
    ...attempt(
      relation,
      actor.name,
      operation,
      `${operation} all rows together`,
      "accepted, nothing changed",
      () => writeEveryRow(stage, actor, relation, method, values),
    ),
    mayChange: true,
    judge: (outcome, changes) =>
      changes.length === 0
        ? `${outcome}, nothing changed`
        : `${outcome}, ${changes.length} rows changed`,
  });
  return [
    ...(isWritable && first !== undefined
      ? [sweep("update", "PATCH", { [first[0]]: first[1] })]
      : []),
    ...(mayDelete(stage, actor, relation) ? [sweep("delete", "DELETE")] : []),
  ];
}
