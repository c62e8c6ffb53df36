/** What users and the service may write: it succeeds, and changes only their own rows. */
import type { Attempt } from "./attempt.ts";
import type { Relation } from "./catalogue.ts";
import type { Row, Values } from "./fixture.ts";
import { type Actor, type Owner, OWNERS } from "./people.ts";
import {
  filterFor,
  grantedColumns,
  hasRight,
  nameOf,
  pick,
  rowWith,
} from "./rows.ts";
import type { Stage } from "./stage.ts";
import type { Change } from "./world.ts";
import { freshRow, inserters, write } from "./writing.ts";

/** The owner of a changed row: from the fixture, from the row itself, or from the row it references. */
function ownerOf(stage: Stage, change: Change): Owner | null {
  const name = change.relation.replace("public.", "");
  const relation = stage.catalogue.relations.find((one) => one.name === name);
  if (relation === undefined) return null;
  const known = rowWith(stage, name, change.row);
  if (known !== undefined) return known.owner;
  const named = OWNERS.find((owner) =>
    stage.people.ids[owner] === change.row["user_id"]
  );
  if (named !== undefined) return named;
  for (const key of relation.foreignKeys) {
    const parent = stage.fixture[key.target.replace("public.", "")]?.rows.find(
      (row) =>
        row.owner !== null &&
        key.columns.every((column, at) =>
          change.row[column] === row.values[key.targetColumns[at] ?? ""]
        ),
    );
    if (parent !== undefined) return parent.owner;
  }
  return null;
}

/** What changed, by kind of change, owner and relation. Internal records of the service are left out. */
function describeChanges(stage: Stage, changes: Change[]): string {
  const described = changes.filter(({ relation }) =>
    !relation.startsWith("private.")
  ).map((change) => {
    const owner = ownerOf(stage, change);
    return `${change.change} ${owner === null ? "nobody" : owner}'s ${
      change.relation.replace("public.", "")
    }`;
  });
  return described.length === 0
    ? "nothing changed"
    : [...new Set(described)].sort().join(", ");
}

/** Adds the changes to an outcome. */
export function withChanges(stage: Stage): NonNullable<Attempt["judge"]> {
  return (outcome, changes) => `${outcome}; ${describeChanges(stage, changes)}`;
}

function expectedChanges(described: string[]): string {
  return [...new Set(described)].sort().join(", ");
}

/** What a trigger also writes, in the form of `describeChanges`. */
function alsoWritten(
  stage: Stage,
  relation: Relation,
  owner: Owner,
  operation: string,
): string[] {
  const declared = stage.expected.relations[relation.name]?.alsoWrites;
  return (declared?.[operation]?.split(", ") ?? []).map((described) => {
    const [change, other] = described.split(" ");
    return `${change} ${owner}'s ${other}`;
  });
}

function refersTo(
  child: Row,
  parent: Row,
  columns: string[],
  target: string[],
): boolean {
  return columns.every((column, at) => {
    const value = child.stored[column] ?? null;
    return value !== null && value === parent.stored[target[at] ?? ""];
  });
}

/** What foreign keys delete together with a row, in the form of `describeChanges`. */
function cascade(stage: Stage, row: Row, seen: Set<Row>): string[] {
  if (seen.has(row)) return [];
  seen.add(row);
  return stage.catalogue.relations.flatMap((relation) =>
    relation.foreignKeys.filter(({ target }) =>
      target === `public.${row.relation}`
    ).flatMap((key) =>
      (stage.fixture[relation.name]?.rows ?? []).filter((child) =>
        refersTo(child, row, key.columns, key.targetColumns)
      ).flatMap((child) =>
        key.onDelete === "cascade"
          ? [
            `removed ${child.owner}'s ${relation.name}`,
            ...cascade(stage, child, seen),
          ]
          : [`changed ${child.owner}'s ${relation.name}`]
      )
    )
  );
}

interface OwnWrite {
  operation: "insert" | "update" | "delete";
  what: string;
  column?: string;
  expected: string;
  run(): Promise<string>;
}

function asAttempt(
  stage: Stage,
  actor: Actor,
  relation: Relation,
  { column, ...rest }: OwnWrite,
): Attempt {
  return {
    subjects: [`table ${relation.name}`],
    actor: actor.name,
    ...rest,
    ...(column === undefined ? {} : { column }),
    mayChange: true,
    judge: withChanges(stage),
  };
}

/** Columns that name the owner and that the database fills in when they are left out. */
function ownerColumn(stage: Stage, relation: Relation): string | undefined {
  const rules = stage.expected.relations[relation.name]?.references ?? {};
  return relation.foreignKeys.find(({ name }) => rules[name] === "owner")
    ?.columns[0];
}

function inserts(stage: Stage, actor: Actor, relation: Relation): OwnWrite[] {
  const insertable = grantedColumns(stage, actor, relation, "insert");
  if (insertable.length === 0) return [];
  const owner: Owner = stage.fixture[relation.name]?.freshFor?.[0] ?? "A";
  const owned = (stage.fixture[relation.name]?.rows ?? []).some((row) =>
    row.owner !== null
  );
  const expected = `a new row; ${
    expectedChanges([
      `added ${owned ? owner : "nobody"}'s ${relation.name}`,
      ...alsoWritten(stage, relation, owner, "insert"),
    ])
  }`;
  const insert = (what: string, without: string[]): OwnWrite => ({
    operation: "insert",
    what,
    expected,
    run: () => {
      const row: Values = pick(freshRow(stage, relation, owner), insertable);
      for (const column of without) delete row[column];
      return write(stage, actor, relation, "POST", "", row);
    },
  });
  const column = ownerColumn(stage, relation);
  return [
    insert("insert a row of their own", []),
    ...(column !== undefined && insertable.includes(column) &&
        actor.role === "authenticated"
      ? [insert("insert a row without naming the owner", [column])]
      : []),
  ];
}

function changes(stage: Stage, actor: Actor, relation: Relation): OwnWrite[] {
  const fixture = stage.fixture[relation.name];
  const row = fixture?.rows.find((one) =>
    hasRight(stage, actor, one, "update")
  );
  if (row === undefined || row.owner === null) return [];
  const owner = row.owner;
  const values = fixture?.change?.(owner) ?? {};
  return grantedColumns(stage, actor, relation, "update").map((column) => ({
    operation: "update",
    what: `set ${column} of ${nameOf(row)}`,
    column,
    expected: stage.expected.relations[relation.name]?.refused?.[
      `update ${column}`
    ] ?? `${nameOf(row)}; ${
      expectedChanges([
        `changed ${owner}'s ${relation.name}`,
        ...alsoWritten(stage, relation, owner, `update ${column}`),
      ])
    }`,
    run: () => {
      const value = values[column];
      if (value === undefined) {
        throw new Error(`fixture.ts says no new value for ${column}`);
      }
      return write(
        stage,
        actor,
        relation,
        "PATCH",
        filterFor(relation, row),
        { [column]: value },
      );
    },
  }));
}

function deletes(stage: Stage, actor: Actor, relation: Relation): OwnWrite[] {
  const rows = stage.fixture[relation.name]?.rows ?? [];
  return rows.filter((row) => hasRight(stage, actor, row, "delete")).map((
    row,
  ) => ({
    operation: "delete",
    what: `delete ${nameOf(row)}`,
    expected: `${nameOf(row)}; ${
      expectedChanges([
        `removed ${row.owner}'s ${relation.name}`,
        ...cascade(stage, row, new Set()),
        ...alsoWritten(stage, relation, row.owner ?? "A", "delete"),
      ])
    }`,
    run: () =>
      write(stage, actor, relation, "DELETE", filterFor(relation, row)),
  }));
}

/** Every write that is accepted. */
export function ownAttempts(stage: Stage, relation: Relation): Attempt[] {
  const { A, service } = stage.people.actors;
  return [
    ...inserters(stage, relation).flatMap((actor) =>
      inserts(stage, actor, relation).map((own) =>
        asAttempt(stage, actor, relation, own)
      )
    ),
    ...[...changes(stage, A, relation), ...deletes(stage, A, relation)].map((
      own,
    ) => asAttempt(stage, A, relation, own)),
    ...inserts(stage, service, relation).map((own) =>
      asAttempt(stage, service, relation, own)
    ),
  ];
}
