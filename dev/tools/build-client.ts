/**
 * Builds the npm package `edge-ai-jobs`: ES modules and types from `client/`, file by file, without dependencies; and
 * the installer with its template.
 *
 * usage: deno task build:client [--out DIR]     writes dist/client, ready for `npm publish` or `npm pack`
 *        deno task build:client --check         builds in memory; fails when the core is larger than its budget
 */
import { parseArgs } from "@std/cli/parse-args";
import { dirname, fromFileUrl, join } from "@std/path";
import ts from "typescript";
import { z } from "zod";
import { buildInstaller } from "./build-installer.ts";
import { FULL_LOCK } from "./lock-rules.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));
const source = join(root, "client");

/** Largest size of the entry `edge-ai-jobs` with its imports, minified and gzipped. */
export const CORE_BUDGET_BYTES = 6144;

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  rewriteRelativeImportExtensions: true,
  isolatedDeclarations: true,
  declaration: true,
  strict: true,
};

/** The package cannot be built, or not be written; the message says why. */
export class BuildError extends Error {}

/**
 * The files of the package by path, as text.
 *
 * @throws {BuildError} with the file in which an export lacks its type.
 */
export async function buildClient(): Promise<Map<string, string>> {
  const files = new Map([
    ["LICENSE", await Deno.readTextFile(join(root, "LICENSE"))],
  ]);
  for await (const { name } of Deno.readDir(source)) {
    const text = await Deno.readTextFile(join(source, name));
    if (!name.endsWith(".ts")) {
      files.set(name, text);
      continue;
    }
    const base = name.replace(/\.ts$/, "");
    const code = ts.transpileModule(text, {
      fileName: name,
      compilerOptions: OPTIONS,
    });
    const types = ts.transpileDeclaration(text, {
      fileName: name,
      compilerOptions: OPTIONS,
    });
    const [problem] = types.diagnostics ?? [];
    if (problem !== undefined) {
      throw new BuildError(
        `client/${name}: ${
          ts.flattenDiagnosticMessageText(problem.messageText, "\n")
        }`,
      );
    }
    files.set(`${base}.js`, code.outputText);
    files.set(
      `${base}.d.ts`,
      types.outputText.replace(/(from "\.\/[\w-]+)\.ts"/g, '$1.js"'),
    );
  }
  return files;
}

/** An entry with all that it imports from the package, as one minified ES module. */
export async function bundleEntry(entry: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bundle",
      ...FULL_LOCK,
      "--quiet",
      "--platform=browser",
      "--minify",
      "--external=@supabase/supabase-js",
      "--external=react",
      join(source, entry),
    ],
    cwd: root,
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  if (!success) throw new BuildError(decoder.decode(stderr));
  return decoder.decode(stdout);
}

/** Bytes of {@link bundleEntry}, gzipped. */
export async function measureEntry(entry: string): Promise<number> {
  const packed = new Response(
    new Blob([await bundleEntry(entry)]).stream().pipeThrough(
      new CompressionStream("gzip"),
    ),
  );
  return (await packed.arrayBuffer()).byteLength;
}

const packageSchema = z.looseObject({ name: z.literal("edge-ai-jobs") });

/**
 * Removes the folder of an earlier build. Does nothing when there is none.
 *
 * @throws {BuildError} when `target` is something else than this package or an empty folder. It is unchanged then.
 */
export async function removeEarlierBuild(target: string): Promise<void> {
  const refuse = (what: string) =>
    new BuildError(
      `${target} ${what}. Remove it, or choose another folder with --out.`,
    );
  try {
    const info = await Deno.stat(target);
    if (!info.isDirectory) throw refuse("is not a folder");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  const names = await Array.fromAsync(Deno.readDir(target), ({ name }) => name);
  if (names.length === 0) return;
  // The folder of the sources has the same package.json.
  if (!names.includes("mod.js") || !await isThisPackage(target)) {
    throw refuse(
      "has files, but is not an earlier build of edge-ai-jobs, with its package.json and mod.js",
    );
  }
  await Deno.remove(target, { recursive: true });
}

async function isThisPackage(folder: string): Promise<boolean> {
  try {
    const text = await Deno.readTextFile(join(folder, "package.json"));
    return packageSchema.safeParse(JSON.parse(text)).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) {
      return false;
    }
    throw error;
  }
}

async function main(): Promise<void> {
  const { out, check } = parseArgs(Deno.args, {
    string: ["out"],
    boolean: ["check"],
  });
  const say = (text: string) =>
    Deno.stdout.write(new TextEncoder().encode(`${text}\n`));
  const files = new Map([...await buildClient(), ...await buildInstaller()]);
  const bytes = await measureEntry("mod.ts");
  await say(`edge-ai-jobs: ${bytes} bytes minified and gzipped`);
  if (bytes > CORE_BUDGET_BYTES) {
    throw new BuildError(
      `That is over the budget of ${CORE_BUDGET_BYTES} bytes.`,
    );
  }
  if (check) return;
  const target = typeof out === "string" && out !== ""
    ? out
    : join(root, "dist", "client");
  await removeEarlierBuild(target);
  for (const [path, text] of files) {
    await Deno.mkdir(dirname(join(target, path)), { recursive: true });
    await Deno.writeTextFile(join(target, path), text);
  }
  await say(`written to ${target}`);
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    await Deno.stderr.write(new TextEncoder().encode(`${error.message}\n`));
    Deno.exit(1);
  }
}
