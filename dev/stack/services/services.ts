/**
 * The services of a hosted project that run in this process: REST, Auth and Storage of `@supabase/lite`, resumable
 * uploads by the server that hosted Storage uses, and a Realtime server of this repository.
 */
import type { LogBook } from "../console/log-book.ts";
import type { StackKeys } from "../keys/keys.ts";
import type { TokenExchange } from "../keys/tokens.ts";
import type { Project } from "../project/project.ts";
import { type DataServices, startDataServices } from "./lite/data-services.ts";
import { RealtimeServer } from "./realtime/server.ts";
import {
  createResumableUploads,
  type ResumableUploads,
} from "./storage/resumable.ts";

/** The running services. */
export interface Services extends AsyncDisposable {
  data: DataServices;
  uploads: ResumableUploads;
  realtime: RealtimeServer;
}

/**
 * Starts the services on a prepared database and resolves when they answer. `storageDir` must exist.
 *
 * @throws the error of Postgres when one cannot connect; nothing is left running then.
 */
export async function startServices(
  { project, keys, tokens, database, storageDir, logs }: {
    project: Project;
    keys: StackKeys;
    tokens: TokenExchange;
    database: { adminUrl: string; authenticatorUrl: string };
    storageDir: string;
    logs: LogBook;
  },
): Promise<Services> {
  await using parts = new AsyncDisposableStack();
  const data = await startDataServices({
    project,
    keys,
    urls: database,
    storageDir,
    logs,
  });
  parts.defer(() => data.close());
  const uploads = await createResumableUploads({
    tokens,
    services: data,
    fileSizeLimit: project.fileSizeLimit,
  });
  const { adminUrl } = database;
  const realtime = new RealtimeServer({ adminUrl, keys, tokens, logs });
  parts.defer(() => realtime.stop());
  const running = parts.move();
  return {
    data,
    uploads,
    realtime,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
