/**
 * The part of the npm package that adds this project to an existing one: the program `bin/edge-ai-jobs.js` and the
 * files that it copies, `template/`.
 */
import { fromFileUrl, join } from "@std/path";
import { parse as parseToml } from "@std/toml";
import { z } from "zod";
import {
  type ConfigSection,
  type Module,
  MODULES,
  templateIndexSchema,
} from "../../installer/template.ts";
import { PRODUCT_PACKAGES } from "./import-rules.ts";
import { FULL_LOCK } from "./lock-rules.ts";
import { listSourcePaths } from "./source-tree.ts";

const root = fromFileUrl(new URL("../../", import.meta.url)).replace(/\/$/, "");

const FUNCTIONS = "supabase/functions/";
const SHARED = `${FUNCTIONS}_shared/`;
/** Location of `_shared` in the other project, so that it never mixes with that project's own. */
const INSTALLED_SHARED = `${SHARED}edge-ai-jobs/`;
const INSTALLED_MAP = `${INSTALLED_SHARED}import_map.json`;

/** The sections of config.toml that a project needs; the installer leaves all others alone. */
const SECTIONS = /^(functions\..+|db\.vault)$/;

/** A source that the template cannot use. */
class TemplateError extends Error {}

const importMapSchema = z.object({ imports: z.record(z.string(), z.string()) });

/** The module of a migration, from its name: `<version>_<module>_<name>.sql`. All other files belong to the core. */
export function moduleOf(path: string): Module {
  const name = /(?:^|\/)\d+_([a-z]+)(?:_\w+)?\.sql$/.exec(path)?.[1];
  return MODULES.find((module) => module === name) ?? "core";
}

/** Target path of a file of `supabase/functions`, and its text with adapted imports. */
function installedFunctionFile(
  path: string,
  text: string,
): { path: string; text: string } {
  if (path.startsWith(SHARED)) {
    return { path: INSTALLED_SHARED + path.slice(SHARED.length), text };
  }
  return {
    path,
    text: text.replace(/(["'](?:\.\.\/)+_shared\/)/g, "$1edge-ai-jobs/"),
  };
}

/**
 * The sections of a config.toml that the template includes, with the comments above them.
 *
 * @throws {TemplateError} when a function's section has no import map of this repository.
 */
function configSections(config: string): ConfigSection[] {
  const sections: ConfigSection[] = [];
  for (const block of config.split(/\n\s*\n/)) {
    const name = /^\[([^\]]+)\]$/m.exec(block)?.[1];
    if (name === undefined || !SECTIONS.test(name)) continue;
    const ours = 'import_map = "../import_map.json"';
    if (name.startsWith("functions.") && !block.includes(ours)) {
      throw new TemplateError(`config.toml: [${name}] lacks ${ours}`);
    }
    const text = `${
      block.trim().replace(
        ours,
        `import_map = "./${INSTALLED_MAP.slice("supabase/".length)}"`,
      )
    }\n`;
    parseToml(text);
    sections.push({ name, text });
  }
  return sections;
}

function deployedImports(importMap: string): string {
  const { imports } = importMapSchema.parse(JSON.parse(importMap));
  const deployed = Object.entries(imports).filter(([name]) =>
    PRODUCT_PACKAGES.some((one) => name === one || name.startsWith(`${one}/`))
  );
  return `${
    JSON.stringify({ imports: Object.fromEntries(deployed) }, null, 2)
  }\n`;
}

/**
 * The files of `template/` by path: functions, `_shared`, the import map of both, the licence, the migrations, and
 * `index.json`, which names them with their modules and has the config sections.
 */
export async function buildTemplate(): Promise<Map<string, string>> {
  const read = (path: string) => Deno.readTextFile(join(root, path));
  const files = new Map<string, string>();
  const paths = await listSourcePaths(root);
  for (const path of paths) {
    if (path.startsWith(FUNCTIONS) && path.endsWith(".ts")) {
      const installed = installedFunctionFile(path, await read(path));
      files.set(installed.path, installed.text);
    } else if (/^supabase\/migrations\/\d+_\w+\.sql$/.test(path)) {
      files.set(path, await read(path));
    }
  }
  files.set(INSTALLED_MAP, deployedImports(await read("import_map.json")));
  files.set(`${INSTALLED_SHARED}LICENSE`, await read("LICENSE"));
  const index = templateIndexSchema.parse({
    files: [...files.keys()].sort().map((path) => ({
      path,
      module: moduleOf(path),
    })),
    sections: configSections(await read("supabase/config.toml")),
  });
  files.set("index.json", `${JSON.stringify(index, null, 2)}\n`);
  return files;
}

/**
 * The program as one ES module for Node, with its libraries bundled.
 *
 * @throws {TemplateError} with the bundler's message.
 */
async function buildProgram(): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bundle",
      ...FULL_LOCK,
      "--quiet",
      "--platform=deno",
      join(root, "installer/main.ts"),
    ],
    cwd: root,
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  if (!success) throw new TemplateError(decoder.decode(stderr));
  return `#!/usr/bin/env node\n${decoder.decode(stdout)}`;
}

/** All files of the package for the installer, by path. */
export async function buildInstaller(): Promise<Map<string, string>> {
  const template = await buildTemplate();
  return new Map([
    ["bin/edge-ai-jobs.js", await buildProgram()],
    ...[...template].map(([path, text]): [string, string] => [
      `template/${path}`,
      text,
    ]),
  ]);
}
