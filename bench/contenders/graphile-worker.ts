/** graphile-worker, with the first settings of its documentation, and tuned for speed and fairness. */
import { Logger, makeWorkerUtils } from "graphile-worker";
import { z } from "zod";
import { type Environment, RECORDING } from "../environment.ts";
import type { Contender, Owner, RunOptions } from "./contender.ts";
import { PeerDatabase } from "./peer-database.ts";
import { WorkerProcess } from "./worker-process.ts";

const idsSchema = z.array(z.object({ id: z.string() }));

function workerSettings(
  { slots, isShared }: RunOptions,
  isTuned: boolean,
): Record<string, unknown> {
  return {
    concurrentJobs: slots,
    ...(isTuned ? { maxPoolSize: 15 } : {}),
    // With a queue per user, a local queue would find one job at a time, and then wait for the next poll.
    ...(isTuned && !isShared
      ? {
        localQueue: { size: slots + 1 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      }
      : {}),
  };
}

/** The contender `graphile-worker` or, tuned, `graphile-worker-tuned`. Creates its database. */
export async function graphileWorkerContender(
  environment: Environment,
  version: string,
  isTuned: boolean,
): Promise<Contender> {
  const name = isTuned ? "graphile-worker-tuned" : "graphile-worker";
  const database = await PeerDatabase.create(
    environment,
    name.replaceAll("-", "_"),
  );
  const utils = await makeWorkerUtils({
    connectionString: database.url,
    logger: new Logger(() => () => {}),
  });
  await utils.migrate();
  await utils.release();

  const provider = environment.account(name);
  const worker = new WorkerProcess("./graphile-worker.ts", z.unknown());
  let given: Record<string, unknown> = {};
  let isQueuePerUser = false;

  /** The app's rows and the library's jobs in one statement, which is one transaction. */
  async function insert(count: number, owner: Owner): Promise<string[]> {
    const owners = database.ownersOf(count, owner);
    return idsSchema.parse([
      ...await database.app`
        with made as (
          insert into app.jobs (user_id, metadata)
          select u, jsonb_build_object('voice_name', 'Voice ' || gen_random_uuid()) from unnest(${owners}::uuid[]) as u
          returning id, user_id
        ),
        queued as (
          select graphile_worker.add_jobs(array_agg(
            (
              'voice_clone', json_build_object('id', made.id),
              case when ${isQueuePerUser} then made.user_id::text end, null, null, null, null, null
            )::graphile_worker.job_spec
          ))
          from made
        )
        select made.id from made, (select count(*) from queued) as q`,
    ]).map(({ id }) => id);
  }

  return {
    name,
    title: `graphile-worker, ${isTuned ? "tuned" : "defaults"}`,
    library: `graphile-worker ${version}`,
    database: database.name,
    isPolling: false,
    settings: (options) => ({
      ...workerSettings(options, isTuned),
      ...(isTuned && options.isShared ? { queueName: "the user's id" } : {}),
      ...(isTuned ? { "forceUnlockWorkers at the start": true } : {}),
    }),
    async begin(options) {
      isQueuePerUser = isTuned && options.isShared === true;
      await provider.reset(options.providerMs);
      await database.reset(options.keepHistory === true);
      await database.control`
        truncate graphile_worker._private_jobs, graphile_worker._private_job_queues`;
      given = {
        dbUrl: database.url,
        providerUrl: provider.url,
        recording: RECORDING,
        worker: workerSettings(options, isTuned),
        isAlone: isTuned,
      };
      await worker.start(given);
    },
    end: () => worker.stop(),
    async create() {
      const [id] = await insert(1, "anyone");
      if (id === undefined) throw new Error("no job was inserted");
      return id;
    },
    insert,
    kill: () => worker.killAndStart(given),
    async recovered() {
      await worker.ready();
    },
    times: (ids) => database.times(ids),
    firstLines: () => worker.firstLines(),
    startedOfFirst: (after, before) => database.startedOfFirst(after, before),
    // The library deletes finished jobs.
    fillHistory: (rows) => database.fillHistory(rows),
    dispose: () => database.dispose(),
  };
}
