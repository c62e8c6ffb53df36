/** Attempts to read rows through foreign keys, in both directions. */
import { type Attempt, rest } from "./attempt.ts";
import { type ForeignKey, type Relation, relationNamed } from "./catalogue.ts";
import type { Row } from "./fixture.ts";
import type { Actor } from "./people.ts";
import {
  asAttempt,
  missesGrant,
  type Reading,
  rowsSchema,
  shownColumns,
  targetOf,
} from "./reading.ts";
import {
  equalTo,
  keyOf,
  listed,
  nameOf,
  namesIn,
  rowsWithRight,
} from "./rows.ts";
import type { Stage } from "./stage.ts";

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
  // In a relation that references itself, the column alone embeds the parent; as a hint it embeds the children.
  const isSelf = from.name === to.name;
  const embedded = !isSelf
    ? `${to.name}!${key.name}`
    : isForward
    ? key.columns[0]
    : `${to.name}!${key.columns[0]}`;
  const describe = (rows: Record<string, unknown>[]) =>
    listed(rows.map((row) => {
      const found = [row["found"] ?? []].flat();
      const [name = ""] = namesIn(stage, from.name, [row]);
      return `${name} > ${
        listed(namesIn(stage, to.name, rowsSchema.parse(found)))
      }`;
    }));
  const described = (shown: typeof pairs) =>
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
      describe,
      expected: described(pairs),
    },
    {
      what: `find by ${key.name} what belongs to ${nameOf(target)}`,
      path: `${from.name}?select=${outer.join(",")},found:${embedded}!inner(${
        inner.join(",")
      })&found.${innerKey}=${equalTo(target.stored[innerKey])}`,
      needs: [...needs, [to, [innerKey]]],
      mayBeRefused,
      subjects,
      describe,
      expected: described(
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

/** Attempts to embed a table of a schema that the API does not offer; any refusal counts. */
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

/** Every foreign key of the relation and every one to it, for this caller. */
export function embedAttempts(
  stage: Stage,
  actor: Actor,
  relation: Relation,
): Attempt[] {
  return [
    ...embeddingsOf(stage, relation).flatMap((embedding) =>
      embeddingReadings(stage, actor, embedding)
    ).map((reading) => asAttempt(stage, actor, relation, reading)),
    ...relation.foreignKeys.filter(({ target }) =>
      !target.startsWith("public.")
    ).map((key) => hiddenEmbedding(stage, actor, relation, key)),
  ];
}
