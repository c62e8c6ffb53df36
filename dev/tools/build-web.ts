/**
 * Builds the page into a folder for any static host.
 *
 * usage: deno task build:web [--out DIR] [--url URL --publishable-key KEY]
 *
 * Writes web/dist. An existing config.json is kept; with --url and --publishable-key it is written.
 */
import { gzipSync } from "node:zlib";
import { parseArgs } from "@std/cli/parse-args";
import { dirname, fromFileUrl, join, resolve } from "@std/path";
import { BundleError, bundlePage, type PageFiles } from "../web/bundle.ts";

/** Largest total size of the scripts and of the styles, gzipped. */
export const PAGE_BUDGETS: Readonly<Record<".js" | ".css", number>> = {
  ".js": 90 * 1024,
  ".css": 8 * 1024,
};

/** Bytes of all files with an extension, each gzipped. */
export function measurePage(
  files: PageFiles,
  extension: ".js" | ".css",
): number {
  const sizes = [...files].filter(([path]) => path.endsWith(extension))
    .map(([, bytes]) => gzipSync(bytes).byteLength);
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Removes the assets of earlier builds: those with the name of one of `files` and another hash. Others stay. */
export async function removeEarlierAssets(
  target: string,
  files: PageFiles,
): Promise<void> {
  const withoutHash = (path: string) => path.replace(/-[0-9a-f]{8}\./, ".");
  const current = new Set(
    [...files.keys()].filter((path) => withoutHash(path) !== path)
      .map(withoutHash),
  );
  for (const { name, isFile } of await listFolder(join(target, "assets"))) {
    const path = `assets/${name}`;
    if (
      isFile && withoutHash(path) !== path && current.has(withoutHash(path))
    ) {
      await Deno.remove(join(target, path));
    }
  }
}

async function listFolder(path: string): Promise<Deno.DirEntry[]> {
  try {
    return await Array.fromAsync(Deno.readDir(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

const say = (text: string) =>
  Deno.stdout.write(new TextEncoder().encode(`${text}\n`));

async function main(): Promise<void> {
  const given = parseArgs(Deno.args, {
    string: ["out", "url", "publishable-key"],
  });
  const textOf = (name: string) =>
    typeof given[name] === "string" && given[name] !== ""
      ? given[name]
      : undefined;
  const target = resolve(
    textOf("out") ?? fromFileUrl(new URL("../../web/dist", import.meta.url)),
  );
  const files = await bundlePage();
  await removeEarlierAssets(target, files);
  for (const [path, bytes] of files) {
    await Deno.mkdir(dirname(join(target, path)), { recursive: true });
    await Deno.writeFile(join(target, path), bytes);
  }
  const config = join(target, "config.json");
  const url = textOf("url"), publishableKey = textOf("publishable-key");
  if (url !== undefined && publishableKey !== undefined) {
    await Deno.writeTextFile(
      config,
      `${JSON.stringify({ url, publishableKey }, null, 2)}\n`,
    );
  }
  await say(
    `written to ${target}: scripts ${
      measurePage(
        files,
        ".js",
      )
    }, styles ${
      measurePage(
        files,
        ".css",
      )
    } bytes gzipped`,
  );
  const hasConfig = await Deno.stat(config).then(() => true, () => false);
  if (!hasConfig) {
    await say(
      `${config} is missing: {"url": "https://<ref>.supabase.co", "publishableKey": "sb_publishable_…"}`,
    );
  }
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof BundleError)) throw error;
    await Deno.stderr.write(new TextEncoder().encode(`${error.message}\n`));
    Deno.exit(1);
  }
}
