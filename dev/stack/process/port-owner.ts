/** Finds the process that listens on a port, for the message that the port is in use. */
import { basename, dirname } from "@std/path";
import { lockName, readHolder, taskCommand } from "./data-folder.ts";
import { readCommand } from "./processes.ts";

/** The inodes of the sockets that listen on the port, from `/proc` (proc_pid_net(5)). */
async function listeningSockets(port: number): Promise<Set<string>> {
  const hexPort = port.toString(16).toUpperCase().padStart(4, "0");
  const found = new Set<string>();
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const text = await Deno.readTextFile(table).catch(() => "");
    for (const row of text.split("\n").slice(1)) {
      // "sl local_address remote_address st … inode"; the state 0A is LISTEN.
      const [, local = "", , state, , , , , , inode = ""] = row.trim().split(
        /\s+/,
      );
      if (state === "0A" && local.endsWith(`:${hexPort}`)) found.add(inode);
    }
  }
  return found;
}

async function hasSocket(pid: string, inodes: Set<string>): Promise<boolean> {
  try {
    for await (const { name } of Deno.readDir(`/proc/${pid}/fd`)) {
      const target = await Deno.readLink(`/proc/${pid}/fd/${name}`)
        .catch(() => "");
      const [, inode = ""] = /^socket:\[(\d+)\]$/.exec(target) ?? [];
      if (inodes.has(inode)) return true;
    }
  } catch {
    // The process has ended or belongs to another user.
  }
  return false;
}

async function pidFromProc(port: number): Promise<number | undefined> {
  const inodes = await listeningSockets(port);
  if (inodes.size === 0) return undefined;
  for await (const { name } of Deno.readDir("/proc")) {
    if (/^\d+$/.test(name) && await hasSocket(name, inodes)) {
      return Number(name);
    }
  }
  return undefined;
}

/** The process that listens on a port, from `lsof`, for systems without `/proc` such as macOS. */
export async function pidFromLsof(port: number): Promise<number | undefined> {
  try {
    const { stdout } = await new Deno.Command("lsof", {
      args: ["-nP", `-iTCP:${port}`, "-sTCP:LISTEN", "-Fp"],
      stdin: "null",
      stderr: "null",
    }).output();
    const [, pid] = /^p(\d+)$/m.exec(new TextDecoder().decode(stdout)) ?? [];
    return pid === undefined ? undefined : Number(pid);
  } catch {
    return undefined; // there is no lsof
  }
}

/** The process that listens on a port of this machine; undefined when this user can see none. */
async function findPortOwner(port: number): Promise<number | undefined> {
  return Deno.build.os === "linux"
    ? await pidFromProc(port)
    : await pidFromLsof(port);
}

/** The paths of a process's open files, as far as this user may see them. */
async function openFiles(pid: number): Promise<string[]> {
  if (Deno.build.os !== "linux") {
    const { stdout } = await new Deno.Command("lsof", {
      args: ["-a", "-p", String(pid), "-d", "0-999", "-Fn"],
      stdin: "null",
      stderr: "null",
    }).output();
    return [...new TextDecoder().decode(stdout).matchAll(/^n(\/.*)$/gm)].map((
      [, path = ""],
    ) => path);
  }
  const paths: string[] = [];
  for await (const { name } of Deno.readDir(`/proc/${pid}/fd`)) {
    const path = await Deno.readLink(`/proc/${pid}/fd/${name}`).catch(() => "");
    if (path.startsWith("/")) paths.push(path);
  }
  return paths;
}

/** The data folder of the process if it is an embedded stack that keeps data; otherwise undefined. */
async function dataFolderOf(pid: number): Promise<string | undefined> {
  const paths = await openFiles(pid).catch(() => []);
  for (const path of paths) {
    if (basename(path) !== lockName) continue;
    const folder = dirname(path);
    if ((await readHolder(folder))?.pid === pid) return folder;
  }
  return undefined;
}

const maxCommandLength = 100;

/** The message for a port that is in use: by which process, and what to do. */
export async function describePortInUse(port: number): Promise<string> {
  const pid = await findPortOwner(port);
  const other = "choose another port with --port";
  if (pid === undefined) {
    return `Port ${port} is already in use, by a process that this user cannot see. Stop it, or ${other}.`;
  }
  const folder = await dataFolderOf(pid);
  if (folder !== undefined) {
    return `Port ${port} is in use by the stack on ${folder} (process ${pid}). Stop it with \`${
      taskCommand("stop", folder)
    }\`, or ${other}.`;
  }
  const command = (await readCommand(pid)).join(" ");
  const shown = command.length > maxCommandLength
    ? `${command.slice(0, maxCommandLength)}…`
    : command;
  return `Port ${port} is in use by process ${pid}${
    shown === "" ? "" : ` (${shown})`
  }. Stop it, or ${other}.`;
}
