/**
 * Fault injection into the job engine, with real processes, a real Postgres and real connections.
 *
 * usage: deno task chaos [--seed N] [--minutes M]     every crash point, then storms until the time is up
 *        deno task chaos --bounded [--seed N]         a selection of both, in about a minute
 *        deno task chaos --types all [--bounded]      every crash point (or a few) of every job type, no storm;
 *                                                     also one name, or several separated by commas
 *
 * `--faults kill,cut` (with `--types`) injects only these faults. `--storms-only` skips the points; with `--bounded` the
 * storms are short. Every storm prints its seed, and `--seed` starts with that storm. The exit code is 1 when the audit
 * finds anything, a job does not end, or a point is not reached.
 */
// deno-lint-ignore-file no-console -- printing is what this program is for
import { parseArgs } from "@std/cli/parse-args";
import { z } from "zod";
import { seededRandom } from "../../dev/model/random.ts";
import { exitWithLaunchers } from "../../dev/stack/process/launchers.ts";
import { cleanUp } from "./clean-up.ts";
import { AUDIT_RULES, type Finding } from "./audit.ts";
import {
  ALL_BATCH_POINTS,
  type BatchPoint,
  type BatchVisit,
  FEW_BATCH_POINTS,
  IDLE_MS,
  MIN_JOBS,
  nameOfBatchPoint,
  visitBatches,
} from "./batches.ts";
import { chooseFew, choosePoints, pointsOf } from "./choices.ts";
import {
  testAnnouncedShutdown,
  testWrongClocks,
} from "./clock-and-shutdown.ts";
import {
  type Fault,
  findMoments,
  nameOfPoint,
  type Point,
  startVisitors,
  type Visit,
  visitPoints,
} from "./points.ts";
import type { JobEnd } from "./job-ends.ts";
import {
  ALL_POLL_POINTS,
  FEW_POLL_POINTS,
  nameOfPollPoint,
  type PollPoint,
  visitPoll,
} from "./polls.ts";
import { Rig } from "./rig.ts";
import { runStorm } from "./storm.ts";
import { type Subject, SUBJECTS, VOICE_CLONE } from "./subjects.ts";
import type { ChaosSummary } from "./summary.ts";
import {
  hasExpectedOutcome,
  outcomesOf,
  tableOf,
  tableOfTypes,
} from "./table.ts";
import type { ChaosWorker } from "./workers.ts";

/** Points visited at the same time. With more, workers on a small machine lose their leases. */
const GROUP = 6;
/** For hundreds of points: the time is spent per group, not per point. */
const LARGE_GROUP = 10;
/** Limit for a storm and its recovery. */
const STORM_SECONDS = 180;
/** Tries for each point. */
const ROUNDS = 3;

const SHORT_STORM = { jobs: 16, seconds: 6, killsPostgres: false };
const LONG_STORM = { jobs: 40, seconds: 20, killsPostgres: true };

const FAULTS = ["kill", "stall", "cut"] as const;

const USAGE =
  "usage: deno task chaos [--seed N] [--minutes M] [--bounded] [--storms-only] [--types all|NAME,…] [--faults kill,stall,cut]";

const optionsSchema = z.strictObject({
  _: z.tuple([]),
  seed: z.coerce.number().int().min(0).max(2 ** 31).default(
    () => Math.floor(Math.random() * 2 ** 31),
  ),
  minutes: z.coerce.number().positive().default(5),
  bounded: z.boolean().default(false),
  "storms-only": z.boolean().default(false),
  types: z.string().transform((names, context) =>
    names === "all" ? SUBJECTS : names.split(",").map((name) => {
      const subject = SUBJECTS.find((subject) => subject.name === name.trim());
      if (subject !== undefined) return subject;
      context.addIssue({
        code: "custom",
        message: `unknown job type; use one of ${
          SUBJECTS.map(({ name }) => name).join(", ")
        }`,
      });
      return z.NEVER;
    })
  ).optional(),
  faults: z.string().transform((names) => names.split(",")).pipe(
    z.array(z.enum(FAULTS)),
  ).default([...FAULTS]),
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

  log(text: string): void {
    const seconds = (performance.now() - this.#began) / 1000;
    console.log(`[${seconds.toFixed(1).padStart(6)} s] ${text}`);
  }

  summary(seed: number, jobs: number): ChaosSummary {
    const { points, storms, problems, types } = this;
    return { seed, jobs, points, storms, types, problems };
  }

  reportProblem(where: string, problem: string): void {
    this.problems.push(`${where}: ${problem}`);
    this.log(`PROBLEM ${where}: ${problem}`);
  }

  /** Audits all jobs since the start. */
  async audit(where: string): Promise<void> {
    const { findings } = await this.#rig.audit();
    for (const finding of findings) {
      this.reportProblem(where, describe(finding));
    }
    if (findings.length === 0) this.log(`${where}: the audit finds nothing`);
  }

  /** Visits points in groups. The workers of the next group start while a group runs. */
  async visit(
    where: string,
    points: readonly Point[],
    subject: Subject = VOICE_CLONE,
    after?: Point,
    visitors?: readonly ChaosWorker[],
  ): Promise<void> {
    const visits: Visit[] = [];
    let left = [...points];
    // A worker may miss its point because it lost its lease, or the next job of a pipeline to another worker. Such a
    // point is visited again, in the last round alone.
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
    this.log(`${where}: ${visits.length} points`);
    console.log(tableOf(visits));
    for (const visit of visits) {
      const name = nameOfPoint(visit.point);
      if (!visit.isReached) this.reportProblem(name, "was never reached");
      else if (!hasExpectedOutcome(subject, visit)) {
        this.reportProblem(
          `${subject.name}, ${name}`,
          `${visit.status} (${visit.errorCode}) with ${visit.creations} creations`,
        );
      }
    }
    const unfinished = await this.#rig.untilSettled(0);
    if (unfinished > 0) {
      this.reportProblem(where, `${unfinished} jobs do not end`);
    }
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
      // The workers of the next group start while this group recovers.
      next = startVisitors(this.#rig, groups[index + 1]?.length ?? 0, subject);
      yield* await visitPoints(this.#rig, group, visitors, subject, after);
    }
    await next;
  }

  /** Injects faults into calls that carry several jobs. */
  async batches(points: readonly BatchPoint[]): Promise<void> {
    await this.#rig.setCaps(100, 100);
    const visits: BatchVisit[] = [];
    let left = [...points];
    // On a busy machine the jobs of a worker may reach the call one by one. Such a point is visited again, alone,
    // and its jobs get more time.
    for (let round = 0; round < ROUNDS && left.length > 0; round++) {
      const groups = round === 0 ? [left] : left.map((point) => [point]);
      const idleMs = IDLE_MS * 4 ** round;
      left = [];
      for (const group of groups) {
        for (const visit of await visitBatches(this.#rig, group, idleMs)) {
          visits.push(visit);
          if (visit.batch < MIN_JOBS) left.push(visit.point);
        }
      }
    }
    for (const point of left) {
      this.reportProblem(nameOfBatchPoint(point), "was never reached");
    }
    for (const { point, batch, jobs } of visits) {
      const name = nameOfBatchPoint(point);
      this.log(`${name}: ${batch} of ${jobs.length} jobs`);
      this.#reportJobs(name, jobs);
    }
    this.points += points.length;
    await this.audit("batches");
  }

  /** Injects faults into the polls of a busy worker. */
  async polls(points: readonly PollPoint[]): Promise<void> {
    for (const point of points) {
      const name = nameOfPollPoint(point);
      const { isReached, deliveries, jobs } = await visitPoll(this.#rig, point);
      this.log(
        `${name}: ${jobs.length} jobs, ${deliveries} dispatches while it polled`,
      );
      if (!isReached) this.reportProblem(name, "was never reached");
      if (deliveries > 0) {
        this.reportProblem(name, `inserts sent ${deliveries} dispatches`);
      }
      this.#reportJobs(name, jobs);
    }
    this.points += points.length;
    await this.audit("polls");
  }

  #reportJobs(name: string, jobs: readonly JobEnd[]): void {
    for (const { id, status, errorCode, creations, steps } of jobs) {
      if (status !== "completed" || creations !== steps) {
        this.reportProblem(
          name,
          `${id} is ${status} (${errorCode}) with ${creations} creations`,
        );
      }
    }
  }

  async clockAndShutdown(): Promise<void> {
    const rig = this.#rig;
    for (const problem of await testWrongClocks(rig)) {
      this.reportProblem("clocks an hour off", problem);
    }
    for (const problem of await testAnnouncedShutdown(rig)) {
      this.reportProblem("announced shutdown", problem);
    }
    await this.audit("wrong clocks and an announced shutdown");
  }

  async storm(
    seed: number,
    options: { jobs: number; seconds: number; killsPostgres: boolean },
  ): Promise<void> {
    const where = `storm ${seed}`;
    await this.#rig.setCaps(4, 2);
    let step = "workers are started";
    const stuck = setTimeout(() => {
      this.reportProblem(
        where,
        `did not end within ${STORM_SECONDS} s (${step})`,
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
    this.log(
      `${where}: ${
        [...log].map(([fault, times]) => `${fault} ${times}×`).join(", ")
      }`,
    );
    if (unsettled > 0) {
      this.reportProblem(where, `${unsettled} jobs do not end`);
    }
    await this.audit(where);
    await this.#rig.heal();
    const { resolved, retried, stillFailed } = await cleanUp(this.#rig);
    this.log(
      `${where}: ${resolved} resolved by the operator, ${retried} retried`,
    );
    for (const job of stillFailed) {
      this.reportProblem(where, `failed again after a retry: ${job}`);
    }
    await this.audit(`${where}, after cleaning up`);
    await this.#rig.setCaps(GROUP * 2, GROUP * 2);
  }
}

function describe({ rule, about, detail }: Finding): string {
  return `${AUDIT_RULES[rule]} (${about}: ${detail})`;
}

const INSIDE_THE_CALL: Point = {
  call: "voices.add",
  nth: 1,
  phase: "sent",
  fault: "kill",
};
const BEFORE_THE_CALL: Point = { ...INSIDE_THE_CALL, phase: "headers" };

async function runBounded(chaos: Chaos, rig: Rig, seed: number) {
  const moments = await findMoments(rig);
  await chaos.visit("crash points", choosePoints(moments));
  await chaos.batches(FEW_BATCH_POINTS);
  await chaos.polls(FEW_POLL_POINTS);
  await rig.setCaps(GROUP * 2, GROUP * 2);
  await chaos.clockAndShutdown();
  await chaos.storm(seed, SHORT_STORM);
}

async function runTypes(
  chaos: Chaos,
  rig: Rig,
  subjects: readonly Subject[],
  { bounded, faults }: { bounded: boolean; faults: readonly Fault[] },
) {
  for (const subject of subjects) {
    // The workers start while the run without faults is recorded.
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
    for (const fault of faults) {
      await chaos.visit(
        `${subject.name}, every point, ${fault}`,
        pointsOf(moments, fault),
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
    for (const fault of ["kill", "stall", "cut"] as const) {
      await chaos.visit(`every point, ${fault}`, pointsOf(moments, fault));
    }
    for (const after of [INSIDE_THE_CALL, BEFORE_THE_CALL]) {
      await chaos.visit(
        `recovering from ${nameOfPoint(after)}`,
        pointsOf(await findMoments(rig, VOICE_CLONE, after), "kill").filter((
          { phase },
        ) => phase === "headers" || phase === "answered"),
        VOICE_CLONE,
        after,
      );
    }
    await chaos.batches(ALL_BATCH_POINTS);
    await chaos.polls(ALL_POLL_POINTS);
    await rig.setCaps(LARGE_GROUP * 2, LARGE_GROUP * 2);
    await chaos.clockAndShutdown();
    await runTypes(
      chaos,
      rig,
      SUBJECTS.filter((subject) => subject !== VOICE_CLONE),
      { bounded: false, faults: FAULTS },
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
      string: ["seed", "minutes", "types", "faults"],
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
