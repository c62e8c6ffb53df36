/**
 * Only the owner can reach anything: everything that the API offers, attempted by every caller, compared with expected.ts;
 * and every way to break that, one at a time, is detected. README.md explains how it works and what to do when it fails.
 */
import { assert, assertEquals } from "@std/assert";
import { useStack } from "../../_support/stack.ts";
import { type Catalogue, readCatalogue } from "./catalogue.ts";
import { conditionsOf, withoutCondition } from "./conditions.ts";
import {
  allAttempts,
  disagreements,
  failures,
  make,
  summary,
  untried,
} from "./matrix.ts";
import {
  deriveMutants,
  failuresOf,
  idleEquivalents,
  judgeMutants,
  reasonFor,
  sample,
  type Verdict,
} from "./mutation.ts";
import { untouchedChecks } from "./mutants-checks.ts";
import { countsIn, countsOf, writeCounts } from "./readme.ts";
import { setStage, type Stage } from "./stage.ts";

const stack = useStack();

/** `all`, or a number of mutants; deno task test:mutations sets these variables. */
const COUNT = Deno.env.get("OWNERSHIP_MUTANTS") ?? "25";
/** Part of a mutant's name. */
const ONLY = Deno.env.get("OWNERSHIP_ONLY") ?? "";
/** The seed of the choice, so that a failure can be reproduced. */
const SEED = Number(
  Deno.env.get("OWNERSHIP_SEED") ?? Math.floor(Math.random() * 2 ** 31),
);
const IS_WRITING = Deno.env.get("OWNERSHIP_WRITE") === "yes";

const encoder = new TextEncoder();

function print(text: string): void {
  Deno.stdout.writeSync(encoder.encode(`${text}\n`));
}

class Undo extends Error {}

/** The catalogue after these statements, which are rolled back. */
async function catalogueWith(
  { sql }: Stage,
  statements: string[],
): Promise<Catalogue | undefined> {
  let catalogue: Catalogue | undefined;
  try {
    await sql.begin(async (tx) => {
      for (const statement of statements) await tx.unsafe(statement);
      catalogue = await readCatalogue(tx);
      throw new Undo();
    });
  } catch (error) {
    if (!(error instanceof Undo)) throw error;
  }
  return catalogue;
}

Deno.test("ownership: only owners reach their data, and every way to break that is detected", async (t) => {
  await using stage = await setStage(stack());
  const { expected, fixture } = stage;
  const attempts = allAttempts(stage);
  const mutants = await deriveMutants(stage);

  await t.step("everything that the API offers is declared", async () => {
    assertEquals([
      ...disagreements(stage.catalogue, expected, fixture),
      ...untried(stage, attempts),
      ...idleEquivalents(mutants),
      ...await untouchedChecks(stage.sql),
    ], []);
  });

  await t.step(
    "new and removed objects are named, with what to do",
    async () => {
      const found = await catalogueWith(stage, [
        `create table public.diaries (id uuid primary key, user_id uuid)`,
        `alter table public.media add column mood text, drop column title cascade,
         add constraint media_mood_is_owners check (mood = user_id::text)`,
        `create function public.peek(p_whose uuid) returns void language sql set search_path = '' as 'select 1'`,
        `insert into storage.buckets (id, name, public) values ('diaries', 'diaries', true)`,
      ]);
      assert(found !== undefined);
      assertEquals(
        disagreements(
          { ...found, endpoints: ["read-diary"] },
          expected,
          fixture,
        )
          .filter((text) => !text.startsWith("endpoint") || /diary/.test(text)),
        [
          "relation diaries is new: declare who may do what with it in expected.ts",
          "column media.mood is new: declare who may do what with it in expected.ts",
          "column media.title is gone: remove it from expected.ts",
          "check of media on the owner's folder, media_mood_is_owners is new: declare who may do what with it in expected.ts",
          "function peek is new: declare who may do what with it in expected.ts",
          "parameter peek(p_whose) is new: add a value of B for it to function-attempts.ts",
          "bucket diaries is new: declare who may do what with it in expected.ts",
          "endpoint read-diary is new: declare who may do what with it in expected.ts",
        ],
      );
      const { media: _media, ...rest } = fixture;
      assertEquals(disagreements(stage.catalogue, expected, rest), [
        "relation media has no rows: add rows of A and B to the fixture",
        "kind of rows in media, photo is gone: remove it from expected.ts",
        "kind of rows in media, recording is gone: remove it from expected.ts",
      ]);
    },
  );

  await t.step("every attempt has its declared outcome", async () => {
    const results = await make(stage, attempts);
    print(`\n${summary(results)}\n\n${results.length} attempts`);
    assertEquals(failures(results), []);
    assertEquals(results.length, attempts.length);
    assertEquals(await stage.world.changes(), []);
  });

  let isAllSeen = false;
  await t.step("every mutant is seen", async () => {
    const named = mutants.filter(({ name }) => name.includes(ONLY));
    const isAll = COUNT === "all";
    const chosen = isAll ? named : sample(named, Number(COUNT), SEED);
    print(
      isAll
        ? `\n${chosen.length} mutants`
        : `\n${chosen.length} of ${named.length} mutants; OWNERSHIP_SEED=${SEED} chooses the same ones`,
    );
    let count = 0;
    const onVerdict = ({ mutant, seenBy, reason }: Verdict) => {
      if (seenBy === undefined && reason === undefined) {
        print(`survived: ${mutant.name}`);
      }
      if (++count % 100 === 0) print(`${count} of ${chosen.length}`);
    };
    const verdicts = await judgeMutants(stage, chosen, attempts, onVerdict);
    const seen = verdicts.filter(({ seenBy }) => seenBy !== undefined).length;
    print(
      `${seen} seen; not seen: ${
        verdicts.length - seen
      }, of which declared equivalent: ${
        verdicts.filter(({ reason }) => reason !== undefined).length
      }`,
    );
    assert(verdicts.length > 0);
    assertEquals(failuresOf(verdicts), []);
    isAllSeen = verdicts.length === mutants.length;
  });

  if (COUNT === "all" && ONLY === "") {
    await t.step("README.md has the numbers of these mutants", async () => {
      const counts = countsOf(mutants.map(reasonFor));
      if (IS_WRITING && isAllSeen) await writeCounts(counts);
      assertEquals(await countsIn(), counts, "to write them: --write");
    });
  }
});

Deno.test("conditionsOf: finds the single conditions of a policy at every depth", () => {
  const text =
    "((a = 'x and (y'::text) OR ((b IS NOT NULL) AND (c = ANY (ARRAY( SELECT m.id FROM m WHERE (m.u = 1) ORDER BY m.id)))))";
  const spans = conditionsOf(text);
  assertEquals(spans.map(({ start, end }) => text.slice(start, end)), [
    "(a = 'x and (y'::text)",
    "(b IS NOT NULL)",
    "(c = ANY (ARRAY( SELECT m.id FROM m WHERE (m.u = 1) ORDER BY m.id)))",
    "(m.u = 1)",
  ]);
  const [, second] = spans;
  assert(second !== undefined);
  assertEquals(
    withoutCondition(text, second),
    text.replace("(b IS NOT NULL)", "true"),
  );
  assertEquals(conditionsOf("(user_id = 1)"), []);
});
