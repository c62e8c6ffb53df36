/** A Postgres server process: its settings, its start, and errors of the start. */
import { join } from "@std/path";
import { spawnGuarded } from "../process/child.ts";
import { PortTaken } from "../process/free-port.ts";
import type { ServerUser } from "./server-user.ts";
import { StackError } from "../console/stack-error.ts";

/** Settings of every server of the stack. */
export const serverSettings = {
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
  // Writes the log soon, not after 200 ms, because Realtime sees an asynchronous commit only then.
  wal_writer_delay: "10ms",
  shared_preload_libraries: "pg_stat_statements",
  // The global limit of a hosted project; roles have lower ones.
  statement_timeout: "120s",
  // Settings of extensions that are stand-ins here, so that `show` and `current_setting` answer as hosted.
  "pg_net.batch_size": "200",
  "pg_net.ttl": "6 hours",
  "pg_net.database_name": "postgres",
  "cron.database_name": "postgres",
} satisfies Record<string, string>;

/** Additional settings where losing all data in a crash of the machine is acceptable. */
export const ephemeralSettings = {
  // Not `synchronous_commit`: without it commits reach the log, and so Realtime, 200 ms late. Without `fsync` a wait
  // for the log is cheap anyway.
  fsync: "off",
  full_page_writes: "off",
} satisfies Record<string, string>;

/** A server that accepts connections. */
export interface PostgresServer {
  pid: number;
  exited: Promise<number>;
  stop(): Promise<void>;
}

/**
 * Starts a server on a cluster and resolves once it accepts connections.
 * Throws {@link PortTaken} when the port is in use, and {@link StackError} when the cluster is in use or the server ends.
 */
export async function startServer(options: {
  binaries: string;
  data: string;
  port: number;
  user: ServerUser;
  settings: Record<string, string>;
  removeDir?: string;
  onLog: (line: string) => void;
}): Promise<PostgresServer> {
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
    return new PortTaken(`Port ${port} is already in use.`);
  }
  if (/lock file "postmaster.pid" already exists/.test(all)) {
    return new DataInUseError(
      "The data folder is in use: another Postgres is running on it.",
    );
  }
  return new StackError(
    `Postgres did not start (code ${code}). Its output:\n${all}`,
  );
}

/** Another server runs on the cluster. */
class DataInUseError extends StackError {}

/**
 * Starts a server; retries for 8 s while another one uses the cluster, because a server whose owner was killed may
 * still be shutting down.
 */
export async function startWithRetries(
  start: (port: number) => Promise<PostgresServer>,
  port: number,
): Promise<PostgresServer> {
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
