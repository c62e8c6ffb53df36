/** Clusters: the prepared one in the cache, its copies, and the location of a data folder's copy. */
import { join } from "@std/path";
import postgres from "postgres";
import { onFreePort } from "../process/free-port.ts";
import { ephemeralSettings, serverSettings, startServer } from "./server.ts";
import {
  canReach,
  makeServerDir,
  publishDirectory,
  runAs,
  type ServerUser,
} from "./server-user.ts";
import { StackError } from "../console/stack-error.ts";

/** The password of supabase_admin in a fresh copy, until the copy gets its own. */
export const firstPasswordFile = "first-password";

const bootstrapDir = new URL("./bootstrap/", import.meta.url);

/** Location of clusters whose data folder the server user cannot reach. */
const elsewhereDir = "/var/lib/edge-ai-jobs";

/** A password of 36 hexadecimal digits. */
export function randomPassword(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(18));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

/** The URL of the database `postgres` for a role. */
export function databaseUrl(
  port: number,
  role: string,
  password: string,
): string {
  return `postgresql://${role}:${password}@127.0.0.1:${port}/postgres`;
}

/**
 * A cluster with the roles, schemas and extensions of a hosted project. It is prepared once per version of the scripts
 * and then copied, which takes a tenth of the time.
 */
export async function prepareCluster(
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
      // The built-in locale provider sorts text the same on every machine.
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
      "--locale=C",
      "--wal-segsize=4",
      "--no-sync",
      "--no-instructions",
    ]);
    const { port, server } = await onFreePort(async (port) => ({
      port,
      server: await startServer({
        binaries,
        data,
        port,
        user,
        settings: { ...serverSettings, ...ephemeralSettings },
        onLog: () => {},
      }),
    }));
    try {
      await runBootstrap(databaseUrl(port, "supabase_admin", password));
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
        throw new Error(`dev/stack/postgres/bootstrap/${name} failed`, {
          cause,
        });
      }
    }
  } finally {
    await sql.end();
  }
}

/** The cluster of a data folder. */
export interface ClusterFolder {
  /** The cluster is in its subfolder `data`. */
  path: string;
  /** Whether it was created now. */
  isNew: boolean;
}

/**
 * Finds the cluster of a data folder, or creates it as a copy of the prepared one. It is in the data folder; if the
 * server user cannot reach that (for example root's home), it is in /var/lib and the data folder has a link to it, so
 * that no folder of the user must be opened to others.
 *
 * @throws {StackError} when the target of the link does not exist.
 */
export async function clusterOf(
  dataDir: string,
  template: string,
  user: ServerUser,
): Promise<ClusterFolder> {
  const inside = join(dataDir, "postgres");
  const found = await readLinkOrFolder(inside);
  if (found !== undefined) {
    const isThere = await Deno.stat(found).then(() => true, () => false);
    if (isThere) return { path: found, isNew: false };
    throw new StackError(
      `The database of ${dataDir} was kept in ${found}, which does not exist any more. Remove ${dataDir} to start with a new one.`,
    );
  }
  if (await canReach(user, dataDir)) {
    await copyCluster(template, inside, user);
    return { path: inside, isNew: true };
  }
  await Deno.mkdir(elsewhereDir, { recursive: true });
  await Deno.chmod(elsewhereDir, 0o755);
  await removeForgottenClusters();
  const elsewhere = join(elsewhereDir, crypto.randomUUID());
  await copyCluster(template, elsewhere, user);
  await Deno.writeTextFile(join(elsewhere, "owner"), inside);
  await Deno.symlink(elsewhere, inside);
  return { path: elsewhere, isNew: true };
}

async function readLinkOrFolder(path: string): Promise<string | undefined> {
  try {
    const info = await Deno.lstat(path);
    return info.isSymlink ? await Deno.readLink(path) : path;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Deleting a data folder leaves its cluster in /var/lib; the next stack with a cluster there removes it. */
async function removeForgottenClusters(): Promise<void> {
  for await (const { name } of Deno.readDir(elsewhereDir)) {
    const cluster = join(elsewhereDir, name);
    let owner: string;
    try {
      owner = await Deno.readTextFile(join(cluster, "owner"));
    } catch {
      continue; // being made at this moment
    }
    if (await readLinkOrFolder(owner) === cluster) continue;
    await Deno.remove(cluster, { recursive: true });
  }
}

/** Creates the folder `target` with a copy of the prepared cluster. */
async function copyCluster(
  template: string,
  target: string,
  user: ServerUser,
): Promise<void> {
  await publishDirectory(target, async (draft) => {
    await makeServerDir(user, draft);
    await copyData(template, draft, user);
  });
}

/** Copies the prepared cluster into an existing folder of the server user. */
export async function copyData(
  template: string,
  folder: string,
  user: ServerUser,
): Promise<void> {
  await runAs(user, [
    "cp",
    "-Rp",
    join(template, "data"),
    join(folder, "data"),
  ]);
}
