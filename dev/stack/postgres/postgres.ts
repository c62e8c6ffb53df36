/**
 * The embedded Postgres 17: native binaries from npm, a cluster that is set up like a hosted project (see
 * bootstrap/*.sql), on 127.0.0.1 only. Used by the stack and, alone, by the database tests.
 */
import { join } from "@std/path";
import postgres from "postgres";
import { z } from "zod";
import { freePort } from "../process/free-port.ts";
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
  startPatiently,
  startServer,
} from "./server.ts";
import {
  cacheFolder,
  makeServerDir,
  makeServerTempDir,
  serverUser,
} from "./server-user.ts";
import { StackError } from "../console/stack-error.ts";

/** Where the data lives, and on which port to listen; port 0 or none means any free one. */
export type PostgresOptions =
  & { port?: number | undefined; onLog?: (line: string) => void }
  & ({ dataDir: string } | { dataDir?: undefined; ephemeral: true });

/** A running embedded Postgres. */
export interface EmbeddedPostgres extends AsyncDisposable {
  port: number;
  /** Process id of the postmaster. */
  pid: number;
  /** As `postgres`, the owner of the project: not a superuser, as on a hosted project. */
  dbUrl: string;
  /** As `supabase_admin`, the superuser: for the platform's own work, never for migrations. */
  adminUrl: string;
  /** As `authenticator`: what the REST server logs in as before it takes on the caller's role. */
  authenticatorUrl: string;
  /** An existing folder for the files of Storage, kept and removed together with the data. */
  storageDir: string;
  /** Resolves with the exit code when the server has ended, for any reason. */
  exited: Promise<number>;
  /** Fast shutdown: ends connections, writes a checkpoint. Resolves when the process is gone. */
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

/** The address, as `postgres`, of a server that is running on a data folder; undefined when there are no passwords in it. */
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

/** Gives a fresh copy its own passwords. Idempotent, so a start that was interrupted can be repeated. */
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
    await sql.unsafe(
      loginRoles.map((role) =>
        `alter role ${role} password '${credentials[role]}'`
      ).join(";"),
    );
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
 * Starts Postgres on 127.0.0.1 and resolves once it accepts connections. With `dataDir` the data is kept there
 * and found again by the next start; with `ephemeral` it is removed when the server ends, however it ends.
 *
 * Throws {@link StackError} when the port is taken, the data folder belongs to another version or is in use,
 * or this platform has no embedded Postgres. Nothing is left running then.
 */
export async function startPostgres(
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
    // Before the cluster, so that a cluster without its passwords cannot be.
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
  const wanted = options.port ?? 0;
  const port = wanted === 0 ? freePort() : wanted;
  const server = await startPatiently(start, port);
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
    exited: server.exited,
    stop: server.stop,
    [Symbol.asyncDispose]: server.stop,
  };
}

/**
 * Makes a database as an exact copy of another one of the same cluster and returns its URLs, for the roles
 * `postgres` (its owner) and `supabase_admin`. Nothing may be connected to the template meanwhile.
 * `name` must be a plain identifier. For database tests: one cluster per run, migrated once, one copy per file.
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
  // From another database, because this connection must not be one to the template.
  const sql = postgres(at(cluster.adminUrl, "template1"), { max: 1 });
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
