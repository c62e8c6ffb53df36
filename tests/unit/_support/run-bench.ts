/** One job, its queue and a JobRun, for the tests of JobRun. */
import {
  type Completion,
  ShuttingDown,
} from "../../../supabase/functions/_shared/jobs/outcome.ts";
import { Heartbeats } from "../../../supabase/functions/_shared/jobs/heartbeats.ts";
import type { JobContext } from "../../../supabase/functions/_shared/jobs/job-context.ts";
import type { PaidCall } from "../../../supabase/functions/_shared/jobs/paid-call.ts";
import {
  JobRun,
  type ResultLookup,
} from "../../../supabase/functions/_shared/jobs/job-run.ts";
import { createLogger } from "../../../supabase/functions/_shared/platform/log.ts";
import { fakePlatform } from "../../_support/fake-platform.ts";
import {
  FakeRepository,
  type JobValues,
} from "../../_support/fake-repository.ts";

/** The completion of the processors in these tests. */
export const DONE: Completion = {
  resultData: { voice_id: "voice-1", voice_name: "Grandma" },
};

/** Uptime by which every attempt must have stopped. */
export const DEADLINE_MS = 135_000;

/** The work of a processor. */
export type Work = (context: JobContext) => Promise<Completion>;

/** A pending job, the queue that it is in, and a way to claim and run it. */
export function bench(
  work: Work,
  options: {
    values?: Partial<JobValues>;
    results?: Partial<ResultLookup> | "database";
    removeLostFiles?: () => Promise<number>;
  } = {},
) {
  const platform = fakePlatform();
  const repository = new FakeRepository();
  const row = repository.insert(options.values);
  const shutdown = new AbortController();
  const remembered: string[][] = [];
  const lost: string[] = [];
  const log = createLogger(platform, {
    level: "debug",
    secrets: [],
    fields: { request_id: "dispatch-1" },
  });
  const heartbeats = new Heartbeats(platform, repository, log);
  return {
    platform,
    repository,
    row,
    /** Entries of the result cache. */
    remembered,
    /** Jobs whose files were removed because the lease was lost. */
    lost,
    /** Claims the job, unless a claimed job is given, and runs it. */
    run: (job = repository.claim(row)) =>
      new JobRun({
        platform,
        repository,
        processors: new Map([
          ["voice_clone", { jobType: "voice_clone", run: work }],
        ]),
        results: options.results === "database" ? "database" : {
          find: () => Promise.resolve(null),
          remember: (...entry) => {
            remembered.push(entry);
            return Promise.resolve();
          },
          ...options.results,
        },
        log,
        heartbeats,
        deadlineMs: DEADLINE_MS,
        shutdown: shutdown.signal,
        removeLostFiles: (job) => {
          lost.push(job.id);
          return options.removeLostFiles?.() ?? Promise.resolve(0);
        },
        dependencyOf: (job) => repository.dependencyOf(job),
      }, job).run(),
    /** Announces the end of the isolate. */
    shutDown: () => shutdown.abort(new ShuttingDown("wall_clock")),
    /** Announces the end of the isolate because the job exceeded a limit. */
    shutDownForLimit: () =>
      shutdown.abort(new ShuttingDown("cpu", { isCausedByJob: true })),
  };
}

/** Work that makes one paid call with the given result. */
export function withPaidCall(
  send: (signal: AbortSignal) => Promise<string>,
  find: PaidCall["find"] = () => Promise.resolve(null),
  undo?: PaidCall["undo"],
): Work {
  return async ({ pay }) => {
    const call: PaidCall = {
      operation: "create_voice",
      stage: "calling_provider",
      progressBefore: 30,
      progressAfter: 70,
      units: 1,
      send,
      find,
      ...(undo === undefined ? {} : { undo }),
    };
    return { resultData: { voice_id: await pay(call) } };
  };
}

/** Work with every kind of step that writes. */
export const fullWork: Work = async (context) => {
  context.progress(10, "fetching_input");
  await withPaidCall(() => Promise.resolve("voice-1"))(context);
  return DONE;
};

/** Rejects as `fetch` does when the signal aborts, and never resolves. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  const end = () => reject(new DOMException("aborted", "AbortError"));
  if (signal.aborted) end();
  else signal.addEventListener("abort", end);
  return promise;
}
