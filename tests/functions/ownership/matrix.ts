/** All attempts, the differences from the declaration, and the table of results. */
import {
  type Attempt,
  describe,
  isAsDeclared,
  makeAtOnce,
  makeInTurn,
  type Result,
} from "./attempt.ts";
import { caseAttempts } from "./cases.ts";
import type { Catalogue } from "./catalogue.ts";
import type { Declaration } from "./declaration.ts";
import { endpointAttempts, unmatchedRequests } from "./endpoint-attempts.ts";
import type { RelationFixture } from "./fixture.ts";
import { functionAttempts, unknownParameters } from "./function-attempts.ts";
import { ownAttempts } from "./own-attempts.ts";
import { ACTORS } from "./people.ts";
import { readAttempts, schemaAttempts } from "./read-attempts.ts";
import { referenceAttempts } from "./reference-attempts.ts";
import type { Stage } from "./stage.ts";
import { bucketListAttempts, storageAttempts } from "./storage-attempts.ts";
import { sweepingAttempts, writeAttempts } from "./write-attempts.ts";

/** Names on one side only, each as a sentence. */
function differences(
  what: string,
  offered: string[],
  declared: string[],
  where: string,
): string[] {
  return [
    ...offered.filter((name) => !declared.includes(name)).map((name) =>
      `${what} ${name} is new: declare who may do what with it in ${where}`
    ),
    ...declared.filter((name) => !offered.includes(name)).map((name) =>
      `${what} ${name} is gone: remove it from ${where}`
    ),
  ];
}

/**
 * Everything that the API offers and the declaration lacks, and the other way round, each as a sentence that
 * says what to do. Empty when the two agree.
 */
export function disagreements(
  catalogue: Catalogue,
  expected: Declaration,
  fixture: Record<string, RelationFixture>,
): string[] {
  const where = "expected.ts";
  return [
    ...differences(
      "relation",
      catalogue.relations.map(({ name }) => name),
      Object.keys(expected.relations),
      where,
    ),
    ...catalogue.relations.flatMap((relation) => {
      const { name } = relation;
      const declared = expected.relations[name];
      if (declared === undefined) return [];
      const kinds = fixture[name]?.rows.map(({ kind }) => kind) ?? [];
      return [
        ...differences(
          "column",
          relation.columns.map((column) => `${name}.${column.name}`),
          Object.values(declared.columns).flat().map((column) =>
            `${name}.${column}`
          ),
          where,
        ),
        ...differences(
          `foreign key of ${name},`,
          relation.foreignKeys.map((key) => key.name),
          Object.keys(declared.references ?? {}),
          where,
        ),
        ...differences(
          `check of ${name} on the owner's folder,`,
          relation.checks.filter(({ isOfFolder }) => isOfFolder)
            .map((check) => check.name),
          Object.values(declared.ownFolder ?? {}),
          where,
        ),
        ...(fixture[name] === undefined
          ? [
            `relation ${name} has no rows: add rows of A and B to the fixture`,
          ]
          : differences(
            `kind of rows in ${name},`,
            Object.keys(declared.rows),
            kinds,
            "fixture.ts",
          )),
        ...differences(
          `kind of rows in ${name},`,
          [...new Set(kinds)],
          Object.keys(declared.rows),
          where,
        ),
      ];
    }),
    ...differences(
      "function",
      catalogue.functions.map(({ name }) => name),
      Object.keys(expected.functions),
      where,
    ),
    ...catalogue.functions.filter(({ name }, at, all) =>
      all.findIndex((other) => other.name === name) !== at
    ).map(({ name }) =>
      `function ${name} exists twice: the matrix calls functions by name`
    ),
    ...unknownParameters(catalogue.functions).map((parameter) =>
      `parameter ${parameter} is new: add a value of B for it to function-attempts.ts`
    ),
    ...differences(
      "bucket",
      catalogue.buckets.map(({ id }) => id),
      Object.keys(expected.buckets),
      where,
    ),
    ...differences(
      "endpoint",
      catalogue.endpoints,
      Object.keys(expected.endpoints),
      where,
    ),
    ...unmatchedRequests({ expected }).map((request) =>
      `request "${request}" is in one of expected.ts and endpoint-attempts.ts only`
    ),
  ];
}

/** Functions that users may call, but that no attempt calls as a user, so that nothing checks their results. */
export function untried(stage: Stage, attempts: Attempt[]): string[] {
  return Object.entries(stage.expected.functions).filter(([name, { roles }]) =>
    roles.some((role) => role !== "service_role") &&
    !attempts.some(({ subjects, actor }) =>
      subjects.includes(`function ${name}`) &&
      ["anon", "A", "B", "vendor"].includes(actor) &&
      roles.includes(
        stage.people.actors[actor].role === "anon" ? "anon" : "authenticated",
      )
    )
  ).map(([name]) =>
    `function ${name} may be called by users: declare its results in cases.ts`
  );
}

/** All attempts. */
export function allAttempts(stage: Stage): Attempt[] {
  const { catalogue } = stage;
  return [
    ...catalogue.relations.flatMap((relation) => [
      ...readAttempts(stage, relation),
      ...writeAttempts(stage, relation),
      ...referenceAttempts(stage, relation),
      ...sweepingAttempts(stage, relation),
      ...ownAttempts(stage, relation),
    ]),
    ...catalogue.functions.flatMap((given) => functionAttempts(stage, given)),
    ...caseAttempts(stage),
    ...schemaAttempts(stage),
    ...catalogue.buckets.flatMap(({ id }) => storageAttempts(stage, id)),
    ...bucketListAttempts(stage),
    ...catalogue.endpoints.flatMap((slug) => endpointAttempts(stage, slug)),
  ];
}

/** Compares and restores the rows of the stage, for attempts that may change them. */
export function rowsOf(stage: Stage): Parameters<typeof makeInTurn>[1] {
  return {
    changes: () => stage.world.changes(),
    restore: (changes) => stage.restore(changes),
  };
}

/**
 * Runs the attempts: first those that must change nothing, concurrently, then the others one by one. If something
 * changed nevertheless, the first ones are repeated one by one to find out which changed it.
 */
export async function make(
  stage: Stage,
  attempts: Attempt[],
): Promise<Result[]> {
  const still = attempts.filter(({ mayChange }) => !mayChange);
  const moving = attempts.filter(({ mayChange }) => mayChange);
  let results = await makeAtOnce(still);
  const changes = await stage.world.changes();
  if (changes.length > 0) {
    await stage.restore(changes);
    results = await makeInTurn(still, rowsOf(stage));
  }
  return [...results, ...await makeInTurn(moving, rowsOf(stage))];
}

/** The results that differ from the declaration, as sentences; at most `most` of them. */
export function failures(results: Result[], most = 40): string[] {
  const all = results.filter((result) => !isAsDeclared(result)).map(describe);
  return all.length <= most
    ? all
    : [...all.slice(0, most), `… and ${all.length - most} more`];
}

/** Attempts by subject and caller, and how many of them differ from the declaration. */
export function summary(results: Result[]): string {
  const subjects = [
    ...new Set(results.map(({ attempt }) => attempt.subjects[0] ?? "")),
  ];
  const cell = (of: Result[]) => {
    const wrong = of.filter((result) => !isAsDeclared(result)).length;
    return wrong === 0 ? `${of.length || ""}` : `${of.length} (${wrong} wrong)`;
  };
  const rows = [
    ["", ...ACTORS, "all"],
    ...subjects.map((subject) => {
      const of = results.filter(({ attempt }) =>
        attempt.subjects[0] === subject
      );
      return [
        subject,
        ...ACTORS.map((actor) =>
          cell(of.filter(({ attempt }) => attempt.actor === actor))
        ),
        cell(of),
      ];
    }),
    [
      "all",
      ...ACTORS.map((actor) =>
        cell(results.filter(({ attempt }) => attempt.actor === actor))
      ),
      cell(results),
    ],
  ];
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0))
  );
  return rows.map((row) =>
    row.map((text, column) =>
      column === 0
        ? text.padEnd(widths[column] ?? 0)
        : text.padStart(widths[column] ?? 0)
    ).join("  ")
  ).join("\n");
}
