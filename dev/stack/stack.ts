/**
 * The embedded stack: Postgres, REST, Auth, Storage, functions, pg_net, pg_cron and simulated providers behind one
 * port, for a machine without Docker. docs/embedded-stack.md says what is real and what stands in.
 */
import { fromFileUrl, join } from "@std/path";
import type { JWTPayload } from "jose";
import { CronTicker } from "./cron-ticker.ts";
import { openDataFolder } from "./data-folder.ts";
import { type DataServices, startDataServices } from "./data-services.ts";
import { fetchDependencies } from "./dependencies.ts";
import { freePort, isPortTaken } from "./free-port.ts";
import { denoCommand, type FunctionsDeno } from "./functions-deno.ts";
import { Functions } from "./functions.ts";
import { listenGateway } from "./gateway.ts";
import { generateKeys, loadKeys } from "./keys.ts";
import { LogBook } from "./log-book.ts";
import { bypassProxyForLoopback } from "./loopback.ts";
import { seedFamily } from "../seed/family.ts";
import { applyMigrations, type MigrationReport } from "./migrate.ts";
import { NetWorker } from "./net-worker.ts";
import { startPostgres } from "./postgres.ts";
import { RealtimeServer } from "./realtime/server.ts";
import { readProject } from "./project.ts";
import { readProjectEnv } from "./project-env.ts";
import { chooseProviders, type ProviderChoice } from "./providers.ts";
import { canReadResourceUsage } from "./resource-usage.ts";
import { applySeed, isNewDatabase } from "./seed.ts";
import { registerWebhooks, startSimulators } from "./simulators.ts";
import { StackError } from "./stack-error.ts";
import { TokenExchange } from "./tokens.ts";
import { putVaultSecrets } from "./vault.ts";

export { StackError } from "./stack-error.ts";

/** The port of a persistent stack, as that of `supabase start`. */
export const defaultPort = 54321;

bypassProxyForLoopback();

const repository = fromFileUrl(new URL("../../", import.meta.url));

/** How a stack is to be started. */
export interface StackOptions {
  /** Folder with `supabase/`; this repository when absent. */
  projectDir?: string;
  /** Of the gateway. 0 means any free one; so does none with `ephemeral`, else 54321. */
  port?: number;
  /** Where data is kept; `.data/stack` of the project when absent. Not together with `ephemeral`. */
  dataDir?: string;
  /** Keep nothing: the data goes when the stack ends. */
  ephemeral?: boolean;
  /** Give a new database the project's seed data (default false). */
  seed?: boolean;
  /** Start the simulated providers (default true); without them only providers with a real key work. */
  simulators?: boolean;
  /** Whether functions are given a simulated Upstash Redis; none by default. */
  upstash?: "simulated" | "none";
  /** Further variables for the functions; over everything else. */
  env?: Record<string, string>;
  /** The Deno that runs the functions; that of this process when absent. */
  functionsDeno?: FunctionsDeno;
  /** Print nothing (default true). Otherwise what the parts say goes to standard error, line by line. */
  quiet?: boolean;
  /** Life of an isolate by its own clock, in milliseconds; 150 s, the shortest of the hosted plans. */
  wallClockMs?: number;
  /** Processor time of an isolate in milliseconds; 2 s as hosted, of which one retires it. 0: no limit. */
  cpuMs?: number;
  /** Resident memory of an isolate in mebibytes; 256 as hosted. 0: no limit. */
  memoryMb?: number;
  /** How long a function may take to begin its answer, in milliseconds; 150 s as hosted. */
  idleTimeoutMs?: number;
  /** How long a function may take to accept requests at the start, in milliseconds; 30 s. */
  bootTimeoutMs?: number;
}

/** A running stack; everything answers. */
export interface Stack extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`, what `createClient` takes. */
  apiUrl: string;
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

function printing(logs: LogBook): void {
  const encoder = new TextEncoder();
  logs.watch(({ source, line }) => {
    if (source === "postgres") return;
    Deno.stderr.writeSync(encoder.encode(`[${source}] ${line}\n`));
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
  const fetching = fetchDependencies(project.functions, project.dir, deno);
  // Waited for later; until then a failure must not count as unhandled.
  fetching.catch(() => {});

  await using parts = new AsyncDisposableStack();
  const gateway = listenGateway(
    options.port ?? (isEphemeral ? 0 : defaultPort),
  );
  parts.defer(() => gateway.close());

  const folder = isEphemeral ? undefined : await openDataFolder(
    options.dataDir ?? join(project.dir, ".data", "stack"),
  );
  if (folder) parts.use(folder);
  const keys = folder ? await loadKeys(folder.path) : await generateKeys();
  const tokens = new TokenExchange(keys);

  const simulatorPort = options.simulators === false ? undefined : freePort();
  const simulating = simulatorPort === undefined
    ? undefined
    : startSimulators(simulatorPort, logs, folder?.simulatorsDir);
  parts.defer(async () => {
    await (await simulating?.catch(() => undefined))?.end();
  });
  const simulatorUrl = simulatorPort === undefined
    ? undefined
    : `http://127.0.0.1:${simulatorPort}`;

  const database = await startPostgres({
    ...(folder ? { dataDir: folder.path } : { ephemeral: true as const }),
    port: databasePort(gateway.url, isEphemeral),
    onLog: (line) => logs.add("postgres", "stderr", line),
  });
  parts.defer(() => database.stop());

  const projectEnv = await readProjectEnv(project.dir);
  const { env, choices } = chooseProviders(
    projectEnv,
    simulatorUrl,
    options.upstash ?? "none",
    gateway.url,
  );
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
  await fetching;
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
  if (options.quiet === false) printing(logs);
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
    dbUrl: database.dbUrl,
    adminDbUrl: database.adminUrl,
    publishableKey: keys.publishableKey,
    secretKey: keys.secretKey,
    simulatorUrl: simulatorUrl ?? "",
    dispatchSecret: keys.dispatchSecret,
    providers: choices,
    migrations: prepared.migrations,
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
