/** Reads what a plan needs to know about an existing Supabase project, and applies a plan. */
import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { addFile, isDraft, replaceFile } from "./files.ts";
import { MANIFEST_PATH, manifestSchema } from "./manifest.ts";
import type { Plan, ProjectState, Step } from "./plan.ts";

const SKIPPED = /^(\.temp|\.branches|node_modules)$/;

/** The paths of everything below `supabase/`. A link counts as a file; its target is not read. */
async function listPaths(dir: string, folder: string): Promise<string[]> {
  const paths: string[] = [];
  for (
    const entry of await readdir(join(dir, folder), { withFileTypes: true })
  ) {
    const path = `${folder}/${entry.name}`;
    if (!entry.isDirectory()) paths.push(path);
    else if (!SKIPPED.test(entry.name)) {
      paths.push(...await listPaths(dir, path));
    }
  }
  return paths;
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

/** The files that the manifest lists; none if it is missing or invalid, which the plan reports. */
async function installedPaths(dir: string): Promise<string[]> {
  try {
    const text = await readFile(join(dir, MANIFEST_PATH), "utf8");
    const { files } = manifestSchema.parse(
      JSON.parse(text.replace(/^\ufeff/, "")),
    );
    return Object.keys(files);
  } catch {
    return [];
  }
}

/** A folder that is not a Supabase project. */
export class NotAProject extends Error {}

/**
 * Reads a project: the paths below `supabase/` but the drafts of a killed run, and the texts of config.toml, the
 * manifest, all SQL of `migrations` and `schemas`, the files that the template or the manifest has, and what an upgrade
 * wrote next to them.
 *
 * @throws {NotAProject} when there is no supabase/config.toml.
 */
export async function readProject(
  dir: string,
  templatePaths: string[],
): Promise<ProjectState> {
  if (!await isFile(join(dir, "supabase/config.toml"))) {
    throw new NotAProject(
      `${dir} has no supabase/config.toml. Run it in the folder of your Supabase project, or make one with "supabase init".`,
    );
  }
  const all = (await listPaths(dir, "supabase")).filter((path) =>
    !isDraft(path)
  );
  const paths = new Set(all);
  const wanted = new Set(["supabase/config.toml", MANIFEST_PATH]);
  for (const path of templatePaths) wanted.add(path);
  for (const path of await installedPaths(dir)) {
    wanted.add(path).add(`${path}.new`);
  }
  const texts = new Map<string, string>();
  for (const path of all) {
    const isSql = /^supabase\/(migrations|schemas)\/.*\.sql$/.test(path);
    if (!isSql && !wanted.has(path)) continue;
    texts.set(path, await readFile(join(dir, path), "utf8"));
  }
  return { paths, texts };
}

async function take(dir: string, step: Step): Promise<void> {
  const path = join(dir, step.path);
  if (step.action === "remove") return await rm(path);
  await mkdir(dirname(path), { recursive: true });
  const isNew = step.action === "add" || step.action === "offer";
  // This refuses a file that has appeared since the plan was made.
  if (isNew) return await addFile(path, step.text);
  await replaceFile(path, step.text);
}

/**
 * Applies a plan. Each file has its old text or its new one at any moment, and the manifest comes last: an interrupted
 * run is completed by running it again.
 */
export async function applyPlan(dir: string, plan: Plan): Promise<void> {
  for (const path of await listPaths(dir, "supabase")) {
    if (isDraft(path)) await rm(join(dir, path), { force: true });
  }
  for (const step of plan.steps) await take(dir, step);
  const text = `${JSON.stringify(plan.manifest, null, 2)}\n`;
  await replaceFile(join(dir, MANIFEST_PATH), text);
}
