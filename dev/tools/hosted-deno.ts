/**
 * The Deno version whose API the hosted edge runtime has (`DENO_VERSION` of supabase/edge-runtime), from npm. Functions
 * that start, respond and type-check with it use nothing newer.
 */
import { join } from "@std/path";
import { z } from "zod";
import type { FunctionsDeno } from "../stack/functions/deno.ts";
import { locateNpmProgram } from "./npm-program.ts";

/** `DENO_VERSION` of the hosted runtime. */
export const HOSTED_DENO_VERSION = "2.1.4";

const PLATFORMS: Readonly<Record<string, string>> = {
  "linux-x86_64": "linux-x64-glibc",
  "linux-aarch64": "linux-arm64-glibc",
  "darwin-x86_64": "darwin-x64",
  "darwin-aarch64": "darwin-arm64",
};

const infoSchema = z.object({ denoDir: z.string() });

/** Deno's download cache. */
async function ownCacheDir(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "--no-config"],
    stdin: "null",
    stderr: "null",
  }).output();
  return infoSchema.parse(JSON.parse(new TextDecoder().decode(stdout))).denoDir;
}

/**
 * The executable and the cache of Deno {@link HOSTED_DENO_VERSION} for this platform. Downloads the platform's package
 * on first use.
 *
 * @throws {Error} with the package when there is none for this platform or the download fails.
 */
export async function locateHostedDeno(): Promise<FunctionsDeno> {
  const { os, arch } = Deno.build;
  const platform = PLATFORMS[`${os}-${arch}`] ?? `${os}-${arch}`;
  const program = await locateNpmProgram(
    `@deno/${platform}@${HOSTED_DENO_VERSION}`,
    "deno",
  );
  // The archive does not mark it as executable; the npm package `deno` sets the mode the same way.
  await Deno.chmod(program, 0o755);
  return {
    program,
    cacheDir: join(await ownCacheDir(), `deno-${HOSTED_DENO_VERSION}`),
  };
}
