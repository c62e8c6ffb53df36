/**
 * The embedded stack: Postgres, REST, Auth, Storage, functions, pg_net, pg_cron and simulated providers behind one
 * port, for a machine without Docker. docs/embedded-stack.md says what is real and what stands in.
 */
import { fromFileUrl, join, resolve } from "@std/path";
import type { JWTPayload } from "jose";
import { CronTicker } from "./extensions/pg_cron/ticker.ts";
import { defaultDataDir, openDataFolder } from "./process/data-folder.ts";
import {
  type DataServices,
  startDataServices,
} from "./services/lite/data-services.ts";
import { fetchDependencies } from "./functions/dependencies.ts";
import { freePort, isPortTaken } from "./process/free-port.ts";
import { checkFunctionEnv, namesNotRead } from "./project/function-env.ts";
import { denoCommand } from "./functions/deno.ts";
import { Functions } from "./functions/functions.ts";
import { listenGateway } from "./gateway/gateway.ts";
import { generateKeys, loadKeys } from "./keys/keys.ts";
import { LogBook } from "./console/log-book.ts";
import { openLogFile } from "./console/log-file.ts";
import { bypassProxyForLoopback } from "./process/loopback.ts";
import { seedFamily } from "../seed/family.ts";
import { applyMigrations, type MigrationReport } from "./postgres/migrate.ts";
import { NetWorker } from "./extensions/pg_net/worker.ts";
import { startPostgres } from "./postgres/postgres.ts";
import { RealtimeServer } from "./services/realtime/server.ts";
import { readProject } from "./project/project.ts";
import { readFunctionsEnvFile, readProjectEnv } from "./project/project-env.ts";
import { chooseProviders, type ProviderChoice } from "./project/providers.ts";
import { canReadResourceUsage } from "./process/resource-usage.ts";
import { applySeed, isNewDatabase } from "./postgres/seed.ts";
import { registerWebhooks, startSimulators } from "./services/simulators.ts";
import { StackError } from "./console/stack-error.ts";
import { defaultPort, type StackOptions } from "./options.ts";
import { createResumableUploads } from "./services/storage/resumable.ts";
import { TokenExchange } from "./keys/tokens.ts";
import { complain } from "./console/terminal.ts";
import { lineFor, type Printed } from "./console/terminal-log.ts";
import { putVaultSecrets } from "./extensions/supabase_vault/secrets.ts";

export { StackError } from "./console/stack-error.ts";
export { defaultPort, type StackOptions } from "./options.ts";

bypassProxyForLoopback();

const repository = fromFileUrl(new URL("../../", import.meta.url));

/** A running stack; everything answers. */
export interface Stack extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`, what `createClient` takes. */
  apiUrl: string;
  /** The same for apps: on the network where the stack has a `host`, else {@link apiUrl}. */
  appUrl: string;
  /** All addresses on the network; empty without a `host`. */
  networkUrls: string[];
  /** As `postgres`, the project owner. */
  dbUrl: string;
  /** As `supabase_admin`, the superuser. */
  adminDbUrl: string;
  publishableKey: string;
  secretKey: string;
  /** Of the simulated providers; empty without them. */
  simulatorUrl: string;
  /** `whsec_…`; the same in the Vault and in the functions' DISPATCH_SECRET. */
  dispatchSecret: string;
  providers: ProviderChoice[];
  migrations: MigrationReport;
  /** Names in `supabase/functions/.env` that the functions do not read. */
  namesNotRead: string[];
  /** Where everything is written that the parts say; undefined when nothing is kept. */
  logFile: string | undefined;
  /** Seed files applied now, relative to the project. */
  seeded: string[];
  functions: Functions;
  net: NetWorker;
  cron: CronTicker;
  realtime: RealtimeServer;
  logs: LogBook;
  /** Signs claims as the project's Auth would (ES256); for tests that need a token of their own making. */
  signToken(claims: JWTPayload): Promise<string>;
  /** Rejects when a part without which nothing works ends by itself; never resolves. */
  crashed: Promise<never>;
  /** Ends all parts in order and resolves when no process and no port is left. Repeatable. */
  stop(): Promise<void>;
}

function databasePort(gatewayUrl: string, isEphemeral: boolean): number {
  if (isEphemeral) return freePort();
  // Beside the gateway, as with `supabase start`, so that a database tool finds it again.
  const beside = Number(new URL(gatewayUrl).port) + 1;
  return beside < 65536 && !isPortTaken(beside) ? beside : freePort();
}

function print(logs: LogBook, printed: Printed): void {
  logs.watch((record) => {
    const line = lineFor(record, printed);
    if (line !== undefined) complain(`${line}\n`);
  });
}

/**
 * Starts a stack and resolves when everything answers.
 *
 * Throws {@link StackError} with one message for a person when the port or the data folder is in use, the project
 * is not valid, a migration fails, or a function does not start; nothing is left running then.
 */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const isEphemeral = options.ephemeral ?? false;
  if (isEphemeral && options.dataDir !== undefined) {
    throw new StackError("A stack is either ephemeral or has a data folder.");
  }
  const projectDir = options.projectDir ?? repository;
  const project = await readProject(projectDir);
  const logs = new LogBook();
  const deno = denoCommand(options.functionsDeno);
  await using parts = new AsyncDisposableStack();
  const folder = isEphemeral ? undefined : await openDataFolder(
    options.dataDir ?? defaultDataDir(project.dir),
  );
  if (folder) parts.use(folder);
  const gateway = await listenGateway({
    port: options.port ?? (isEphemeral ? 0 : defaultPort),
    host: options.host,
  });
  parts.defer(() => gateway.close());
  await folder?.announce(gateway.url);
  const logFile = folder && openLogFile(join(folder.path, "stack.log"));
  if (logFile) {
    parts.use(logFile);
    logs.watch((record) => logFile.add(record));
  }
  const keys = folder ? await loadKeys(folder.path) : await generateKeys();
  const tokens = new TokenExchange(keys);

  const simulatorPort = options.simulators === false ? undefined : freePort();
  const simulatorUrl = simulatorPort === undefined
    ? undefined
    : `http://127.0.0.1:${simulatorPort}`;
  const [networkUrl] = gateway.networkUrls;
  const { env, choices } = chooseProviders(
    {
      ...(networkUrl === undefined ? {} : { API_PUBLIC_URL: networkUrl }),
      ...await readProjectEnv(project.dir),
    },
    simulatorUrl,
    options.upstash ?? "none",
    gateway.url,
  );
  // Other projects have variables of their own.
  const isOwnProject = project.dir === resolve(repository);
  if (isOwnProject) checkFunctionEnv(env);

  const fetching = fetchDependencies(project.functions, project.dir, deno);
  // Waited for later; until then a failure must not count as unhandled.
  fetching.catch(() => {});
  const simulating = simulatorPort === undefined
    ? undefined
    : startSimulators(simulatorPort, logs, folder?.simulatorsDir);
  parts.defer(async () => {
    await (await simulating?.catch(() => undefined))?.end();
  });

  options.onProgress?.("Postgres");
  const database = await startPostgres({
    ...(folder ? { dataDir: folder.path } : { ephemeral: true as const }),
    port: databasePort(gateway.url, isEphemeral),
    onLog: (line) => logs.add("postgres", "stderr", line),
  });
  parts.defer(() => database.stop());
  await folder?.announce(gateway.url, database.port);

  if (simulatorUrl !== undefined) {
    await simulating;
    await registerWebhooks(
      simulatorUrl,
      `${gateway.url}/functions/v1/provider-webhook`,
    );
  }
  let services: DataServices | undefined;
  // Before the functions, and so after them at the end: what they still do then needs the services.
  parts.defer(async () => await services?.close());
  options.onProgress?.("packages of the functions");
  await fetching;
  options.onProgress?.("migrations and functions");
  const functions = new Functions(project.functions, {
    projectDir: project.dir,
    deno,
    env: {
      ...env,
      DISPATCH_SECRET: keys.dispatchSecret,
      SUPABASE_URL: gateway.url,
      SUPABASE_DB_URL: database.dbUrl,
      SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({
        default: keys.publishableKey,
      }),
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
      SUPABASE_JWKS: JSON.stringify(tokens.jwks),
      ...options.env,
    },
    limits: {
      wallClockMs: options.wallClockMs ?? 150_000,
      cpuMs: options.cpuMs ?? 2000,
      memoryBytes: (options.memoryMb ?? 256) * 1_048_576,
    },
    bootTimeoutMs: options.bootTimeoutMs ?? 30_000,
    logs,
  });
  parts.defer(() => functions.stop());

  const prepareData = async () => {
    const isToBeSeeded = options.seed === true &&
      (await isNewDatabase(database.dbUrl) ||
        // A start that was broken off half-way is taken up where it ended.
        await folder?.isSeeding() === true);
    if (isToBeSeeded) await folder?.noteSeeding(true);
    const migrations = await applyMigrations(
      database.dbUrl,
      project.migrationsDir,
    );
    const seeded = isToBeSeeded
      ? await applySeed(database.dbUrl, project.dir, project.seedFiles)
      : [];
    await putVaultSecrets(database.dbUrl, {
      project_url: gateway.url,
      dispatch_secret: keys.dispatchSecret,
    });
    services = await startDataServices({
      project,
      keys,
      urls: database,
      storageDir: folder?.storageDir ?? database.storageDir,
      logs,
    });
    return { migrations, isToBeSeeded, seeded, services };
  };
  const preparing = prepareData();
  // Its connections must be done with before the database is stopped.
  parts.defer(async () => {
    await preparing.catch(() => {});
  });
  const realtime = new RealtimeServer({
    adminUrl: database.adminUrl,
    keys,
    tokens,
    logs,
  });
  parts.defer(() => realtime.stop());
  const [prepared] = await Promise.all([
    preparing,
    functions.ready(),
    simulating,
  ]);
  gateway.open({
    keys,
    tokens,
    services: prepared.services,
    uploads: await createResumableUploads({
      tokens,
      services: prepared.services,
      fileSizeLimit: project.fileSizeLimit,
    }),
    functions,
    realtime,
    logs,
    fileSizeLimit: project.fileSizeLimit,
    idleTimeoutMs: options.idleTimeoutMs ?? 150_000,
  });
  if (prepared.isToBeSeeded) {
    await seedFamily({
      apiUrl: gateway.url,
      secretKey: keys.secretKey,
      simulatorUrl,
    });
    await folder?.noteSeeding(false);
  }

  const net = await NetWorker.start(database.adminUrl, logs);
  parts.defer(() => net.stop());
  const cron = await CronTicker.start(database, logs);
  parts.defer(() => cron.stop());

  // From here on only: what led to a failed start is in its one message.
  print(logs, options.print ?? "nothing");
  if (!canReadResourceUsage) {
    logs.add(
      "stack",
      "stderr",
      "functions have no limit of CPU time and memory here; on Linux, and on a hosted project, they have",
    );
  }
  const running = parts.move();
  let stopping: Promise<void> | undefined;
  const crashed = Promise.withResolvers<never>();
  crashed.promise.catch(() => {});
  database.exited.then((code) => {
    if (stopping) return;
    crashed.reject(
      new StackError(`Postgres ended unexpectedly (code ${code}).`),
    );
  });
  const stop = () => stopping ??= running.disposeAsync();
  return {
    apiUrl: gateway.url,
    appUrl: networkUrl ?? gateway.url,
    networkUrls: gateway.networkUrls,
    dbUrl: database.dbUrl,
    adminDbUrl: database.adminUrl,
    publishableKey: keys.publishableKey,
    secretKey: keys.secretKey,
    simulatorUrl: simulatorUrl ?? "",
    dispatchSecret: keys.dispatchSecret,
    providers: choices,
    migrations: prepared.migrations,
    namesNotRead: isOwnProject
      ? namesNotRead(Object.keys(await readFunctionsEnvFile(project.dir)))
      : [],
    logFile: logFile?.path,
    seeded: prepared.seeded,
    functions,
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
