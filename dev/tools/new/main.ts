// deno-lint-ignore-file no-console -- a program for the terminal
/**
 * Writes the files of a new job type, as CONTRIBUTING describes them: a first version that type-checks.
 *
 * usage: deno task new job-type NAME      NAME as in sound_effect
 *
 * The files are formatted; the lists that name every job type get a line. The remaining steps are printed.
 */
import { dirname, fromFileUrl, join } from "@std/path";
import { formatText } from "../deno-fmt.ts";
import { FULL_LOCK } from "../lock-rules.ts";
import { addJobType, CannotAdd, type Tree } from "./job-type.ts";

const USAGE = "usage: deno task new job-type NAME   (as in sound_effect)";

const root = fromFileUrl(new URL("../../../", import.meta.url));

const tree: Tree = {
  async read(path) {
    try {
      return await Deno.readTextFile(join(root, path));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  },
  list: (folder) =>
    Array.fromAsync(Deno.readDir(join(root, folder)), ({ name }) => name),
};

async function write(files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    const extension = path.slice(path.lastIndexOf(".") + 1);
    const formatted = ["sql", "toml"].includes(extension)
      ? text
      : await formatText(text, extension);
    await Deno.mkdir(dirname(join(root, path)), { recursive: true });
    await Deno.writeTextFile(join(root, path), formatted);
  }
}

/** Writes docs/openapi.json from the contracts as they are now, in a process that has not read the old ones. */
async function describe(): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", ...FULL_LOCK, "--allow-all", "dev/openapi/main.ts"],
    cwd: root,
    stdin: "null",
    stdout: "null",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

/** Runs the program and resolves with its exit code. */
async function main(args: string[]): Promise<number> {
  const [kind, name, ...more] = args.filter((argument) =>
    argument !== "--help"
  );
  if (args.includes("--help")) {
    console.log(USAGE);
    return 0;
  }
  if (kind !== "job-type" || name === undefined || more.length > 0) {
    console.error(USAGE);
    return 2;
  }
  try {
    const files = await addJobType(tree, name);
    await write(files);
    await describe();
    console.log(
      `Wrote or changed:\n  ${
        [...Object.keys(files), "docs/openapi.json"].join("\n  ")
      }

The job type compiles, but it calls endpoints that ElevenLabs does not have. Next steps:
  - supabase/functions/_shared/providers/elevenlabs/*.ts: the provider's real endpoints, fields and responses
  - the contract, the client's types and the price in the migration: parameters, result and price of the type
  - the simulator, tests/functions, tests/chaos and the ownership matrix: steps 6 and 7 of CONTRIBUTING, "a job type"
  - deno task ok`,
    );
    return 0;
  } catch (error) {
    if (!(error instanceof RangeError) && !(error instanceof CannotAdd)) {
      throw error;
    }
    console.error(`${error.message}. Nothing was written.`);
    return 1;
  }
}

if (import.meta.main) Deno.exitCode = await main(Deno.args);
