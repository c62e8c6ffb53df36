/**
 * The background workers of the extensions. On a hosted project they run inside Postgres; here they run in this
 * process. Each is in the folder of its stand-in's SQL.
 */
import type { LogBook } from "../console/log-book.ts";
import { CronTicker } from "./pg_cron/ticker.ts";
import { NetWorker } from "./pg_net/worker.ts";

/** The running workers. */
export interface ExtensionWorkers extends AsyncDisposable {
  net: NetWorker;
  cron: CronTicker;
}

/**
 * Starts delivery and schedules on a prepared database; ends them in reverse when disposed of.
 *
 * @throws the error of Postgres when a worker cannot connect; nothing is left running then.
 */
export async function startExtensionWorkers(
  database: { dbUrl: string; adminUrl: string },
  logs: LogBook,
): Promise<ExtensionWorkers> {
  await using parts = new AsyncDisposableStack();
  const net = await NetWorker.start(database.adminUrl, logs);
  parts.defer(() => net.stop());
  const cron = await CronTicker.start(database, logs);
  parts.defer(() => cron.stop());
  const running = parts.move();
  return { net, cron, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
