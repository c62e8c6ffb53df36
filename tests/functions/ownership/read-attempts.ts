/** Attempts to read rows: all of them, one, by every column, counted, sorted, and through every foreign key. */
import { type Attempt, refusalOf, rest } from "./attempt.ts";
import type { Relation } from "./catalogue.ts";
import { embedAttempts } from "./embed-attempts.ts";
import type { Row } from "./fixture.ts";
import { type Actor, ACTORS } from "./people.ts";
import {
  asAttempt,
  missesGrant,
  type Reading,
  shownColumns,
  targetOf,
} from "./reading.ts";
import {
  equalTo,
  filterFor,
  grantedColumns,
  keyOf,
  listed,
  nameOf,
  rowsWithRight,
} from "./rows.ts";
import type { Stage } from "./stage.ts";

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
  // Nested quotes are for JSON columns, which have a separate attempt.
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
      // A column that may not be named is requested alone, so that only its own grant is missing.
      const selected = granted.includes(column) ? shown : [column];
      return {
        what: `find by ${column} what is like ${nameOf(target)}`,
        column,
        path: `${relation.name}?select=${selected.join(",")}&${column}=${
          equalTo(target.stored[column])
        }`,
        needs: [[relation, [...selected, column]]],
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
      // Such a response has no body that states the reason.
      if (status >= 400) return "refused";
      return headers.get("content-range")?.split("/")[1] ?? "no count";
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
        ...plainReadings(stage, actor, relation).map((reading) =>
          asAttempt(stage, actor, relation, reading)
        ),
        countAttempt(stage, actor, relation),
        ...embedAttempts(stage, actor, relation),
      ];
    }),
  ];
}

/** Requests that name a schema which the API does not offer. */
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
