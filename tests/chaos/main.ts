/**
 * Storms over the job engine, with real processes, a real Postgres and real connections.
 *
 * usage: deno task chaos [--seed N] [--minutes M]     every crash point, then storm after storm until the time is over
 *        deno task chaos --bounded [--seed N]         a choice of them, in about a minute
 *        deno task chaos --types all [--bounded]      every crash point (or a few) of every job type, and no storm;
 *                                                     a name, or several with commas between, for these alone
 *
 * `--blows kill,cut` (with `--types`) leaves out other ways of breaking them.
 * `--storms-only` leaves the points out; with `--bounded` it runs short storms until the time is over. Every storm prints its seed, and `--seed` begins with that one. Ends with 1 when the closing audit finds anything, a
 * job does not end, or a point is not reached.
 */
// deno-lint-ignore-file no-console -- printing is what this program is for
import { parseArgs } from "@std/cli/parse-args";
import { z } from "zod";
import { seededRandom } from "../../dev/model/random.ts";
import { exitWithLaunchers } from "../../dev/stack/process/launchers.ts";
import { clearUp } from "./afterwards.ts";
import { AUDIT_RULES, type Finding } from "./audit.ts";
import {
  ALL_BATCH_POINTS,
  type BatchPoint,
  type BatchVisit,
  FEW_BATCH_POINTS,
  LEAST_JOBS,
  nameOfBatchPoint,
  visitBatches,
} from "./batches.ts";
import { chooseFew, choosePoints, pointsOf } from "./choices.ts";
import { tryAnnouncedEnd, tryWrongClocks } from "./lives.ts";
import {
  type Blow,
  findMoments,
  nameOfPoint,
  type Point,
  startVisitors,
  type Visit,
  visitPoints,
} from "./points.ts";
import { Rig } from "./rig.ts";
import { runStorm } from "./storm.ts";
import { type Subject, SUBJECTS, VOICE_CLONE } from "./subjects.ts";
import type { ChaosSummary } from "./summary.ts";
import { isAsItShould, outcomesOf, tableOf, tableOfTypes } from "./table.ts";
import type { ChaosWorker } from "./workers.ts";

/** Points that are visited together: as many as a small machine takes without anybody losing a lease over it. */
const GROUP = 6;
/** The same where there are hundreds: the groups take their time, not the points in them. */
const LARGE_GROUP = 10;
/** What a storm may take, its healing included. */
const STORM_SECONDS = 180;
/** How often a point is tried. */
const ROUNDS = 3;

const SHORT_STORM = { jobs: 16, seconds: 6, killsPostgres: false };
const LONG_STORM = { jobs: 40, seconds: 20, killsPostgres: true };

const BLOWS = ["kill", "stall", "cut"] as const;

const USAGE =
  "usage: deno task chaos [--seed N] [--minutes M] [--bounded] [--storms-only] [--types all|NAME,…] [--blows kill,stall,cut]";

const optionsSchema = z.strictObject({
  _: z.tuple([]),
  seed: z.coerce.number().int().min(0).max(2 ** 31).default(
    () => Math.floor(Math.random() * 2 ** 31),
  ),
  minutes: z.coerce.number().positive().default(5),
  bounded: z.boolean().default(false),
  // For the one who looks for the cause of something in a storm.
  "storms-only": z.boolean().default(false),
  types: z.string().transform((names, context) =>
    names === "all" ? SUBJECTS : names.split(",").map((name) => {
      const subject = SUBJECTS.find((subject) => subject.name === name.trim());
      if (subject !== undefined) return subject;
      context.addIssue({
        code: "custom",
        message: `is none of ${SUBJECTS.map(({ name }) => name).join(", ")}`,
      });
      return z.NEVER;
    })
  ).optional(),
  blows: z.string().transform((names) => names.split(",")).pipe(
    z.array(z.enum(BLOWS)),
  ).default([...BLOWS]),
  help: z.boolean(),
});

class Chaos {
  readonly #rig: Rig;
  readonly #began = performance.now();
  readonly problems: string[] = [];
  points = 0;
  storms = 0;
  readonly types: ChaosSummary["types"] = {};

  constructor(rig: Rig) {
    this.#rig = rig;
  }

  say(text: string): void {
    const seconds = (performance.now() - this.#began) / 1000;
    console.log(`[${seconds.toFixed(1).padStart(6)} s] ${text}`);
  }

  summary(seed: number, jobs: number): ChaosSummary {
    const { points, storms, problems, types } = this;
    return { seed, jobs, points, storms, types, problems };
  }

  complain(where: string, what: string): void {
    this.problems.push(`${where}: ${what}`);
    this.say(`PROBLEM ${where}: ${what}`);
  }

  /** Audits everything since the start. */
  async audit(where: string): Promise<void> {
    const { findings } = await this.#rig.audit();
    for (const finding of findings) this.complain(where, tell(finding));
    if (findings.length === 0) this.say(`${where}: the audit finds nothing`);
  }

  /** Visits points group by group; the workers of the next group start meanwhile. */
  async visit(
    where: string,
    points: readonly Point[],
    subject: Subject = VOICE_CLONE,
    after?: Point,
    visitors?: readonly ChaosWorker[],
  ): Promise<void> {
    const visits: Visit[] = [];
    let left = [...points];
    // A worker may lose its lease, or the next job of a pipeline to another, before it comes to its point; it is
    // visited again, at last with nobody beside it.
    for (let round = 0; round < ROUNDS && left.length > 0; round++) {
      const again: Point[] = [];
      for await (
        const visit of this.#visitAll(
          left,
          subject,
          after,
          round === 0 ? visitors : undefined,
          round === ROUNDS - 1,
        )
      ) {
        if (visit.isReached || round === ROUNDS - 1) visits.push(visit);
        else again.push(visit.point);
      }
      left = again;
    }
    this.points += visits.length;
    this.say(`${where}: ${visits.length} points`);
    console.log(tableOf(visits));
    for (const visit of visits) {
      const name = nameOfPoint(visit.point);
      if (!visit.isReached) this.complain(name, "it was never reached");
      else if (!isAsItShould(subject, visit)) {
        this.complain(
          `${subject.name}, ${name}`,
          `${visit.status} (${visit.errorCode}) with ${visit.creations} creations`,
        );
      }
    }
    const unfinished = await this.#rig.untilSettled(0);
    if (unfinished > 0) this.complain(where, `${unfinished} jobs do not end`);
    this.types[subject.name] = outcomesOf(visits, this.types[subject.name]);
    await this.audit(where);
  }

  async *#visitAll(
    points: readonly Point[],
    subject: Subject,
    after: Point | undefined,
    first: readonly ChaosWorker[] | undefined,
    isAlone: boolean,
  ): AsyncGenerator<Visit> {
    const groups: Point[][] = [];
    const size = isAlone ? 1 : points.length > 4 * GROUP ? LARGE_GROUP : GROUP;
    for (let at = 0; at < points.length; at += size) {
      groups.push(points.slice(at, at + size));
    }
    let next: Promise<readonly ChaosWorker[]> = Promise.resolve(
      first ?? await startVisitors(this.#rig, groups[0]?.length ?? 0, subject),
    );
    for (const [index, group] of groups.entries()) {
      const visitors = (await next).slice(0, group.length);
      // They start while this group is being healed.
      next = startVisitors(this.#rig, groups[index + 1]?.length ?? 0, subject);
      yield* await visitPoints(this.#rig, group, visitors, subject, after);
    }
    await next;
  }

  /** Strikes workers in calls that carry several jobs. */
  async batches(points: readonly BatchPoint[]): Promise<void> {
    await this.#rig.setCaps(100, 100);
    const visits: BatchVisit[] = [];
    let left = [...points];
    // On a busy machine the jobs of a worker may come to the call one by one; those are visited again, without the others.
    for (let round = 0; round < ROUNDS && left.length > 0; round++) {
      const groups = round === 0 ? [left] : left.map((point) => [point]);
      left = [];
      for (const group of groups) {
        for (const visit of await visitBatches(this.#rig, group)) {
          visits.push(visit);
          if (visit.batch < LEAST_JOBS) left.push(visit.point);
        }
      }
    }
    for (const point of left) {
      this.complain(nameOfBatchPoint(point), "it was never reached");
    }
    for (const { point, batch, jobs } of visits) {
      const name = nameOfBatchPoint(point);
      this.say(`${name}: ${batch} of ${jobs.length} jobs`);
      for (const { id, status, errorCode, creations, steps } of jobs) {
        if (status !== "completed" || creations !== steps) {
          this.complain(
            name,
            `${id} is ${status} (${errorCode}) with ${creations} creations`,
          );
        }
      }
    }
    this.points += points.length;
    await this.audit("batches");
  }

  async lives(): Promise<void> {
    const rig = this.#rig;
    for (const what of await tryWrongClocks(rig)) {
      this.complain("clocks an hour wrong", what);
    }
    for (const what of await tryAnnouncedEnd(rig)) {
      this.complain("an announced end", what);
    }
    await this.audit("wrong clocks and announced ends");
  }

  async storm(
    seed: number,
    options: { jobs: number; seconds: number; killsPostgres: boolean },
  ): Promise<void> {
    const where = `storm ${seed}`;
    await this.#rig.setCaps(4, 2);
    let step = "workers are started";
    const stuck = setTimeout(() => {
      this.complain(
        where,
        `it does not end within ${STORM_SECONDS} s (${step})`,
      );
      console.log(JSON.stringify(this.summary(seed, 0)));
      Deno.exit(1);
    }, STORM_SECONDS * 1000);
    const { log, unsettled } = await runStorm(this.#rig, {
      ...options,
      random: seededRandom(seed),
      workers: 2,
      onStep: (next) => step = next,
    });
    clearTimeout(stuck);
    this.storms++;
    this.say(
      `${where}: ${
        [...log].map(([what, times]) => `${what} ${times}×`).join(", ")
      }`,
    );
    if (unsettled > 0) this.complain(where, `${unsettled} jobs do not end`);
    await this.audit(where);
    await this.#rig.heal();
    const { resolved, retried, stillFailed } = await clearUp(this.#rig);
    this.say(
      `${where}: ${resolved} decided by the operator, ${retried} retried`,
    );
    for (const job of stillFailed) {
      this.complain(where, `retried, and failed again: ${job}`);
    }
    await this.audit(`${where}, afterwards`);
    await this.#rig.setCaps(GROUP * 2, GROUP * 2);
  }
}

function tell({ rule, about, detail }: Finding): string {
  return `${AUDIT_RULES[rule]} (${about}: ${detail})`;
}

const INSIDE_THE_CALL: Point = {
  call: "voices.add",
  nth: 1,
  phase: "sent",
  blow: "kill",
};
const BEFORE_THE_CALL: Point = { ...INSIDE_THE_CALL, phase: "headers" };

async function runBounded(chaos: Chaos, rig: Rig, seed: number) {
  const moments = await findMoments(rig);
  await chaos.visit("crash points", choosePoints(moments));
  await chaos.batches(FEW_BATCH_POINTS);
  await rig.setCaps(GROUP * 2, GROUP * 2);
  await chaos.lives();
  await chaos.storm(seed, SHORT_STORM);
}

async function runTypes(
  chaos: Chaos,
  rig: Rig,
  subjects: readonly Subject[],
  { bounded, blows }: { bounded: boolean; blows: readonly Blow[] },
) {
  for (const subject of subjects) {
    // They start while the moments are being found.
    const visitors = bounded ? startVisitors(rig, GROUP, subject) : undefined;
    const moments = await findMoments(rig, subject);
    if (visitors !== undefined) {
      await chaos.visit(
        subject.name,
        chooseFew(moments),
        subject,
        undefined,
        await visitors,
      );
      continue;
    }
    for (const blow of blows) {
      await chaos.visit(
        `${subject.name}, every point, ${blow}`,
        pointsOf(moments, blow),
        subject,
      );
    }
  }
}

async function runLong(
  chaos: Chaos,
  rig: Rig,
  options: z.output<typeof optionsSchema>,
) {
  const deadline = performance.now() + options.minutes * 60_000;
  if (!options["storms-only"]) {
    const moments = await findMoments(rig);
    for (const blow of ["kill", "stall", "cut"] as const) {
      await chaos.visit(`every point, ${blow}`, pointsOf(moments, blow));
    }
    for (const after of [INSIDE_THE_CALL, BEFORE_THE_CALL]) {
      await chaos.visit(
        `repairing after ${nameOfPoint(after)}`,
        pointsOf(await findMoments(rig, VOICE_CLONE, after), "kill").filter((
          { phase },
        ) => phase === "headers" || phase === "answered"),
        VOICE_CLONE,
        after,
      );
    }
    await chaos.batches(ALL_BATCH_POINTS);
    await rig.setCaps(LARGE_GROUP * 2, LARGE_GROUP * 2);
    await chaos.lives();
    await runTypes(
      chaos,
      rig,
      SUBJECTS.filter((subject) => subject !== VOICE_CLONE),
      { bounded: false, blows: BLOWS },
    );
  }
  for (let seed = options.seed;; seed++) {
    await chaos.storm(seed, options.bounded ? SHORT_STORM : LONG_STORM);
    if (performance.now() > deadline) return;
  }
}

async function main(): Promise<void> {
  const read = optionsSchema.safeParse(
    parseArgs(Deno.args, {
      string: ["seed", "minutes", "types", "blows"],
      boolean: ["bounded", "storms-only", "help"],
    }),
  );
  if (!read.success) {
    console.error(`${z.prettifyError(read.error)}\n${USAGE}`);
    Deno.exit(2);
  }
  const options = read.data;
  if (options.help) {
    console.log(USAGE);
    return;
  }
  console.log(`seed ${options.seed}`);
  let summary: ChaosSummary;
  {
    await using rig = await Rig.start(3);
    await rig.setCaps(LARGE_GROUP * 2, LARGE_GROUP * 2);
    const chaos = new Chaos(rig);
    if (options.types !== undefined) {
      await runTypes(chaos, rig, options.types, options);
    } else if (options.bounded && !options["storms-only"]) {
      await runBounded(chaos, rig, options.seed);
    } else await runLong(chaos, rig, options);
    summary = chaos.summary(options.seed, (await rig.facts()).jobs.length);
  }
  console.log(tableOfTypes(summary.types));
  console.log(JSON.stringify(summary));
  Deno.exit(summary.problems.length === 0 ? 0 : 1);
}

if (import.meta.main) {
  exitWithLaunchers();
  await main();
}
