/** The conditions of a result: type of machine, versions, commit. No names of machines or people. */
import { fromFileUrl } from "@std/path";
import { z } from "zod";

const root = fromFileUrl(new URL("../../", import.meta.url));
const importMapSchema = z.object({ imports: z.record(z.string(), z.string()) });

/** The type of machine. */
export interface Machine {
  cores: number;
  memory_gb: number;
  os: string;
  arch: string;
}

/** The current machine. */
export function machine(): Machine {
  return {
    cores: navigator.hardwareConcurrency,
    memory_gb: Math.round(Deno.systemMemoryInfo().total / 2 ** 30),
    os: Deno.build.os,
    arch: Deno.build.arch,
  };
}

/** The load average of the last minute. */
export function load(): number {
  return Math.round((Deno.loadavg()[0] ?? 0) * 10) / 10;
}

/** The version of a package, from import_map.json. Throws when it is missing. */
export async function versionOf(name: string): Promise<string> {
  const { imports } = importMapSchema.parse(
    JSON.parse(await Deno.readTextFile(`${root}import_map.json`)),
  );
  const version = /@(\d[^/@]*)$/.exec(imports[name] ?? "")?.[1];
  if (version === undefined) {
    throw new Error(`${name} is not in import_map.json`);
  }
  return version;
}

/** The commit, with `+` if there are uncommitted changes; `unknown` outside a repository. */
export async function commit(): Promise<string> {
  const git = async (...args: string[]) => {
    const { success, stdout } = await new Deno.Command("git", {
      args: ["-C", root, ...args],
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  };
  try {
    const hash = await git("rev-parse", "--short=10", "HEAD");
    const isDirty = await git(
      "status",
      "--porcelain",
      "--",
      "supabase",
      "dev",
      "bench/**.ts",
    );
    return hash === undefined ? "unknown" : `${hash}${isDirty ? "+" : ""}`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "unknown";
    throw error;
  }
}
