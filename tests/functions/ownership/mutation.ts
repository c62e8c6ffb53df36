/** Breaks the protection one way at a time, and checks whether the matrix detects it. */
import type postgres from "postgres";
import {
  type Attempt,
  describe,
  isAsDeclared,
  makeAtOnce,
  makeInTurn,
  type Result,
} from "./attempt.ts";
import { EQUIVALENTS } from "./equivalents.ts";
import { rowsOf } from "./matrix.ts";
import { type Mutant, shares } from "./mutant.ts";
import { checkMutants } from "./mutants-checks.ts";
import { executionMutants, grantMutants } from "./mutants-grants.ts";
import { policyMutants } from "./mutants-policies.ts";
import type { Stage } from "./stage.ts";

/** The result of a mutant. */
export interface Verdict {
  mutant: Mutant;
  /** The attempt that detected it, as a sentence; undefined if none did. */
  seenBy: string | undefined;
  /** Why no attempt has to detect it, from equivalents.ts. */
  reason: string | undefined;
}

/** All rights and checks as one text: the same before a mutant and after it is reverted. */
async function readProtection(sql: postgres.Sql): Promise<string> {
  const [row] = await sql<{ protection: string }[]>`
    select md5(concat_ws(e'\n',
      (select string_agg(to_jsonb(p)::text, ',' order by p.schemaname, p.tablename, p.policyname) from pg_policies as p),
      (
        select string_agg(concat_ws(':', c.oid, c.relrowsecurity, g.grantee, g.privilege_type), ','
          order by c.oid, g.grantee, g.privilege_type)
        from pg_class as c left join aclexplode(c.relacl) as g on true
        where c.relnamespace::regnamespace::text = 'public' and c.relkind in ('r', 'p', 'v', 'm')
      ),
      (
        select string_agg(concat_ws(':', a.attrelid, a.attnum, g.grantee, g.privilege_type), ','
          order by a.attrelid, a.attnum, g.grantee, g.privilege_type)
        from pg_attribute as a cross join aclexplode(a.attacl) as g
        where a.attrelid in (select c.oid from pg_class as c where c.relnamespace::regnamespace::text = 'public')
      ),
      (
        select string_agg(concat_ws(':', k.conname, pg_get_constraintdef(k.oid)), ',' order by k.conrelid, k.conname)
        from pg_constraint as k where k.connamespace::regnamespace::text = 'public'
      ),
      (
        select string_agg(concat_ws(':', t.tgrelid, t.tgname, t.tgenabled), ',' order by t.tgrelid, t.tgname)
        from pg_trigger as t where not t.tgisinternal
      ),
      (
        select string_agg(concat_ws(':', p.oid, p.prosecdef, md5(p.prosrc), g.grantee), ',' order by p.oid, g.grantee)
        from pg_proc as p left join aclexplode(p.proacl) as g on true
        where p.pronamespace::regnamespace::text in ('public', 'private')
      ),
      (select string_agg(concat_ws(':', b.id, b.public), ',' order by b.id) from storage.buckets as b)
    )) as protection`;
  return row?.protection ?? "";
}

/** Every mutant that is derived from the catalogue. */
export async function deriveMutants(stage: Stage): Promise<Mutant[]> {
  const { sql, people } = stage;
  return [
    ...await policyMutants(sql),
    ...await grantMutants(sql, people),
    ...await executionMutants(sql, people),
    ...await checkMutants(sql),
  ];
}

/** Why no attempt has to detect this mutant; undefined if one must. */
export function reasonFor({ name }: Mutant): string | undefined {
  return EQUIVALENTS.find(({ mutant }) =>
    typeof mutant === "string" ? mutant === name : mutant.test(name)
  )?.reason;
}

/** Entries of equivalents.ts that match no mutant. */
export function idleEquivalents(mutants: Mutant[]): string[] {
  return EQUIVALENTS.filter(({ mutant }) =>
    !mutants.some(({ name }) =>
      typeof mutant === "string" ? mutant === name : mutant.test(name)
    )
  ).map(({ mutant }) =>
    `equivalents.ts: there is no mutant ${mutant}: remove the entry`
  );
}

/** The attempts that could detect a mutant, in waves: likely ones first, those that may change something last. */
function wavesFor(mutant: Mutant, attempts: Attempt[]): Attempt[][] {
  const about = attempts.filter(({ subjects, operation }) =>
    shares(subjects, mutant.subjects) &&
    (mutant.operations?.includes(operation) ?? true)
  );
  const [likely, other] = [
    about.filter((attempt) => mutant.isConcerned(attempt)),
    about.filter((attempt) => !mutant.isConcerned(attempt)),
  ];
  return [likely, other].flatMap((some) => [
    some.filter(({ mayChange }) => !mayChange),
    some.filter(({ mayChange }) => mayChange),
  ]);
}

async function firstDeviation(
  stage: Stage,
  waves: Attempt[][],
): Promise<Result | undefined> {
  const isRed = (result: Result) => !isAsDeclared(result);
  for (const wave of waves) {
    const results = wave[0]?.mayChange
      ? await makeInTurn(wave, rowsOf(stage), isRed)
      : await makeAtOnce(wave, isRed);
    const red = results.find(isRed);
    if (red !== undefined) return red;
  }
  return undefined;
}

/**
 * Applies each mutant alone, makes the attempts that could detect it until one does, reverts it, and checks that
 * protection and rows are as before. Without a mutant all `attempts` must have their declared outcomes.
 *
 * @throws when a mutant cannot be applied or reverted.
 */
export async function judgeMutants(
  stage: Stage,
  mutants: Mutant[],
  attempts: Attempt[],
  onVerdict: (verdict: Verdict) => void = () => {},
): Promise<Verdict[]> {
  const before = await readProtection(stage.sql);
  const verdicts: Verdict[] = [];
  for (const mutant of mutants) {
    await stage.sql.unsafe(mutant.apply);
    let red: Result | undefined;
    try {
      red = await firstDeviation(stage, wavesFor(mutant, attempts));
    } finally {
      await stage.restore(await stage.world.changes());
      await stage.sql.unsafe(mutant.revert);
    }
    if (await readProtection(stage.sql) !== before) {
      throw new Error(`${mutant.name} was not reverted: ${mutant.revert}`);
    }
    const verdict = {
      mutant,
      seenBy: red === undefined ? undefined : describe(red),
      reason: reasonFor(mutant),
    };
    verdicts.push(verdict);
    onVerdict(verdict);
  }
  return verdicts;
}

/** As sentences: undetected mutants that are not declared equivalent, and detected ones that are. */
export function failuresOf(verdicts: Verdict[]): string[] {
  return verdicts.flatMap(({ mutant, seenBy, reason }) =>
    seenBy === undefined && reason === undefined
      ? [`survived: ${mutant.name}`]
      : seenBy !== undefined && reason !== undefined
      ? [
        `equivalents.ts says that it cannot be seen, but it was: ${mutant.name} (${seenBy})`,
      ]
      : []
  );
}

/** A random choice of `count`, the same for the same seed. */
export function sample<T>(from: T[], count: number, seed: number): T[] {
  const rest = [...from];
  let state = seed >>> 0;
  // mulberry32
  const random = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return Array.from(
    { length: Math.min(count, rest.length) },
    () => rest.splice(Math.floor(random() * rest.length), 1),
  ).flat();
}
