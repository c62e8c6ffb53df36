/** The common part of the Edge Functions that run jobs: queue, worker and endpoint. */
import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../database.types.ts";
import type { AppDeps } from "../http/endpoint.ts";
import { createDependencyLookup } from "../jobs/dependency.ts";
import type { Processor } from "../jobs/job-context.ts";
import type { ResultLookup } from "../jobs/job-run.ts";
import { createJobRepository } from "../jobs/rpc-repository.ts";
import { dataApi } from "../database/rpc.ts";
import { createWorker } from "../jobs/worker.ts";
import type { Logger } from "../platform/log.ts";
import { removeLostFiles } from "../storage/remove-files.ts";
import { createWorkerHandler } from "./handler.ts";

/** What differs between the functions. */
export interface WorkerFunctionOptions extends AppDeps {
  /** With the rights of the service. */
  supabase: SupabaseClient<Database>;
  log: Logger;
  processors: readonly Processor[];
  results: ResultLookup | "database";
  concurrency: number;
  /** See `WorkerDeps.isOneJobPerRequest`. */
  isOneJobPerRequest?: boolean;
}

/**
 * Creates the Edge Function `name`, which runs the jobs whose type names it in `ai_job_types.worker`.
 *
 * @returns what the function's `index.ts` exports as its default.
 */
export function createWorkerFunction(
  name: string,
  options: WorkerFunctionOptions,
): { fetch: (request: Request) => Promise<Response> } {
  const { platform, env, supabase, processors } = options;
  const repository = createJobRepository(dataApi(supabase), name);
  const worker = createWorker({
    platform,
    repository,
    processors: new Map(
      processors.map((processor) => [processor.jobType, processor]),
    ),
    results: options.results,
    dependencyOf: createDependencyLookup(supabase),
    removeLostFiles: (job) => removeLostFiles(supabase, job),
    concurrency: options.concurrency,
    isOneJobPerRequest: options.isOneJobPerRequest ?? false,
    wallClockMs: env.ISOLATE_WALL_CLOCK * 1000,
    onShutdown: platform.onShutdown,
    waitUntil: platform.waitUntil,
    log: options.log,
  });
  return {
    fetch: createWorkerHandler(name, { platform, env, repository, worker }),
  };
}
