/**
 * The embedded Postgres 17: native binaries from npm, a cluster that is set up like a hosted project (see
 * bootstrap/*.sql), on 127.0.0.1 only. Used by the stack and, alone, by the database tests.
 */
import { dirname, join } from "@std/path";
import postgres from "postgres";
import { z } from "zod";
import { spawnGuarded } from "./child.ts";
import { freePort } from "./free-port.ts";
import {
  bootstrapVersion,
  preparePostgresBinaries,
} from "./postgres-binaries.ts";
import {
  cacheFolder,
  canReach,
  makeServerDir,
  makeServerTempDir,
  publishDirectory,
  runAs,
  type ServerUser,
  serverUser,
} from "./server-user.ts";
import { StackError } from "./stack-error.ts";

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
  /** A folder for the files of Storage that goes the way of the data. Exists. */
  storageDir: string;
  /** Resolves with the exit code when the server is over, for whatever reason. */
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

/** Holds the first password of a fresh copy of the prepared cluster, until it has its own. */
const firstPasswordFile = "first-password";

const bootstrapDir = new URL("./bootstrap/", import.meta.url);

const settings = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  max_connections: "150",
  password_encryption: "scram-sha-256",
  timezone: "UTC",
  log_timezone: "UTC",
  log_checkpoints: "off",
  wal_level: "logical",
  max_wal_senders: "5",
  max_replication_slots: "5",
  min_wal_size: "32MB",
  shared_preload_libraries: "pg_stat_statements",
  // The global cap of a hosted project; roles have their own on top of it.
  statement_timeout: "120s",
  // Names that belong to extensions which are stand-ins here; `show` and `current_setting` answer as hosted.
  "pg_net.batch_size": "200",
  "pg_net.ttl": "6 hours",
  "pg_net.database_name": "postgres",
  "cron.database_name": "postgres",
} satisfies Record<string, string>;

/** Only where losing everything in a crash of the machine does not matter. */
const ephemeralSettings = {
  fsync: "off",
  synchronous_commit: "off",
  full_page_writes: "off",
} satisfies Record<string, string>;

function randomPassword(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(18));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

function url(port: number, role: string, password: string): string {
  return `postgresql://${role}:${password}@127.0.0.1:${port}/postgres`;
}

interface Server {
  pid: number;
  exited: Promise<number>;
  stop(): Promise<void>;
}

async function startServer(options: {
  binaries: string;
  data: string;
  port: number;
  user: ServerUser;
  settings: Record<string, string>;
  removeDir?: string;
  onLog: (line: string) => void;
}): Promise<Server> {
  const ready = Promise.withResolvers<void>();
  const lastLines: string[] = [];
  const child = await spawnGuarded({
    command: [
      join(options.binaries, "bin", "postgres"),
      "-D",
      options.data,
      "-p",
      String(options.port),
      ...Object.entries(options.settings).flatMap((
        [name, value],
      ) => ["-c", `${name}=${value}`]),
    ],
    env: { LC_ALL: "C", PATH: "/usr/local/bin:/usr/bin:/bin" },
    cwd: "/",
    user: options.user.isOther
      ? { uid: options.user.uid, gid: options.user.gid }
      : undefined,
    endSignal: "INT",
    graceSeconds: 15,
    removeDir: options.removeDir,
    onLine: (_stream, line) => {
      lastLines.push(line);
      if (lastLines.length > 20) lastLines.shift();
      options.onLog(line);
      if (line.includes("database system is ready to accept connections")) {
        ready.resolve();
      }
    },
  });
  child.exited.then((code) =>
    ready.reject(startFailure(options.port, code, lastLines))
  );
  try {
    await ready.promise;
  } catch (error) {
    await child.end();
    throw error;
  }
  return {
    pid: child.pid,
    exited: child.exited,
    stop: async () => {
      await child.end();
    },
  };
}

function startFailure(
  port: number,
  code: number,
  lines: string[],
): StackError {
  const all = lines.join("\n");
  if (/could not bind .* Address already in use/.test(all)) {
    return new StackError(`Port ${port} is already in use.`);
  }
  if (/lock file "postmaster.pid" already exists/.test(all)) {
    return new DataInUseError(
      "The data folder is in use: another Postgres is running on it.",
    );
  }
  return new StackError(
    `Postgres did not start (code ${code}). Its last words:\n${all}`,
  );
}

class DataInUseError extends StackError {}

/**
 * A cluster with roles, schemas and extensions as hosted, made once per version of the scripts and then copied,
 * because a copy takes a tenth of the time.
 */
async function prepareCluster(
  cacheDir: string,
  binaries: string,
  user: ServerUser,
  version: string,
): Promise<string> {
  const ready = join(cacheDir, `cluster-${version}`);
  await publishDirectory(ready, async (draft) => {
    await makeServerDir(user, draft);
    const password = randomPassword();
    const passwordFile = join(draft, `.${firstPasswordFile}`);
    await Deno.writeTextFile(passwordFile, password, { mode: 0o600 });
    if (user.isOther) await Deno.chown(passwordFile, user.uid, user.gid);
    const data = join(draft, "data");
    await runAs(user, [
      join(binaries, "bin", "initdb"),
      `--pgdata=${data}`,
      "--username=supabase_admin",
      `--pwfile=${passwordFile}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      // Built into the server: the same order of text on every machine, whatever locales it has.
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
      "--locale=C",
      "--wal-segsize=4",
      "--no-sync",
      "--no-instructions",
    ]);
    const port = freePort();
    const server = await startServer({
      binaries,
      data,
      port,
      user,
      settings: { ...settings, ...ephemeralSettings },
      onLog: () => {},
    });
    try {
      await runBootstrap(url(port, "supabase_admin", password));
    } finally {
      await server.stop();
    }
    await Deno.rename(passwordFile, join(data, firstPasswordFile));
  });
  return ready;
}

async function runBootstrap(adminUrl: string): Promise<void> {
  const sql = postgres(adminUrl, { max: 1, onnotice: () => {} });
  try {
    const names: string[] = [];
    for await (const entry of Deno.readDir(bootstrapDir)) {
      names.push(entry.name);
    }
    for (const name of names.sort()) {
      const script = await Deno.readTextFile(new URL(name, bootstrapDir));
      try {
        await sql.unsafe(script);
      } catch (cause) {
        throw new Error(`dev/stack/bootstrap/${name} failed`, { cause });
      }
    }
  } finally {
    await sql.end();
  }
}

/** The folder for the cluster of a data folder: inside it, unless the server user cannot reach that. */
async function clusterFolder(
  dataDir: string,
  user: ServerUser,
): Promise<{ path: string; isNew: boolean }> {
  const inside = join(dataDir, "postgres");
  try {
    const info = await Deno.lstat(inside);
    if (!info.isSymlink) return { path: inside, isNew: false };
    const elsewhere = await Deno.readLink(inside);
    try {
      await Deno.stat(elsewhere);
    } catch {
      throw new StackError(
        `The database of ${dataDir} was kept in ${elsewhere}, which is gone. Remove ${dataDir} to start afresh.`,
      );
    }
    return { path: elsewhere, isNew: false };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  if (await canReach(user, dataDir)) return { path: inside, isNew: true };
  const elsewhere = join("/var/lib/edge-ai-jobs", crypto.randomUUID());
  await Deno.mkdir(dirname(elsewhere), { recursive: true, mode: 0o755 });
  return { path: elsewhere, isNew: true };
}

async function copyCluster(
  template: string,
  target: string,
  user: ServerUser,
): Promise<void> {
  await publishDirectory(target, async (draft) => {
    await makeServerDir(user, draft);
    await runAs(user, [
      "cp",
      "-Rp",
      join(template, "data"),
      join(draft, "data"),
    ]);
  });
}

async function readCredentials(file: string): Promise<Credentials | undefined> {
  try {
    return credentialsSchema.parse(JSON.parse(await Deno.readTextFile(file)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new StackError(`${file} cannot be read: ${error}`);
  }
}

/** Gives a fresh copy its own passwords. Repeatable: a start that was cut short goes on where it stopped. */
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
  const sql = postgres(url(port, "supabase_admin", first), { max: 1 });
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

/** A server whose owner was killed a moment ago may still be shutting down on the same data. */
async function startPatiently(
  start: (port: number) => Promise<Server>,
  port: number,
): Promise<Server> {
  const deadline = Date.now() + 8000;
  for (;;) {
    try {
      return await start(port);
    } catch (error) {
      if (!(error instanceof DataInUseError) || Date.now() > deadline) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
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
    await Deno.mkdir(join(options.dataDir, "storage"), {
      recursive: true,
      mode: 0o700,
    });
    const { path, isNew } = await clusterFolder(options.dataDir, user);
    const file = join(options.dataDir, "postgres.json");
    const kept = isNew ? undefined : await readCredentials(file);
    if (!isNew && kept?.bootstrap !== version) {
      throw new StackError(
        `The data folder ${options.dataDir} was made by another version of the embedded stack. ` +
          "Choose another folder with --data, or remove this one.",
      );
    }
    credentials = kept ?? fresh();
    folder = path;
    if (isNew) {
      await Deno.writeTextFile(file, JSON.stringify(credentials, null, 2), {
        mode: 0o600,
      });
      await copyCluster(template, folder, user);
      if (dirname(folder) !== options.dataDir) {
        await Deno.symlink(folder, join(options.dataDir, "postgres"));
      }
    }
  } else {
    credentials = fresh();
    folder = await makeServerTempDir(user);
    await makeServerDir(user, join(folder, "storage"));
    await runAs(user, [
      "cp",
      "-Rp",
      join(template, "data"),
      join(folder, "data"),
    ]);
  }
  const data = join(folder, "data");
  const isEphemeral = options.dataDir === undefined;

  const start = (port: number) =>
    startServer({
      binaries,
      data,
      port,
      user,
      settings: { ...settings, ...(isEphemeral ? ephemeralSettings : {}) },
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
    dbUrl: url(port, "postgres", credentials.postgres),
    adminUrl: url(port, "supabase_admin", credentials.supabase_admin),
    authenticatorUrl: url(port, "authenticator", credentials.authenticator),
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
