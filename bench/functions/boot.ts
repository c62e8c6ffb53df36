/** The cold boot of each Edge Function: its modules as one bundle, loaded in a fresh process. */
import { dirname, fromFileUrl, join } from "@std/path";
import { z } from "zod";

const root = fromFileUrl(new URL("../../", import.meta.url));
const probe = fromFileUrl(new URL("./boot-probe.ts", import.meta.url));

/** The figures of one boot. */
const bootSchema = z.object({
  bootMs: z.number(),
  cpuMs: z.number().nullable(),
  memoryBytes: z.number().nullable(),
});

/** The variables that the functions read at their start; nothing is called. */
const ENV = {
  SUPABASE_URL: "http://127.0.0.1:1",
  SUPABASE_PUBLISHABLE_KEYS: '{"default":"unused"}',
  SUPABASE_SECRET_KEYS: '{"default":"unused"}',
  SUPABASE_JWKS: '{"keys":[]}',
  DISPATCH_SECRET: `whsec_${btoa("0123456789abcdefghijklmnopqrstuv")}`,
};

/** Figures of one function. */
export interface Boot {
  function: string;
  /** Size of the minified bundle, including the modules that are loaded only when a job needs them. */
  bundleBytes: number;
  /**
   * Shortest time to load it, in milliseconds, from the start of the import until its handler exists. The shortest,
   * because other work on the machine only adds time.
   */
  bootMs: number;
  /** Median processor time of this; undefined where there is no `/proc`. */
  cpuMs: number | undefined;
  /** Median of the memory that this adds, in bytes; undefined where there is no `/proc`. */
  memoryBytes: number | undefined;
}

/** The functions of the project, by name. */
export async function functionNames(): Promise<string[]> {
  const folder = join(root, "supabase/functions");
  const names: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    if (entry.isDirectory && !entry.name.startsWith("_")) {
      names.push(entry.name);
    }
  }
  return names.toSorted();
}

async function output(args: string[], env = {}): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: root,
    stdin: "null",
    env: { NO_COLOR: "1", ...env },
  }).output();
  if (!success) {
    throw new Error(`${args[0]} failed: ${new TextDecoder().decode(stderr)}`);
  }
  return new TextDecoder().decode(stdout);
}

/**
 * Bundles every function into a separate folder in `folder`. Modules that are imported lazily are separate files, as
 * they are loaded separately on a hosted project.
 *
 * @returns the names with the paths of the entry files.
 * @throws {Error} with the bundler's message.
 */
export async function bundleFunctions(
  folder: string,
): Promise<Map<string, string>> {
  const bundles = new Map<string, string>();
  for (const name of await functionNames()) {
    await output([
      "bundle",
      "--quiet",
      "--minify",
      "--code-splitting",
      `--outdir=${join(folder, name)}`,
      join(root, "supabase/functions", name, "index.ts"),
    ]);
    bundles.set(name, join(folder, name, "index.js"));
  }
  return bundles;
}

/** Boots each bundle `runs` times, in turns, so that a busy moment of the machine does not affect only one function. */
export async function measureBoots(
  bundles: ReadonlyMap<string, string>,
  runs: number,
): Promise<Boot[]> {
  const all = new Map<string, z.infer<typeof bootSchema>[]>();
  for (let run = 0; run < runs; run++) {
    for (const [name, bundle] of bundles) {
      const text = await output(
        [
          "run",
          "--quiet",
          "--lock=tests/deno.lock",
          "--allow-all",
          probe,
          bundle,
        ],
        ENV,
      );
      const boots = all.get(name) ?? [];
      all.set(name, [...boots, bootSchema.parse(JSON.parse(text))]);
    }
  }
  return await Promise.all([...bundles].map(async ([name, bundle]) => {
    const boots = all.get(name) ?? [];
    return {
      function: name,
      bundleBytes: await sizeOf(dirname(bundle)),
      bootMs: Math.min(...boots.map(({ bootMs }) => bootMs)),
      cpuMs: median(boots.flatMap(({ cpuMs }) => cpuMs ?? [])),
      memoryBytes: median(
        boots.flatMap(({ memoryBytes }) => memoryBytes ?? []),
      ),
    };
  }));
}

async function sizeOf(folder: string): Promise<number> {
  let bytes = 0;
  for await (const { name } of Deno.readDir(folder)) {
    bytes += (await Deno.stat(join(folder, name))).size;
  }
  return bytes;
}

/** The median of some numbers; undefined without numbers. */
export function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
