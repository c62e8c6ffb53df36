/** pg-boss, with the first settings of its documentation, and tuned for speed, rescue and fairness. */
import { type ConstructorOptions, PgBoss, type WorkOptions } from "pg-boss";
import type postgres from "postgres";
import { z } from "zod";
import { type Environment, RECORDING } from "../environment.ts";
import type { Contender, Owner, RunOptions } from "./contender.ts";
import { PeerDatabase } from "./peer-database.ts";
import { WorkerProcess } from "./worker-process.ts";

const QUEUE = "voice_clone";

const idsSchema = z.array(z.object({ id: z.string(), user_id: z.string() }));

interface PgBossSettings {
  boss: ConstructorOptions;
  queue: Record<string, boolean | number>;
  work: WorkOptions;
}

/** Number of jobs that are fetched together; the next batch is fetched when all of them are done. */
const BATCH = 2;

function settingsOf(
  { slots, isShared }: RunOptions,
  isTuned: boolean,
): PgBossSettings {
  if (!isTuned) {
    return { boss: {}, queue: {}, work: { localConcurrency: slots } };
  }
  return {
    boss: {
      max: 15,
      useListenNotify: true,
      superviseIntervalSeconds: 2,
      monitorIntervalSeconds: 2,
    },
    queue: { notify: true, heartbeatSeconds: 10 },
    work: {
      pollingIntervalSeconds: 0.5,
      notifyPollingIntervalSeconds: 0.5,
      ...(isShared
        ? { localConcurrency: slots, groupConcurrency: slots - 1 }
        : {
          localConcurrency: Math.ceil(slots / BATCH),
          batchSize: BATCH,
          burstWhenBatchFull: true,
          perJobResults: true,
        }),
    },
  };
}

/** The contender `pg-boss` or, tuned, `pg-boss-tuned`. Creates its database. */
export async function pgBossContender(
  environment: Environment,
  version: string,
  isTuned: boolean,
): Promise<Contender> {
  const name = isTuned ? "pg-boss-tuned" : "pg-boss";
  const database = await PeerDatabase.create(
    environment,
    name.replaceAll("-", "_"),
  );
  // This instance only creates jobs; the worker is another process.
  const producer = new PgBoss({
    connectionString: database.url,
    max: 2,
    supervise: false,
    schedule: false,
    registerInstance: false,
  });
  producer.on("error", () => {});
  await producer.start();
  await producer.createQueue(
    QUEUE,
    settingsOf({ slots: 1, providerMs: 0 }, isTuned).queue,
  );

  const provider = environment.account(name);
  const worker = new WorkerProcess("./pg-boss-worker.ts", z.unknown());
  let given: Record<string, unknown> = {};
  let isGroupPerUser = false;

  /** The app's rows and the library's jobs in one transaction. */
  async function insert(count: number, owner: Owner): Promise<string[]> {
    const owners = database.ownersOf(count, owner);
    return await database.app.begin(async (sql) => {
      const rows = idsSchema.parse([
        ...await sql`
          insert into app.jobs (user_id, metadata)
          select u, jsonb_build_object('voice_name', 'Voice ' || gen_random_uuid()) from unnest(${owners}::uuid[]) as u
          returning id, user_id`,
      ]);
      await producer.insert(
        QUEUE,
        rows.map(({ id, user_id }) => ({
          data: { id },
          ...(isGroupPerUser ? { group: { id: user_id } } : {}),
        })),
        { db: { executeSql: (text, values) => runIn(sql, text, values) } },
      );
      return rows.map(({ id }) => id);
    });
  }

  return {
    name,
    title: `pg-boss, ${isTuned ? "tuned" : "defaults"}`,
    library: `pg-boss ${version}`,
    database: database.name,
    isPolling: !isTuned,
    settings: (options) => ({ ...settingsOf(options, isTuned) }),
    async begin(options) {
      isGroupPerUser = isTuned && options.isShared === true;
      await provider.reset(options.providerMs);
      await database.reset(options.keepHistory === true);
      if (options.keepHistory) {
        await database
          .control`delete from pgboss.job where state < 'completed'`;
      } else {
        await database.control`truncate pgboss.job`;
      }
      const { boss, work } = settingsOf(options, isTuned);
      given = {
        dbUrl: database.url,
        providerUrl: provider.url,
        recording: RECORDING,
        queue: QUEUE,
        boss,
        work,
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
    async fillHistory(rows) {
      await database.fillHistory(rows);
      // The library keeps finished jobs for seven days.
      await database.control`
        insert into pgboss.job (name, data, state, created_on, started_on, completed_on, output)
        select ${QUEUE}, jsonb_build_object('id', gen_random_uuid()), 'completed', t.at, t.at, t.at, '{}'
        from generate_series(1, ${rows}::integer) as n
        cross join lateral (select now() - n * interval '0.5 seconds' as at) as t`;
      await database.control.unsafe("vacuum (analyze) pgboss.job");
    },
    async dispose() {
      await producer.stop({ graceful: false });
      await database.dispose();
    },
  };
}

async function runIn(
  sql: postgres.TransactionSql,
  text: string,
  values: unknown[] = [],
): Promise<{ rows: unknown[] }> {
  const given = values.map((value) =>
    typeof value === "string" || typeof value === "number" ||
      typeof value === "boolean" || value === null
      ? value
      : JSON.stringify(value)
  );
  return { rows: [...await sql.unsafe(text, given, { prepare: true })] };
}
