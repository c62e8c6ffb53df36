/**
 * The embedded stack: Postgres, REST, Auth, Storage, functions, pg_net, pg_cron and simulated providers behind one
 * port, for a machine without Docker. docs/embedded-stack.md lists which parts are real and which are stand-ins.
 *
 * `postgres`, `services`, `functions`, `extensions` and `gateway` are the parts that run; `project` and `keys` are
 * their configuration; `process` and `console` are what all parts share. This file starts the parts in order and ends
 * them in reverse.
 */
import { fromFileUrl, join, resolve } from "@std/path";
import type { JWTPayload } from "jose";
import { seedFamily } from "../seed/family.ts";
import { LogBook } from "./console/log-book.ts";
import { openLogFile } from "./console/log-file.ts";
import { StackError } from "./console/stack-error.ts";
import { printError } from "./console/terminal.ts";
import { lineFor, type Printed } from "./console/terminal-log.ts";
import { startExtensionWorkers } from "./extensions/workers.ts";
import type { CronTicker } from "./extensions/pg_cron/ticker.ts";
import type { NetWorker } from "./extensions/pg_net/worker.ts";
import { denoCommand } from "./functions/deno.ts";
import { fetchDependencies } from "./functions/dependencies.ts";
import { Functions } from "./functions/functions.ts";
import {
  type FunctionOptions,
  type FunctionSettings,
  functionSettings,
} from "./functions/settings.ts";
import { listenGateway } from "./gateway/gateway.ts";
import { generateKeys, loadKeys } from "./keys/keys.ts";
import { TokenExchange } from "./keys/tokens.ts";
import { defaultPort, type StackOptions } from "./options.ts";
import type { MigrationReport } from "./postgres/migrate.ts";
import { startPostgres } from "./postgres/postgres.ts";
import { prepareDatabase } from "./postgres/prepare.ts";
import { defaultDataDir, openDataFolder } from "./process/data-folder.ts";
import { isPortTaken } from "./process/free-port.ts";
import { bypassProxyForLoopback } from "./process/loopback.ts";
import { canReadResourceUsage } from "./process/resource-usage.ts";
import { checkFunctionEnv, namesNotRead } from "./project/function-env.ts";
import { type Project, readProject } from "./project/project.ts";
import { readFunctionsEnvFile, readProjectEnv } from "./project/project-env.ts";
import { chooseProviders, type ProviderChoice } from "./project/providers.ts";
import type { RealtimeServer } from "./services/realtime/server.ts";
import { type Services, startServices } from "./services/services.ts";
import { registerWebhooks, startSimulators } from "./services/simulators.ts";

export { StackError } from "./console/stack-error.ts";
export { defaultPort, type StackOptions } from "./options.ts";

bypassProxyForLoopback();

const repository = fromFileUrl(new URL("../../", import.meta.url));

/** A running stack. */
export interface Stack extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`, the URL for `createClient`. */
  apiUrl: string;
  /** The URL for apps: an address on the network if the stack has a `host`, else {@link apiUrl}. */
  appUrl: string;
  /** All addresses on the network; empty without a `host`. */
  networkUrls: string[];
  /** Connects as `postgres`, the project owner. */
  dbUrl: string;
  /** Connects as `supabase_admin`, the superuser. */
  adminDbUrl: string;
  publishableKey: string;
  secretKey: string;
  /** URL of the simulated providers; empty without them. */
  simulatorUrl: string;
  /** `whsec_…`; the same secret is in the Vault and in the functions' DISPATCH_SECRET. */
  dispatchSecret: string;
  providers: ProviderChoice[];
  migrations: MigrationReport;
  /** Names in `supabase/functions/.env` that the functions do not read. */
  namesNotRead: string[];
  /** The log file of all parts; undefined when no data is kept. */
  logFile: string | undefined;
  /** Seed files applied at this start, relative to the project. */
  seeded: string[];
  functions: Functions;
  /** The start options of the functions, for `functions.resume` in tests. */
  functionSettings(
    options: FunctionOptions,
  ): Pick<FunctionSettings, "env" | "limits">;
  net: NetWorker;
  cron: CronTicker;
  realtime: RealtimeServer;
  logs: LogBook;
  /** Signs claims with the project's Auth key (ES256), for tests that need special tokens. */
  signToken(claims: JWTPayload): Promise<string>;
  /** Rejects when a required part ends by itself; never resolves. */
  crashed: Promise<never>;
  /** Ends all parts in order and resolves when no process and no port is left. It may be called again. */
  stop(): Promise<void>;
}

/**
 * Port of the database: next to the gateway's, as with `supabase start`, so that database tools keep working; 0, for any
 * free port, if ephemeral.
 */
function databasePort(gatewayUrl: string, isEphemeral: boolean): number {
  if (isEphemeral) return 0;
  const nextPort = Number(new URL(gatewayUrl).port) + 1;
  return nextPort < 65536 && !isPortTaken(nextPort) ? nextPort : 0;
}

function print(logs: LogBook, printed: Printed): void {
  logs.watch((record) => {
    const line = lineFor(record, printed);
    if (line !== undefined) printError(`${line}\n`);
  });
}

/** Data folder (unless ephemeral), port, log and keys of a stack. */
async function openPlace(
  { ephemeral = false, dataDir, port, host }: StackOptions,
  project: Project,
  parts: AsyncDisposableStack,
) {
  if (ephemeral && dataDir !== undefined) {
    throw new StackError("Pass either ephemeral or dataDir, not both.");
  }
  const folder = ephemeral
    ? undefined
    : parts.use(await openDataFolder(dataDir ?? defaultDataDir(project.dir)));
  const gateway = await listenGateway({
    port: port ?? (ephemeral ? 0 : defaultPort),
    host,
  });
  parts.defer(() => gateway.close());
  await folder?.announce(gateway.url);
  const logs = new LogBook();
  const logFile = folder &&
    parts.use(openLogFile(join(folder.path, "stack.log")));
  if (logFile) logs.watch((record) => logFile.add(record));
  const keys = folder ? await loadKeys(folder.path) : await generateKeys();
  return { folder, gateway, logs, logFile, keys };
}

/**
 * Starts a stack and resolves when all parts answer.
 *
 * @throws {StackError} with one message for the terminal, when the port or the data folder is in use, the project is
 *   invalid, a migration fails, or a function does not start. Nothing is left running then.
 */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  await using parts = new AsyncDisposableStack();
  const project = await readProject(options.projectDir ?? repository);
  const { folder, gateway, logs, logFile, keys } = await openPlace(
    options,
    project,
    parts,
  );
  const tokens = new TokenExchange(keys);
  const apiUrl = gateway.url;
  const [networkUrl] = gateway.networkUrls;
  const developerEnv = {
    ...(networkUrl === undefined ? {} : { API_PUBLIC_URL: networkUrl }),
    ...await readProjectEnv(project.dir),
  };
  const isOwnProject = project.dir === resolve(repository);
  const hasSimulators = options.simulators !== false;
  const choose = (
    simulatorUrl: string | undefined,
    { upstash = "none" }: FunctionOptions,
  ) => chooseProviders(developerEnv, simulatorUrl, upstash, apiUrl);
  // Other projects define other variables. Any address will do for the check, which is made before anything starts.
  if (isOwnProject) {
    checkFunctionEnv(
      choose(hasSimulators ? apiUrl : undefined, options).env,
    );
  }

  const deno = denoCommand(options.functionsDeno);
  const fetching = fetchDependencies(project.functions, project.dir, deno);
  const simulating = hasSimulators
    ? startSimulators(logs, folder?.simulatorsDir)
    : undefined;
  // Both are awaited later. Until then a rejection must not count as unhandled.
  fetching.catch(() => {});
  simulating?.catch(() => {});
  parts.defer(async () => {
    await (await simulating?.catch(() => undefined))?.end();
  });

  options.onProgress?.("Postgres");
  const database = await startPostgres({
    ...(folder ? { dataDir: folder.path } : { ephemeral: true as const }),
    port: databasePort(apiUrl, folder === undefined),
    onLog: (line) => logs.add("postgres", "stderr", line),
  });
  parts.defer(() => database.stop());
  await folder?.announce(apiUrl, database.port);
  const simulatorUrl = (await simulating)?.url;
  if (simulatorUrl !== undefined) {
    await registerWebhooks(
      simulatorUrl,
      `${apiUrl}/functions/v1/provider-webhook`,
    );
  }

  let services: Services | undefined;
  // Started before the functions, and therefore ended after them: functions need the services until they end.
  parts.defer(async () => await services?.[Symbol.asyncDispose]());
  options.onProgress?.("packages of the functions");
  await fetching;
  options.onProgress?.("migrations and functions");
  const settingsFor = (given: FunctionOptions) =>
    functionSettings({
      apiUrl,
      dbUrl: database.dbUrl,
      keys,
      tokens,
      projectEnv: choose(simulatorUrl, given).env,
    }, given);
  const functions = new Functions(project.functions, {
    ...settingsFor(options),
    projectDir: project.dir,
    deno,
    bootTimeoutMs: options.bootTimeoutMs ?? 30_000,
    logs,
  });
  parts.defer(() => functions.stop());
  const prepare = async () => {
    const prepared = await prepareDatabase(database.dbUrl, {
      project,
      folder,
      seed: options.seed ?? false,
      secrets: { project_url: apiUrl, dispatch_secret: keys.dispatchSecret },
    });
    services = await startServices({
      project,
      keys,
      tokens,
      database,
      storageDir: folder?.storageDir ?? database.storageDir,
      logs,
    });
    return { ...prepared, services };
  };
  const preparing = prepare();
  // Its connections must be closed before the database stops.
  parts.defer(async () => {
    await preparing.catch(() => {});
  });
  const [prepared] = await Promise.all([
    preparing,
    options.bootFunctions === "on-demand" ? undefined : functions.ready(),
  ]);
  const { realtime } = prepared.services;
  gateway.open({
    keys,
    tokens,
    services: prepared.services.data,
    uploads: prepared.services.uploads,
    functions,
    realtime,
    logs,
    fileSizeLimit: project.fileSizeLimit,
    idleTimeoutMs: options.idleTimeoutMs ?? 150_000,
  });
  if (prepared.isToBeSeeded) {
    await seedFamily({
      apiUrl,
      secretKey: keys.secretKey,
      simulatorUrl,
    });
    await folder?.noteSeeding(false);
  }
  const { net, cron } = parts.use(await startExtensionWorkers(database, logs));

  // Printed only from here on. A failed start prints one message with its cause instead.
  print(logs, options.print ?? "nothing");
  for (const notice of database.notices) logs.add("stack", "stderr", notice);
  if (!canReadResourceUsage) {
    logs.add(
      "stack",
      "stderr",
      "functions have no limit of CPU time and memory here; on Linux, and on a hosted project, they have",
    );
  }
  const running = parts.move();
  let stopping: Promise<void> | undefined;
  const stop = () => stopping ??= running.disposeAsync();
  const crashed = Promise.withResolvers<never>();
  crashed.promise.catch(() => {});
  database.exited.then((code) => {
    if (stopping) return;
    crashed.reject(
      new StackError(`Postgres ended unexpectedly (code ${code}).`),
    );
  });
  return {
    apiUrl,
    appUrl: networkUrl ?? apiUrl,
    networkUrls: gateway.networkUrls,
    dbUrl: database.dbUrl,
    adminDbUrl: database.adminUrl,
    publishableKey: keys.publishableKey,
    secretKey: keys.secretKey,
    simulatorUrl: simulatorUrl ?? "",
    dispatchSecret: keys.dispatchSecret,
    providers: choose(simulatorUrl, options).choices,
    migrations: prepared.migrations,
    namesNotRead: isOwnProject
      ? namesNotRead(Object.keys(await readFunctionsEnvFile(project.dir)))
      : [],
    logFile: logFile?.path,
    seeded: prepared.seeded,
    functions,
    functionSettings: settingsFor,
    net,
    cron,
    realtime,
    logs,
    signToken: (claims) => tokens.sign(claims),
    crashed: crashed.promise,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
