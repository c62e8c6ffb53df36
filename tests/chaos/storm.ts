/** A storm: several users, jobs and workers, and random faults from a seeded generator. */
// deno-lint-ignore-file no-console -- prints the rows of jobs that do not end
import { z } from "zod";
import { SessionLost } from "../../dev/stack/extensions/sessions.ts";
import type { FaultRule } from "../_support/simulator-control.ts";
import type { Route } from "./deliveries.ts";
import { pause, type Rig } from "./rig.ts";
import type { ChaosWorker } from "./workers.ts";

/** Size and length of a storm. */
export interface StormOptions {
  random: () => number;
  jobs: number;
  workers: number;
  seconds: number;
  /** Whether Postgres crashes too. */
  killsPostgres: boolean;
  /** Called as each step of the storm begins, to report where a storm hangs. */
  onStep: (step: string) => void;
}

/** Injected faults with their counts. */
export type StormLog = Map<string, number>;

const PROVIDER_FAULTS: FaultRule["fault"][] = [
  {
    kind: "status",
    error: "rate_limit_exceeded",
    headers: { "Retry-After": "1" },
  },
  { kind: "status", error: "too_many_concurrent_requests" },
  { kind: "status", error: "system_busy" },
  { kind: "status", status: 500 },
  { kind: "html", status: 502 },
  { kind: "close_before" },
  { kind: "close_after" },
  { kind: "close_in_body" },
  { kind: "truncated_json" },
  { kind: "missing_fields" },
  { kind: "delay", ms: 700 },
  { kind: "delay", ms: 3500 },
  { kind: "status", error: "voice_limit_reached" },
];

/**
 * Runs a storm, removes the faults and waits until every job has ended.
 *
 * @returns the injected faults, and how many jobs did not end.
 */
export async function runStorm(
  rig: Rig,
  options: StormOptions,
): Promise<{ log: StormLog; unsettled: number }> {
  const storm = new Storm(rig, options);
  return await storm.run();
}

class Storm {
  readonly #rig: Rig;
  readonly #options: StormOptions;
  readonly #log: StormLog = new Map();
  readonly #ids: string[] = [];
  readonly #background: Promise<unknown>[] = [];
  #workers: ChaosWorker[] = [];
  #deliveries: "plain" | "double" | "shuffled" | "refused" | "lost" = "plain";
  /** Responses still to be cut. */
  #responsesToCut = 0;

  constructor(rig: Rig, options: StormOptions) {
    this.#rig = rig;
    this.#options = options;
  }

  async run(): Promise<{ log: StormLog; unsettled: number }> {
    const { workers, seconds } = this.#options;
    this.#workers = await Promise.all(
      Array.from({ length: workers }, () => this.#startWorker()),
    );
    this.#rig.deliveries.route = () => this.#route();
    this.#rig.watch = (_, { phase }) => {
      if (this.#responsesToCut === 0 || phase !== "answered") return "continue";
      this.#responsesToCut--;
      return "cut";
    };
    const inserting = this.#insert();
    const deadline = performance.now() + seconds * 1000;
    while (performance.now() < deadline) {
      await pause(100 + this.#random() * 300);
      const fault = this.#pick(this.#faults());
      this.#note(fault.name);
      this.#options.onStep(fault.name);
      try {
        await fault.inject();
      } catch (error) {
        // The previous fault may have ended the session.
        if (!(error instanceof SessionLost)) throw error;
      }
    }
    this.#options.onStep("faults are removed");
    await this.#removeFaults();
    this.#options.onStep("jobs are inserted");
    await inserting;
    this.#options.onStep("workers are started and ended");
    await Promise.all(this.#background);
    this.#options.onStep("jobs end");
    const unsettled = await this.#rig.untilSettled(60);
    if (unsettled > 0) console.log(await this.#rig.describeUnfinished());
    this.#options.onStep("workers are killed");
    await Promise.all(this.#workers.map((worker) => worker.kill()));
    return { log: this.#log, unsettled };
  }

  async #insert(): Promise<void> {
    const { jobs, seconds } = this.#options;
    for (let index = 0; index < jobs; index++) {
      this.#ids.push(await this.#rig.insertJob());
      await pause(seconds * 500 / jobs);
    }
  }

  #faults(): { name: string; inject: () => unknown }[] {
    const { admin, stack } = this.#rig;
    return [
      { name: "a worker is killed", inject: () => this.#killWorker() },
      { name: "a worker is killed", inject: () => this.#killWorker() },
      {
        name: "a worker is notified of its end",
        inject: () => this.#endWorker(),
      },
      { name: "responses are lost", inject: () => this.#responsesToCut += 2 },
      { name: "the provider fails", inject: () => this.#failProvider() },
      { name: "the provider fails", inject: () => this.#failProvider() },
      { name: "the provider fails", inject: () => this.#failProvider() },
      {
        name: "connections of the API are terminated",
        inject: () =>
          admin.query(
            `select pg_terminate_backend(pid) from pg_stat_activity
            where application_name in ('rest', 'storage and auth')`,
          ),
      },
      {
        name: "the sweep is terminated",
        inject: () =>
          admin.query(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pg_cron'",
          ),
      },
      {
        name: "pg_net is terminated",
        inject: () =>
          admin.query(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pg_net worker'",
          ),
      },
      {
        name: "pg_net stops and its queue is emptied",
        inject: async () => {
          await stack.net.pause();
          await pause(500);
          await admin.query("truncate net.http_request_queue");
          stack.net.resume();
        },
      },
      {
        name: "deliveries change",
        inject: () =>
          this.#deliveries = this.#pick([
            "plain",
            "double",
            "shuffled",
            "refused",
            "lost",
          ]),
      },
      {
        name: "an owner cancels",
        inject: async () => {
          if (this.#ids.length === 0) return;
          await this.#rig.cancelJob(this.#pick(this.#ids));
        },
      },
      ...(this.#options.killsPostgres
        ? [{
          name: "Postgres crashes and recovers",
          inject: () => crashPostgres(this.#rig),
        }]
        : []),
    ];
  }

  async #failProvider(): Promise<void> {
    await this.#rig.simulator.fail({
      fault: this.#pick(PROVIDER_FAULTS),
      times: 2,
    });
    if (this.#random() < 0.3) {
      await this.#rig.simulator.fail({
        operation: "voices.search",
        fault: { kind: "status", status: 503 },
      });
    }
  }

  async #removeFaults(): Promise<void> {
    this.#responsesToCut = 0;
    this.#deliveries = "plain";
    await this.#rig.simulator.clearFaults();
    if (!this.#workers.some(({ isAlive }) => isAlive)) {
      this.#workers.push(await this.#startWorker());
    }
  }

  #startWorker(): Promise<ChaosWorker> {
    return this.#rig.workers.start({ concurrency: 3 });
  }

  #replace(): void {
    this.#background.push(
      this.#startWorker().then((worker) => this.#workers.push(worker)),
    );
  }

  async #killWorker(): Promise<void> {
    const alive = this.#workers.filter(({ isAlive }) => isAlive);
    if (alive.length === 0) return;
    this.#replace();
    await this.#pick(alive).kill();
  }

  #endWorker(): void {
    const alive = this.#workers.filter(({ isAlive }) => isAlive);
    if (alive.length < 2) return;
    const ending = this.#pick(alive);
    this.#replace();
    this.#background.push(ending.terminate());
  }

  async #route(): Promise<Route> {
    const alive = this.#workers.filter(({ isAlive }) => isAlive);
    if (alive.length === 0) return "lost";
    const { origin } = this.#pick(alive);
    switch (this.#deliveries) {
      case "plain":
        return { origins: [origin] };
      case "double":
        return { origins: [origin, this.#pick(alive).origin] };
      case "shuffled":
        await pause(this.#random() * 600);
        return { origins: [origin] };
      case "refused":
        return this.#random() < 0.7 ? "refused" : { origins: [origin] };
      case "lost":
        return this.#random() < 0.7 ? "lost" : { origins: [origin] };
    }
  }

  #note(what: string): void {
    this.#log.set(what, (this.#log.get(what) ?? 0) + 1);
  }

  #random(): number {
    return this.#options.random();
  }

  #pick<T>(from: readonly T[]): T {
    const picked = from[Math.floor(this.#random() * from.length)];
    if (picked === undefined) throw new Error("the list is empty");
    return picked;
  }
}

/**
 * Kills one server process of Postgres with SIGKILL. The postmaster then ends all others, recovers from the log and
 * accepts connections again. Resolves once it does.
 */
async function crashPostgres(rig: Rig): Promise<void> {
  const { rows: [victim] } = await rig.admin.query(
    `select pid from pg_stat_activity
    where backend_type = 'client backend' and application_name <> 'chaos' limit 1`,
  );
  if (victim === undefined) return;
  Deno.kill(z.number().parse(victim.pid), "SIGKILL");
  for (;;) {
    try {
      await rig.database.query("select 1");
      return;
    } catch {
      await pause(100);
    }
  }
}
