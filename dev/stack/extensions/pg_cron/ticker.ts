/**
 * The scheduler of pg_cron: runs the jobs of `cron.job` as their users, each run on its own connection, and
 * keeps `cron.job_run_details`. A job never overlaps itself: when it is due and still running, that run is
 * skipped.
 */
import { z } from "zod";
import { type CronSchedule, isDue, readSchedule } from "./schedule.ts";
import type { LogBook } from "../../console/log-book.ts";
import {
  Listener,
  LONG_ANSWER_MS,
  type Session,
  Sessions,
} from "../sessions.ts";

const NAME = "pg_cron scheduler";
const tickMs = 200;
/** How often the job table is read, for changes that bypass the functions of pg_cron. */
const reloadMs = 5000;

const jobRow = z.object({
  jobid: z.coerce.number().int(),
  jobname: z.string().nullable(),
  schedule: z.string(),
  command: z.string(),
  database: z.string(),
  username: z.string(),
  active: z.boolean(),
});
type JobRow = z.infer<typeof jobRow>;

interface Job extends JobRow {
  parsed: CronSchedule;
  lastStart: Date;
}

/** The outcome of a run. */
export interface CronRun {
  status: "succeeded" | "failed";
  /** Rows affected, or the error of Postgres. */
  message: string;
}

/** The running scheduler. */
export class CronTicker {
  readonly #urls: { dbUrl: string; adminUrl: string };
  readonly #sessions: Sessions;
  #listener: Listener | undefined;
  readonly #logs: LogBook;
  readonly #running = new Map<number, Promise<CronRun>>();
  #jobs = new Map<number, Job>();
  #isPaused = false;
  #reloading: Promise<void> | undefined;
  #timers: ReturnType<typeof setInterval>[] = [];

  private constructor(
    urls: { dbUrl: string; adminUrl: string },
    logs: LogBook,
  ) {
    this.#urls = urls;
    this.#logs = logs;
    this.#sessions = new Sessions(urls.adminUrl, NAME, { max: 2 });
  }

  /** Connects, closes the records of runs that a crash interrupted, and starts the schedules. */
  static async start(
    urls: { dbUrl: string; adminUrl: string },
    logs: LogBook,
  ): Promise<CronTicker> {
    const ticker = new CronTicker(urls, logs);
    try {
      ticker.#listener = await Listener.start(
        urls.adminUrl,
        NAME,
        "pg_cron_changed",
        () => ticker.#reload(),
      );
      await ticker.#closeOldRuns();
    } catch (error) {
      await ticker.stop();
      throw error;
    }
    await ticker.#reload();
    ticker.#timers = [
      setInterval(() => ticker.#tick(), tickMs),
      setInterval(() => ticker.#reload(), reloadMs),
    ];
    return ticker;
  }

  /** Starts no further runs, and waits for the current ones. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    await Promise.allSettled(this.#running.values());
  }

  /** Resumes; each job that became due meanwhile runs once. */
  resume(): void {
    this.#isPaused = false;
  }

  /**
   * Runs a job now, even while paused, regardless of its schedule; waits for a current run of the job first. Throws when no
   * job has the name.
   */
  async runNow(jobname: string): Promise<CronRun> {
    await this.#reload();
    const job = [...this.#jobs.values()].find((job) => job.jobname === jobname);
    if (job === undefined) {
      throw new Error(`cron job ${jobname} does not exist`);
    }
    await this.#running.get(job.jobid);
    return await this.#start(job);
  }

  /** Ends the scheduler after its current runs. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.pause();
    await this.#reloading;
    await Promise.all([
      this.#sessions[Symbol.asyncDispose](),
      this.#listener?.[Symbol.asyncDispose](),
    ]);
  }

  async #isInstalled(): Promise<boolean> {
    const { rows: [row] } = await this.#sessions.query(
      "select to_regclass('cron.job') is not null as installed",
    );
    return row?.installed === true;
  }

  async #closeOldRuns(): Promise<void> {
    if (!(await this.#isInstalled())) return;
    await this.#sessions.query(
      `update cron.job_run_details
      set status = 'failed', return_message = 'server restarted', end_time = now()
      where status in ('starting', 'running')`,
    );
  }

  #reload(): Promise<void> {
    this.#reloading ??= this.#readJobs()
      .catch((error) =>
        this.#logs.add("cron", "stderr", `jobs could not be read: ${error}`)
      )
      .finally(() => this.#reloading = undefined);
    return this.#reloading;
  }

  async #readJobs(): Promise<void> {
    if (!(await this.#isInstalled())) return;
    const { rows } = await this.#sessions.query(
      "select jobid, jobname, schedule, command, database, username, active from cron.job",
    );
    const now = new Date();
    const jobs = new Map<number, Job>();
    for (const row of z.array(jobRow).parse(rows)) {
      const parsed = readSchedule(row.schedule);
      if (parsed === undefined) continue;
      const known = this.#jobs.get(row.jobid);
      jobs.set(row.jobid, {
        ...row,
        parsed,
        lastStart: known?.schedule === row.schedule ? known.lastStart : now,
      });
    }
    this.#jobs = jobs;
  }

  #tick(): void {
    if (this.#isPaused) return;
    const now = new Date();
    for (const job of this.#jobs.values()) {
      if (!job.active || !isDue(job.parsed, job.lastStart, now)) continue;
      if (this.#running.has(job.jobid)) continue;
      this.#start(job);
    }
  }

  #start(job: Job): Promise<CronRun> {
    job.lastStart = new Date();
    const run = this.#run(job)
      .catch((error): CronRun => ({ status: "failed", message: `${error}` }))
      .then((result) => {
        if (result.status === "failed") {
          this.#logs.add(
            "cron",
            "stderr",
            `${job.jobname ?? job.jobid} failed: ${result.message}`,
          );
        }
        return result;
      })
      .finally(() => this.#running.delete(job.jobid));
    this.#running.set(job.jobid, run);
    return run;
  }

  /** As the job's user: with a separate login where the stack has one, else with SET ROLE. */
  #connect(job: Job): Sessions {
    const isOwner = job.username === "postgres";
    const url = new URL(isOwner ? this.#urls.dbUrl : this.#urls.adminUrl);
    url.pathname = `/${job.database}`;
    return new Sessions(url.href, "pg_cron", { answerMs: LONG_ANSWER_MS });
  }

  async #run(job: Job): Promise<CronRun> {
    await using sessions = this.#connect(job);
    return await sessions.use(async (session) => {
      if (job.username !== "postgres") {
        await session.query(
          `set session authorization "${job.username.replaceAll('"', '""')}"`,
        );
      }
      const { rows: [backend] } = await session.query(
        "select pg_backend_pid() as pid",
      );
      const { rows: [record] } = await this.#sessions.query(
        `insert into cron.job_run_details
          (jobid, job_pid, database, username, command, status, start_time)
        values ($1, $2, $3, $4, $5, 'running', clock_timestamp())
        returning runid`,
        [job.jobid, backend?.pid, job.database, job.username, job.command],
      );
      const result = await this.#execute(session, job.command);
      await this.#sessions.query(
        `update cron.job_run_details
        set status = $1, return_message = $2, end_time = clock_timestamp()
        where runid = $3`,
        [result.status, result.message, record?.runid],
      );
      return result;
    });
  }

  async #execute(session: Session, command: string): Promise<CronRun> {
    try {
      const { count } = await session.query(command);
      return {
        status: "succeeded",
        message: count === 1 ? "1 row" : `${count} rows`,
      };
    } catch (error) {
      const message = error instanceof Error ? error.message : `${error}`;
      return { status: "failed", message: `ERROR:  ${message}` };
    }
  }
}
