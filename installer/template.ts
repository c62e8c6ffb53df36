/**
 * The content of the package: files and config sections, as `dev/tools/build-installer.ts` put them into `template/`.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

/** The parts that can be chosen. `core` and `people` refer to each other; `shop` needs both. */
export const MODULES = ["core", "people", "shop"] as const;

/** One of {@link MODULES}. */
export type Module = typeof MODULES[number];

const moduleSchema = z.enum(MODULES);

/** A file to install; `path` is relative to the project, with forward slashes. */
export interface TemplateFile {
  path: string;
  module: Module;
  text: string;
}

/** A table of `supabase/config.toml` with the comment above it; `name` is its dotted path. */
export interface ConfigSection {
  name: string;
  text: string;
}

/** Everything of one version. */
export interface Template {
  version: string;
  files: TemplateFile[];
  sections: ConfigSection[];
}

/** `template/index.json`: which files there are, and the config sections. */
export const templateIndexSchema = z.object({
  files: z.array(z.object({ path: z.string(), module: moduleSchema })),
  sections: z.array(z.object({ name: z.string(), text: z.string() })),
});

const packageSchema = z.object({ version: z.string() });

/** Reads the template of the package in this folder. */
export async function readTemplate(packageDir: string): Promise<Template> {
  const read = (path: string) => readFile(join(packageDir, path), "utf8");
  const { version } = packageSchema.parse(
    JSON.parse(await read("package.json")),
  );
  const index = templateIndexSchema.parse(
    JSON.parse(await read("template/index.json")),
  );
  return {
    version,
    files: await Promise.all(
      index.files.map(async (file) => ({
        ...file,
        text: await read(`template/${file.path}`),
      })),
    ),
    sections: index.sections,
  };
}
