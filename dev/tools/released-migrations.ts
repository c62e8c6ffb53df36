/**
 * The migrations that were part of a release. Databases have run them: they never change. Their digests are in
 * `released-migrations.json`, with the version of the newest release.
 *
 * usage: deno task db:release    records the migrations as part of the version in client/package.json
 */
import { encodeHex } from "@std/encoding";
import { fromFileUrl, join } from "@std/path";
import { z } from "zod";
import { SCHEMA_MODULES } from "./schema-files.ts";

const FILE = "dev/tools/released-migrations.json";
const MIGRATIONS = "supabase/migrations";

const releasedSchema = z.strictObject({
  /** Null before the first release. */
  version: z.string().nullable(),
  /** SHA-256 in hex by file name. */
  migrations: z.record(z.string(), z.string()),
});
/** The newest release, and the migrations of all releases. */
export type Released = z.output<typeof releasedSchema>;

/** SHA-256 in hex by file name. */
export type Digests = Readonly<Record<string, string>>;

const NAME = new RegExp(
  `^\\d{14}_(${SCHEMA_MODULES.join("|")})(_[a-z0-9_]+)?\\.sql$`,
);

/** Reads what was released from the tree at `root`. */
export async function readReleased(root: string): Promise<Released> {
  return releasedSchema.parse(
    JSON.parse(await Deno.readTextFile(join(root, FILE))),
  );
}

/** The digests of the migrations of the tree at `root`, in the order in which they run. */
export async function digestMigrations(root: string): Promise<Digests> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(join(root, MIGRATIONS))) {
    names.push(name);
  }
  return Object.fromEntries(
    await Promise.all(
      names.sort().map(async (name) => {
        const bytes = await Deno.readFile(join(root, MIGRATIONS, name));
        const digest = await crypto.subtle.digest("SHA-256", bytes);
        return [name, encodeHex(digest)] as const;
      }),
    ),
  );
}

/** What is wrong with the migrations, one sentence each: names, and changes of released ones. */
export function findMigrationFaults(
  released: Released,
  digests: Digests,
): string[] {
  const names = Object.keys(digests).filter((name) => !NAME.test(name)).map((
    name,
  ) =>
    `${name}: name it <14 digits>_<module>_<what>.sql; the modules are ${
      SCHEMA_MODULES.join(", ")
    }.`
  );
  const changes = Object.entries(released.migrations)
    .filter(([name, digest]) => digests[name] !== digest)
    .map(([name]) =>
      `${name} was released and must not change. Restore it, and write a new migration.`
    );
  const newest = Object.keys(released.migrations).sort().at(-1) ?? "";
  const early = Object.keys(digests)
    .filter((name) => !(name in released.migrations) && name < newest)
    .map((name) =>
      `${name} would run before ${newest}, which was released. Give it a later timestamp.`
    );
  return [...names, ...changes, ...early];
}

async function say(to: typeof Deno.stdout, text: string): Promise<void> {
  await to.write(new TextEncoder().encode(`${text}\n`));
}

if (import.meta.main) {
  const root = fromFileUrl(new URL("../../", import.meta.url));
  const { version } = z.object({ version: z.string() }).parse(
    JSON.parse(await Deno.readTextFile(join(root, "client/package.json"))),
  );
  const migrations = await digestMigrations(root);
  const faults = findMigrationFaults(await readReleased(root), migrations);
  for (const fault of faults) await say(Deno.stderr, fault);
  if (faults.length > 0) Deno.exit(1);
  await Deno.writeTextFile(
    join(root, FILE),
    `${JSON.stringify({ version, migrations }, null, 2)}\n`,
  );
  await say(
    Deno.stdout,
    `Recorded ${
      Object.keys(migrations).length
    } migrations as part of ${version}.`,
  );
}
