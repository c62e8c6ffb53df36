/** Node 22, the oldest that supabase-js works with, from npm: the machine may have an older one. */
import { dirname } from "@std/path";
import { locateNpmProgram } from "../../dev/tools/npm-program.ts";

const NODE_VERSION = "22.23.3";

const PLATFORMS: Readonly<Record<string, string>> = {
  "linux-x86_64": "linux-x64",
  "linux-aarch64": "linux-arm64",
  "darwin-x86_64": "darwin-x64",
  "darwin-aarch64": "darwin-arm64",
};

/**
 * The `PATH` with which `node` is Node 22 and `npm` runs on it. Downloads the platform's package on first use.
 *
 * @throws {Error} naming the package when it cannot be fetched.
 */
export async function pathWithNode22(): Promise<string> {
  const { os, arch } = Deno.build;
  const platform = PLATFORMS[`${os}-${arch}`] ?? `${os}-${arch}`;
  const program = await locateNpmProgram(
    `node-${platform}@${NODE_VERSION}`,
    "bin/node",
  );
  // The archive does not mark the program as executable.
  await Deno.chmod(program, 0o755);
  return `${dirname(program)}:${Deno.env.get("PATH") ?? ""}`;
}
