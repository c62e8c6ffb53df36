/** Tries to see rows: all of them, one, by every column, counted, sorted, and through every foreign key. */
import { z } from "zod";
import { type Attempt, refusalOf, rest } from "./attempt.ts";
import { type ForeignKey, type Relation, relationNamed } from "./catalogue.ts";
import type { Row } from "./fixture.ts";
import { type Actor, ACTORS } from "./people.ts";
import {
  equalTo,
  filterFor,
  grantedColumns,
  keyOf,
  listed,
  nameOf,
  namesIn,
  rowsWithRight,
} from "./rows.ts";
import type { Stage } from "./stage.ts";

const rowsSchema = z.array(z.record(z.string(), z.unknown()));
const NOT_GRANTED = "not granted";

/** A read as an attempt. `expected` is what a caller with every needed grant would see. */
interface Reading {
  what: string;
  column?: string;
  path: string;
  /** Columns that the request names, by relation. */
  needs: [Relation, string[]][];
  expected: string;
  /**
   * Whether the caller may be refused where the expected answer is `nothing`: the embedded REST joins by the first
   * column of a key only, a hosted one by all, and so asks for more grants.
   */
  mayBeRefused?: boolean;
  /** How the rows of the answer are told; by their names when absent. */
  tell?(rows: Record<string, unknown>[]): string;
  subjects?: string[];
}

function missesGrant(stage: Stage, actor: Actor, needs: Reading["needs"]) {
  return needs.some(([relation, columns]) => {
    const granted = grantedColumns(stage, actor, relation, "select");
    return granted.length === 0 ||
      columns.some((column) => !granted.includes(column));
  });
}

function asAttempt(
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
      // Of two relations either may be the first to be refused.
      if (refusal?.startsWith(NOT_GRANTED)) {
        return reading.mayBeRefused && !isRefused ? "nothing" : NOT_GRANTED;
      }
      if (refusal !== undefined) return refusal;
      const rows = rowsSchema.parse(answer.body);
      return reading.tell?.(rows) ??
        listed(namesIn(stage, relation.name, rows));
    },
  };
}

/** Columns to tell rows by; for a caller who may not name the key, whatever they may name. */
function shownColumns(
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
function targetOf(stage: Stage, actor: Actor, relation: Relation): Row {
  const rows = stage.fixture[relation.name]?.rows ?? [];
  const visible = rowsWithRight(stage, actor, relation.name, "select");
  const target = rows.find((row) => !visible.includes(row)) ?? rows[0];
  if (target === undefined) {
    throw new Error(`fixture.ts has no row of ${relation.name}`);
  }
  return target;
}

function quotedValue(value: string): string {
  return encodeURIComponent(
    `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`,
  );
}

function plainReadings(
  stage: Stage,
  actor: Actor,
  relation: Relation,
): Reading[] {
  const columns = relation.columns.map(({ name }) => name);
  const shown = shownColumns(stage, actor, relation);
  const select = `select=${shown.join(",")}`;
  const visible = rowsWithRight(stage, actor, relation.name, "select");
  const names = (rows: Row[]) => listed(rows.map(nameOf));
  const rows = stage.fixture[relation.name]?.rows ?? [];
  const target = targetOf(stage, actor, relation);
  const isLikeTarget = (row: Row, column: string) =>
    row.stored[column] === target.stored[column];
  const filled = columns.filter((column) =>
    (target.stored[column] ?? null) !== null
  );
  const granted = grantedColumns(stage, actor, relation, "select");
  const nameable = granted.length === 0 ? columns : granted;
  // Quotes within quotes are for JSON columns, which have their own attempt.
  const either = filled.filter((column) =>
    nameable.includes(column) && !target.stored[column]?.includes('"')
  );
  const [firstKey] = keyOf(relation);

  return [
    {
      what: "read everything",
      path: `${relation.name}?select=*`,
      needs: [[relation, columns]],
      expected: names(visible),
    },
    {
      what: "read everything that may be named",
      path: `${relation.name}?${select}&limit=1000&offset=0`,
      needs: [[relation, shown]],
      expected: names(visible),
    },
    {
      what: "read everything sorted by each column",
      path: `${relation.name}?${select}&order=${
        nameable.map((c) => `${c}.desc`).join(",")
      }`,
      needs: [[relation, [...shown, ...nameable]]],
      expected: names(visible),
    },
    {
      what: `read what is like ${nameOf(target)} in any column`,
      path: `${relation.name}?${select}&or=(${
        either.map((c) => `${c}.eq.${quotedValue(target.stored[c] ?? "")}`)
          .join(",")
      })`,
      needs: [[relation, [...shown, ...either]]],
      expected: names(
        visible.filter((row) => either.some((c) => isLikeTarget(row, c))),
      ),
    },
    ...columns.map((column): Reading => {
      // A column that may not be named stands alone, so that nothing but its own grant is missing.
      const told = granted.includes(column) ? shown : [column];
      return {
        what: `find by ${column} what is like ${nameOf(target)}`,
        column,
        path: `${relation.name}?select=${told.join(",")}&${column}=${
          equalTo(target.stored[column])
        }`,
        needs: [[relation, [...told, column]]],
        expected: names(visible.filter((row) => isLikeTarget(row, column))),
      };
    }),
    ...rows.filter((row) => !visible.includes(row)).map((row): Reading => ({
      what: `read ${nameOf(row)}`,
      path: `${relation.name}?${select}&${filterFor(relation, row)}`,
      needs: [[relation, [...shown, ...keyOf(relation)]]],
      expected: "nothing",
    })),
    ...(firstKey === undefined ? [] : [
      {
        what: "read all rows by their keys",
        path: `${relation.name}?${select}&${firstKey}=in.(${
          rows.map((row) => quotedValue(row.stored[firstKey] ?? "")).join(",")
        })`,
        needs: [[relation, [...shown, firstKey]]],
        expected: names(visible),
      } satisfies Reading,
    ]),
  ];
}

function countAttempt(
  stage: Stage,
  actor: Actor,
  relation: Relation,
): Attempt {
  const shown = shownColumns(stage, actor, relation);
  const visible = rowsWithRight(stage, actor, relation.name, "select");
  return {
    subjects: [`table ${relation.name}`],
    actor: actor.name,
    operation: "select",
    what: "count",
    expected: missesGrant(stage, actor, [[relation, shown]])
      ? "refused"
      : `${visible.length}`,
    mayChange: false,
    async run() {
      const { status, headers } = await rest(
        stage.apiUrl,
        actor,
        "HEAD",
        `${relation.name}?select=${shown.join(",")}`,
        { prefer: "count=exact" },
      );
      // Such an answer has no body to say why.
      if (status >= 400) return "refused";
      return headers.get("content-range")?.split("/")[1] ?? "no count";
    },
  };
}

/** One foreign key, seen from one of its ends. */
interface Embedding {
  from: Relation;
  to: Relation;
  key: ForeignKey;
  /** Whether `from` has the columns of the key. */
  isForward: boolean;
}

function isLinked({ key, isForward }: Embedding, from: Row, to: Row): boolean {
  const [child, parent] = isForward ? [from, to] : [to, from];
  return key.columns.every((column, at) => {
    const value = child.stored[column] ?? null;
    return value !== null &&
      value === parent.stored[key.targetColumns[at] ?? ""];
  });
}

function embeddingReadings(
  stage: Stage,
  actor: Actor,
  embedding: Embedding,
): Reading[] {
  const { from, to, key, isForward } = embedding;
  const outer = shownColumns(stage, actor, from);
  const inner = shownColumns(stage, actor, to);
  const [ownEnd, otherEnd] = isForward
    ? [key.columns, key.targetColumns]
    : [key.targetColumns, key.columns];
  const visible = rowsWithRight(stage, actor, from.name, "select");
  const visibleInner = rowsWithRight(stage, actor, to.name, "select");
  const pairs = visible.map((row) => ({
    row,
    linked: visibleInner.filter((other) => isLinked(embedding, row, other)),
  }));
  // In a relation that refers to itself the column alone names the parent, and as a hint the children.
  const isSelf = from.name === to.name;
  const embedded = !isSelf
    ? `${to.name}!${key.name}`
    : isForward
    ? key.columns[0]
    : `${to.name}!${key.columns[0]}`;
  const tell = (rows: Record<string, unknown>[]) =>
    listed(rows.map((row) => {
      const found = [row["found"] ?? []].flat();
      const [name = ""] = namesIn(stage, from.name, [row]);
      return `${name} > ${
        listed(namesIn(stage, to.name, rowsSchema.parse(found)))
      }`;
    }));
  const told = (shown: typeof pairs) =>
    listed(
      shown.map(({ row, linked }) =>
        `${nameOf(row)} > ${listed(linked.map(nameOf))}`
      ),
    );
  const needing = (ends: number): Reading["needs"] => [
    [from, [...outer, ...ownEnd.slice(0, ends)]],
    [to, [...inner, ...otherEnd.slice(0, ends)]],
  ];
  const needs = needing(1);
  const mayBeRefused = !missesGrant(stage, actor, needs) &&
    missesGrant(stage, actor, needing(ownEnd.length));
  const subjects = [`table ${to.name}`];
  const target = targetOf(stage, actor, to);
  const [innerKey = ""] = keyOf(to);
  return [
    {
      what: `read with it ${to.name} by ${key.name}`,
      path: `${from.name}?select=${outer.join(",")},found:${embedded}(${
        inner.join(",")
      })`,
      needs,
      mayBeRefused,
      subjects,
      tell,
      expected: told(pairs),
    },
    {
      what: `find by ${key.name} what belongs to ${nameOf(target)}`,
      path: `${from.name}?select=${outer.join(",")},found:${embedded}!inner(${
        inner.join(",")
      })&found.${innerKey}=${equalTo(target.stored[innerKey])}`,
      needs: [...needs, [to, [innerKey]]],
      mayBeRefused,
      subjects,
      tell,
      expected: told(
        pairs.flatMap(({ row, linked }) => {
          const same = linked.filter((other) =>
            other.stored[innerKey] === target.stored[innerKey]
          );
          return same.length === 0 ? [] : [{ row, linked: same }];
        }),
      ),
    },
  ];
}

function embeddingsOf(stage: Stage, relation: Relation): Embedding[] {
  const name = `public.${relation.name}`;
  return [
    ...relation.foreignKeys.filter(({ target }) => target.startsWith("public."))
      .map((key) => ({
        from: relation,
        to: relationNamed(stage.catalogue, key.target.replace("public.", "")),
        key,
        isForward: true,
      })),
    ...stage.catalogue.relations.flatMap((other) =>
      other.foreignKeys.filter(({ target }) => target === name).map((key) => ({
        from: relation,
        to: other,
        key,
        isForward: false,
      }))
    ),
  ];
}

/** Embedding what lies in a schema that the API does not offer: whatever the refusal is called. */
function hiddenEmbedding(
  stage: Stage,
  actor: Actor,
  relation: Relation,
  key: ForeignKey,
): Attempt {
  const [, target = ""] = key.target.split(".");
  return {
    subjects: [`table ${relation.name}`],
    actor: actor.name,
    operation: "select",
    what: `read with it ${key.target} by ${key.name}`,
    expected: "refused",
    mayChange: false,
    async run() {
      const { status, body } = await rest(
        stage.apiUrl,
        actor,
        "GET",
        `${relation.name}?select=found:${target}!${key.name}(*)`,
      );
      return status >= 400 ? "refused" : JSON.stringify(body);
    },
  };
}

function withoutKey(stage: Stage, relation: Relation): Attempt {
  const actor = stage.people.actors["no key"];
  return {
    subjects: [`table ${relation.name}`],
    actor: actor.name,
    operation: "select",
    what: "read everything",
    expected: "no key",
    mayChange: false,
    run: async () => {
      const answer = await rest(
        stage.apiUrl,
        actor,
        "GET",
        `${relation.name}?select=*`,
      );
      return refusalOf(answer) ?? "rows";
    },
  };
}

/** Every way to read a relation, for every caller. */
export function readAttempts(stage: Stage, relation: Relation): Attempt[] {
  return [
    withoutKey(stage, relation),
    ...ACTORS.filter((name) => name !== "no key").flatMap((name) => {
      const actor = stage.people.actors[name];
      return [
        ...plainReadings(stage, actor, relation),
        ...embeddingsOf(stage, relation).flatMap((embedding) =>
          embeddingReadings(stage, actor, embedding)
        ),
      ].map((reading) => asAttempt(stage, actor, relation, reading)).concat(
        countAttempt(stage, actor, relation),
        relation.foreignKeys.filter(({ target }) =>
          !target.startsWith("public.")
        ).map((key) => hiddenEmbedding(stage, actor, relation, key)),
      );
    }),
  ];
}

/** Schemas that are not the API's, asked for by name. */
export function schemaAttempts(stage: Stage): Attempt[] {
  const names = ["anon", "A", "service"] as const;
  return stage.catalogue.hiddenSchemas.flatMap((schema) =>
    names.flatMap((name) =>
      ([
        ["GET", "anything?select=*", "accept-profile"],
        ["POST", "rpc/anything", "content-profile"],
      ] as const).map(([method, path, header]): Attempt => ({
        subjects: [`schema ${schema}`],
        actor: name,
        operation: method === "GET" ? "select" : "execute",
        what: `${method === "GET" ? "read" : "call"} something in it`,
        expected: "refused PGRST106",
        mayChange: false,
        run: async () =>
          refusalOf(
            await rest(
              stage.apiUrl,
              stage.people.actors[name],
              method,
              path,
              {
                headers: { [header]: schema },
                ...(method === "GET" ? {} : { body: {} }),
              },
            ),
          ) ?? "answered",
      }))
    )
  );
}
