/**
 * Attempts to reach another user's data by writing one's own row: by referencing it, by naming an object in their folder,
 * and by using the key of one of their rows.
 */
import { type Attempt, rest } from "./attempt.ts";
import type { ForeignKey, Relation, UniqueKey } from "./catalogue.ts";
import type { Row, Values } from "./fixture.ts";
import type { Actor, Owner } from "./people.ts";
import {
  equalTo,
  filterFor,
  grantedColumns,
  hasRight,
  nameOf,
  pick,
} from "./rows.ts";
import type { Stage } from "./stage.ts";
import { freshRow, write } from "./writing.ts";

const HOLDER: Owner = "B";

/** B's row in place of the row of A that A's row would reference. */
function foreignTarget(
  stage: Stage,
  key: ForeignKey,
  own: Values,
): Row | undefined {
  const rows = stage.fixture[key.target.replace("public.", "")]?.rows ?? [];
  const ofA = rows.find((row) =>
    key.columns.every((column, at) =>
      own[column] === row.values[key.targetColumns[at] ?? ""]
    )
  );
  return rows.find((row) =>
    row.owner === HOLDER && (ofA === undefined || row.kind === ofA.kind)
  );
}

/** The columns of a key that choose the referenced row: all but the one that names the owner. */
function choosing(stage: Stage, relation: Relation, key: ForeignKey): string[] {
  const rules = stage.expected.relations[relation.name]?.references ?? {};
  const owners = relation.foreignKeys.filter(({ name }) =>
    rules[name] === "owner"
  ).flatMap(({ columns }) => columns);
  return key.columns.filter((column) => !owners.includes(column));
}

function pointedAt(
  key: ForeignKey,
  columns: string[],
  target: Row,
): Values {
  return Object.fromEntries(
    columns.map((column) => [
      column,
      target.values[key.targetColumns[key.columns.indexOf(column)] ?? ""] ??
        null,
    ]),
  );
}

/** The outcome of an accepted write with such a value: the column's value afterwards. */
async function writeAndRead(
  stage: Stage,
  actor: Actor,
  relation: Relation,
  method: "POST" | "PATCH",
  filter: string,
  body: Values,
  columns: string[],
): Promise<string> {
  const outcome = await write(stage, actor, relation, method, filter, body);
  if (/^(refused|not granted|against)/.test(outcome)) return outcome;
  const id = method === "POST"
    ? relation.primaryKey.map((key) => `${key}=${equalTo(body[key])}`).join("&")
    : filter;
  const { body: found } = await rest(
    stage.apiUrl,
    actor,
    "GET",
    `${relation.name}?select=${columns.join(",")}&${id}`,
  );
  const isKept = columns.every((column) =>
    JSON.stringify(found).includes(JSON.stringify(body[column]))
  );
  return isKept ? "written" : "written, without the reference";
}

interface ReferenceWrite {
  actor: Actor;
  method: "POST" | "PATCH";
  filter: string;
  what: string;
  own: Values;
}

/** The ways in which this caller could write these columns. */
function waysToWrite(
  stage: Stage,
  actor: Actor,
  relation: Relation,
  columns: string[],
): ReferenceWrite[] {
  const isGranted = (right: "insert" | "update") => {
    const granted = grantedColumns(stage, actor, relation, right);
    return columns.every((column) => granted.includes(column));
  };
  const own = stage.fixture[relation.name]?.rows.find((row) =>
    row.owner === "A" && hasRight(stage, actor, row, "update")
  );
  return [
    ...(isGranted("insert")
      ? [{
        actor,
        method: "POST" as const,
        filter: "",
        what: "insert a row of A's",
        own: pick(
          freshRow(stage, relation, "A"),
          grantedColumns(stage, actor, relation, "insert"),
        ),
      }]
      : []),
    ...(isGranted("update") && own !== undefined
      ? [{
        actor,
        method: "PATCH" as const,
        filter: filterFor(relation, own),
        what: `change ${nameOf(own)}`,
        own: own.values,
      }]
      : []),
  ];
}

function keyAttempts(
  stage: Stage,
  relation: Relation,
  key: ForeignKey,
): Attempt[] {
  const rule = stage.expected.relations[relation.name]?.references?.[key.name];
  if (rule === undefined || rule === "owner" || rule === "shared") return [];
  const columns = choosing(stage, relation, key);
  const { A, service } = stage.people.actors;
  return [A, service].flatMap((actor) =>
    waysToWrite(stage, actor, relation, columns).flatMap((way): Attempt[] => {
      // A reference of an existing row may be immutable for everyone: cases.ts covers that.
      if (way.method === "PATCH" && actor === service) return [];
      const target = foreignTarget(stage, key, way.own);
      if (target === undefined) return [];
      const expected = actor === service
        ? rule.service
        : rule.users ?? "not granted";
      const mayChange = expected.startsWith("written");
      return [{
        subjects: [`table ${relation.name}`, `table ${target.relation}`],
        actor: actor.name,
        operation: way.method === "POST" ? "insert" : "update",
        what: `${way.what} with ${columns.join(", ")} of ${nameOf(target)}`,
        expected,
        mayChange,
        ...(mayChange ? { judge: (outcome: string) => outcome } : {}),
        run: () => {
          const body = {
            ...(way.method === "POST" ? way.own : {}),
            ...pointedAt(key, columns, target),
          };
          return writeAndRead(
            stage,
            actor,
            relation,
            way.method,
            way.filter,
            body,
            columns,
          );
        },
      }];
    })
  );
}

/** A path in B's folder of the same bucket as A's. */
function foreignPath(stage: Stage, own: unknown): string {
  return `${own}`.replace(stage.people.ids.A, stage.people.ids[HOLDER]) + ".2";
}

function folderAttempts(
  stage: Stage,
  relation: Relation,
  column: string,
): Attempt[] {
  const { A, service } = stage.people.actors;
  return [A, service].flatMap((actor) =>
    waysToWrite(stage, actor, relation, [column]).map((way): Attempt => ({
      subjects: [`table ${relation.name}`],
      actor: actor.name,
      operation: way.method === "POST" ? "insert" : "update",
      column,
      what: `${way.what} with ${column} in B's folder`,
      expected: "refused 23514",
      mayChange: false,
      run: () =>
        write(stage, actor, relation, way.method, way.filter, {
          ...(way.method === "POST" ? way.own : {}),
          [column]: foreignPath(stage, way.own[column]),
        }),
    }))
  );
}

/** Whether a key has a column that names the owner. */
function namesOwner(stage: Stage, relation: Relation, key: UniqueKey): boolean {
  const rules = stage.expected.relations[relation.name]?.references ?? {};
  return relation.foreignKeys.some(({ name, columns }) =>
    rules[name] === "owner" &&
    columns.some((column) => key.columns.includes(column))
  );
}

function upsertAttempts(
  stage: Stage,
  actor: Actor,
  relation: Relation,
  key: UniqueKey,
): Attempt[] {
  const insertable = grantedColumns(stage, actor, relation, "insert");
  const row =
    stage.fixture[relation.name]?.rows.find(({ owner }) => owner === HOLDER) ??
      stage.fixture[relation.name]?.rows[0];
  if (row === undefined) return [];
  const isOpen = insertable.length > 0 &&
    key.columns.every((column) => insertable.includes(column)) &&
    !namesOwner(stage, relation, key);
  const held = stage.expected.relations[relation.name]?.ownFolder ?? {};
  const isHeldToFolder = key.columns.some((column) => column in held);
  const send = async (resolution: string, columns: string[]) => {
    const taken = Object.fromEntries(
      key.columns.map((column) => [column, row.values[column] ?? null]),
    );
    const fresh = freshRow(stage, relation, "A");
    const outcome = await write(
      stage,
      actor,
      relation,
      "POST",
      `on_conflict=${key.columns.join(",")}`,
      { ...pick(fresh, columns), ...taken },
      { prefer: `resolution=${resolution}` },
    );
    // Either of two layers may refuse first.
    return /^(not granted|against the policy)$/.test(outcome)
      ? "denied"
      : outcome;
  };
  const attempt = (
    what: string,
    expected: string,
    run: () => Promise<string>,
  ): Attempt => ({
    subjects: [`table ${relation.name}`],
    actor: actor.name,
    operation: "insert",
    what: `${what} ${nameOf(row)} by ${key.name}`,
    expected,
    mayChange: false,
    run,
  });
  const columns = insertable.length > 0
    ? insertable
    : relation.columns.map(({ name }) => name);
  return [
    attempt(
      "take over",
      "denied",
      () => send("merge-duplicates", columns),
    ),
    attempt(
      "take over, with only the key,",
      "denied",
      () => send("merge-duplicates", []),
    ),
    attempt(
      "insert if missing",
      !isOpen ? "denied" : isHeldToFolder ? "refused 23514" : "nothing",
      () => send("ignore-duplicates", columns),
    ),
  ];
}

/** Every way to reach another user's data by writing one's own row. */
export function referenceAttempts(stage: Stage, relation: Relation): Attempt[] {
  const declared = stage.expected.relations[relation.name];
  const { anon, A } = stage.people.actors;
  return [
    ...relation.foreignKeys.flatMap((key) => keyAttempts(stage, relation, key)),
    ...Object.keys(declared?.ownFolder ?? {}).flatMap((column) =>
      folderAttempts(stage, relation, column)
    ),
    ...[anon, A].flatMap((actor) =>
      relation.uniqueKeys.flatMap((key) =>
        upsertAttempts(stage, actor, relation, key)
      )
    ),
  ];
}
