/** Clusters: the prepared one in the cache, its copies, and the location of a data folder's copy. */
import { dirname, join, resolve } from "@std/path";
import postgres from "postgres";
import { onFreePort } from "../process/free-port.ts";
import { readProcess } from "../process/processes.ts";
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
  /** For the user: other clusters that may be left over, and how to remove them. */
  notices: string[];
}

/**
 * Finds the cluster of a data folder, or creates it as a copy of the prepared one. It is in the data folder; if the
 * server user cannot reach that (for example root's home), it is in `elsewhere` and the data folder has a link to it, so
 * that no folder of the user must be opened to others.
 *
 * No cluster is ever removed here: a data folder that is missing may have been moved, or be on a volume that is not
 * mounted now. A start that creates a cluster in `elsewhere` names those to which their last known data folder does
 * not link.
 *
 * @throws {StackError} when the target of the link does not exist.
 */
export async function clusterOf(
  dataDir: string,
  template: string,
  user: ServerUser,
  elsewhere = elsewhereDir,
): Promise<ClusterFolder> {
  const inside = resolve(dataDir, "postgres");
  const found = await readLinkOrFolder(inside);
  if (found !== undefined) {
    const isThere = await Deno.stat(found).then(() => true, () => false);
    if (!isThere) {
      throw new StackError(
        `The database of ${dataDir} was kept in ${found}, which does not exist any more. Remove ${dataDir} to start with a new one.`,
      );
    }
    // The data folder may have been moved.
    if (dirname(found) === elsewhere) await noteOwner(found, inside);
    return { path: found, isNew: false, notices: [] };
  }
  if (await canReach(user, dataDir)) {
    await copyCluster(template, inside, user);
    return { path: inside, isNew: true, notices: [] };
  }
  await Deno.mkdir(elsewhere, { recursive: true });
  await Deno.chmod(elsewhere, 0o755);
  const notices = await describeUnlinked(elsewhere);
  const cluster = join(elsewhere, crypto.randomUUID());
  await copyCluster(template, cluster, user);
  // The link first: a cluster with an owner that has no link to it counts as left over.
  await Deno.symlink(cluster, inside);
  await noteOwner(cluster, inside);
  return { path: cluster, isNew: true, notices };
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

/** The file of a cluster outside its data folder that names the link to it. */
const ownerName = "owner";

/** The link that a cluster notes; undefined without one, as while the cluster is being made. */
async function ownerOf(cluster: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(join(cluster, ownerName));
  } catch (error) {
    const isNone = error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.NotADirectory;
    if (isNone) return undefined;
    throw error;
  }
}

async function noteOwner(cluster: string, link: string): Promise<void> {
  if (await ownerOf(cluster) === link) return;
  await Deno.writeTextFile(join(cluster, ownerName), link);
}

/** A message for each cluster in `folder` whose owner does not link to it, and on which no server runs. */
async function describeUnlinked(folder: string): Promise<string[]> {
  const messages: string[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    const cluster = join(folder, name);
    const owner = await ownerOf(cluster);
    if (owner === undefined || await hasServer(cluster)) continue;
    const target = await Deno.readLink(owner).catch(() => undefined);
    if (target === cluster) continue;
    messages.push(
      `${cluster} has the database of ${
        dirname(owner)
      }, which does not link to it now. If that folder was deleted, and not moved, remove its database with \`rm -r ${cluster}\`.`,
    );
  }
  return messages;
}

async function hasServer(cluster: string): Promise<boolean> {
  try {
    const text = await Deno.readTextFile(
      join(cluster, "data", "postmaster.pid"),
    );
    return await readProcess(parseInt(text)) !== undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
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
