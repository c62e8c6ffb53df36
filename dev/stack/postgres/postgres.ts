/**
 * The embedded Postgres 17: native binaries from npm and a cluster set up like a hosted project (see bootstrap/*.sql),
 * on 127.0.0.1 only. The stack uses it, and database tests use it alone.
 */
import { join } from "@std/path";
import postgres from "postgres";
import { z } from "zod";
import { onFreePort } from "../process/free-port.ts";
import { bootstrapVersion, preparePostgresBinaries } from "./binaries.ts";
import {
  clusterOf,
  copyData,
  databaseUrl,
  firstPasswordFile,
  prepareCluster,
  randomPassword,
} from "./cluster.ts";
import {
  ephemeralSettings,
  serverSettings,
  startServer,
  startWithRetries,
} from "./server.ts";
import {
  cacheFolder,
  makeServerDir,
  makeServerTempDir,
  serverUser,
} from "./server-user.ts";
import { StackError } from "../console/stack-error.ts";

/** The data folder, and the port; without one, or with 0, any free port. */
export type PostgresOptions =
  & { port?: number | undefined; onLog?: (line: string) => void }
  & ({ dataDir: string } | { dataDir?: undefined; ephemeral: true });

/** A running embedded Postgres. */
export interface EmbeddedPostgres extends AsyncDisposable {
  port: number;
  /** Process id of the postmaster. */
  pid: number;
  /** Connects as `postgres`, the owner of the project: not a superuser, as on a hosted project. */
  dbUrl: string;
  /** Connects as `supabase_admin`, the superuser: for the platform's work, never for migrations. */
  adminUrl: string;
  /** Connects as `authenticator`, the login of the REST server, which then switches to the caller's role. */
  authenticatorUrl: string;
  /** An existing folder for Storage's files, kept and deleted with the data. */
  storageDir: string;
  /** For the user: databases of other data folders that may be left over. */
  notices: string[];
  /** Resolves with the exit code when the server has ended, for any reason. */
  exited: Promise<number>;
  /** Fast shutdown: ends sessions and writes a checkpoint. Resolves when the process has ended. */
  stop(): Promise<void>;
}

const loginRoles = ["postgres", "supabase_admin", "authenticator"] as const;

const credentialsSchema = z.object({
  bootstrap: z.string(),
  postgres: z.string(),
  supabase_admin: z.string(),
  authenticator: z.string(),
});
type Credentials = z.infer<typeof credentialsSchema>;

async function readCredentials(file: string): Promise<Credentials | undefined> {
  try {
    return credentialsSchema.parse(JSON.parse(await Deno.readTextFile(file)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new StackError(`${file} cannot be read: ${error}`);
  }
}

/** The URL, as `postgres`, of a server that runs on a data folder; undefined when the folder has no passwords. */
export async function databaseUrlOf(
  dataDir: string,
  port: number,
): Promise<string | undefined> {
  const credentials = await readCredentials(join(dataDir, "postgres.json"));
  return credentials === undefined
    ? undefined
    : databaseUrl(port, "postgres", credentials.postgres);
}

function otherVersion(dataDir: string): StackError {
  return new StackError(
    `The data folder ${dataDir} was made by another version of the embedded stack. ` +
      "Choose another folder with --data, or remove this one.",
  );
}

async function makeStorageDir(dataDir: string): Promise<void> {
  await Deno.mkdir(join(dataDir, "storage"), {
    recursive: true,
    mode: 0o700,
  });
}

/** Gives a fresh copy its own passwords. Idempotent, so that an interrupted start can be repeated. */
async function setPasswords(
  port: number,
  data: string,
  credentials: Credentials,
): Promise<void> {
  const file = join(data, firstPasswordFile);
  let first: string;
  try {
    first = await Deno.readTextFile(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  const sql = postgres(databaseUrl(port, "supabase_admin", first), { max: 1 });
  try {
    await sql.unsafe([
      // Each login computes all iterations. They slow down guessing, which 18 random bytes rule out anyway.
      "set scram_iterations = 1",
      ...loginRoles.map((role) =>
        `alter role ${role} password '${credentials[role]}'`
      ),
    ].join(";"));
  } catch (error) {
    const isDone = error instanceof postgres.PostgresError &&
      error.code === "28P01";
    if (!isDone) throw error;
  } finally {
    await sql.end();
  }
  await Deno.remove(file);
}

/**
 * Starts Postgres on 127.0.0.1 and resolves once it accepts connections. With `dataDir` the data is kept for the next
 * start; with `ephemeral` it is deleted when the server ends in any way.
 *
 * @throws {StackError} when the port is in use, the data folder belongs to another version or is in use, or this
 *   platform has no embedded Postgres. Nothing is left running then.
 */
export async function startPostgres(
  options: PostgresOptions,
): Promise<EmbeddedPostgres> {
  const { port = 0 } = options;
  return port === 0
    ? await onFreePort((free) => startOn(free, options))
    : await startOn(port, options);
}

async function startOn(
  port: number,
  options: PostgresOptions,
): Promise<EmbeddedPostgres> {
  const user = await serverUser();
  const cacheDir = await cacheFolder(user);
  const [binaries, version] = await Promise.all([
    preparePostgresBinaries(cacheDir, user),
    bootstrapVersion(),
  ]);
  const template = await prepareCluster(cacheDir, binaries, user, version);

  let folder: string;
  let notices: string[] = [];
  let credentials: Credentials;
  const fresh = (): Credentials => ({
    bootstrap: version,
    postgres: randomPassword(),
    supabase_admin: randomPassword(),
    authenticator: randomPassword(),
  });
  if (options.dataDir !== undefined) {
    await Deno.mkdir(options.dataDir, { recursive: true });
    await makeStorageDir(options.dataDir);
    const file = join(options.dataDir, "postgres.json");
    const kept = await readCredentials(file);
    if (kept !== undefined && kept.bootstrap !== version) {
      throw otherVersion(options.dataDir);
    }
    credentials = kept ?? fresh();
    // Written before the cluster, so that no cluster lacks its passwords.
    if (kept === undefined) {
      await Deno.writeTextFile(file, JSON.stringify(credentials, null, 2), {
        mode: 0o600,
      });
    }
    const cluster = await clusterOf(options.dataDir, template, user);
    if (!cluster.isNew && kept === undefined) {
      await Deno.remove(file);
      throw otherVersion(options.dataDir);
    }
    folder = cluster.path;
    notices = cluster.notices;
  } else {
    credentials = fresh();
    folder = await makeServerTempDir(user);
    await makeServerDir(user, join(folder, "storage"));
    await copyData(template, folder, user);
  }
  const data = join(folder, "data");
  const isEphemeral = options.dataDir === undefined;

  const start = (port: number) =>
    startServer({
      binaries,
      data,
      port,
      user,
      settings: {
        ...serverSettings,
        ...(isEphemeral ? ephemeralSettings : {}),
      },
      ...(isEphemeral ? { removeDir: folder } : {}),
      onLog: options.onLog ?? (() => {}),
    });
  const server = await startWithRetries(start, port);
  try {
    await setPasswords(port, data, credentials);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return {
    port,
    pid: server.pid,
    dbUrl: databaseUrl(port, "postgres", credentials.postgres),
    adminUrl: databaseUrl(port, "supabase_admin", credentials.supabase_admin),
    authenticatorUrl: databaseUrl(
      port,
      "authenticator",
      credentials.authenticator,
    ),
    storageDir: join(options.dataDir ?? folder, "storage"),
    notices,
    exited: server.exited,
    stop: server.stop,
    [Symbol.asyncDispose]: server.stop,
  };
}

/**
 * Creates a database as an exact copy of another one of the same cluster and returns its URLs for `postgres` (its
 * owner) and `supabase_admin`. No session may use the template meanwhile. `name` must be a plain identifier. For
 * database tests: one cluster per run, migrated once, one copy per file.
 */
export async function createDatabaseFromTemplate(
  cluster: Pick<EmbeddedPostgres, "dbUrl" | "adminUrl">,
  name: string,
  template = "postgres",
): Promise<{ dbUrl: string; adminUrl: string }> {
  for (const identifier of [name, template]) {
    if (!/^[a-z_][a-z0-9_]{0,62}$/.test(identifier)) {
      throw new TypeError(`not a plain database name: ${identifier}`);
    }
  }
  const at = (base: string, database: string) => {
    const changed = new URL(base);
    changed.pathname = `/${database}`;
    return changed.href;
  };
  // Connected to another database, because no session may use the template.
  const sql = postgres(at(cluster.adminUrl, "template1"), {
    max: 1,
    // Reading the array types would double the work of a short session, and no array is read here.
    fetch_types: false,
  });
  try {
    await sql.unsafe(
      `create database ${name} template ${template} owner postgres strategy file_copy`,
    );
  } finally {
    await sql.end();
  }
  return {
    dbUrl: at(cluster.dbUrl, name),
    adminUrl: at(cluster.adminUrl, name),
  };
}
