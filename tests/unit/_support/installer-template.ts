/** The template of this repository, and the result of a plan, for tests of plans. */
import { buildTemplate } from "../../../dev/tools/build-installer.ts";
import { MANIFEST_PATH } from "../../../installer/manifest.ts";
import type { Plan, ProjectState } from "../../../installer/plan.ts";
import {
  type Template,
  templateIndexSchema,
} from "../../../installer/template.ts";

const built = await buildTemplate();
const index = templateIndexSchema.parse(
  JSON.parse(built.get("index.json") ?? ""),
);

/** The template of the package as version 1.0.0. */
export const template: Template = {
  version: "1.0.0",
  files: index.files.map((file) => ({
    ...file,
    text: built.get(file.path) ?? "",
  })),
  sections: index.sections,
};

/** A project with these files. */
export function projectOf(files: ReadonlyMap<string, string>): ProjectState {
  return { paths: new Set(files.keys()), texts: files };
}

/** The files of a project after a plan. */
export function applied(
  project: ProjectState,
  plan: Plan,
): Map<string, string> {
  const files = new Map(project.texts);
  for (const step of plan.steps) {
    if (step.action === "remove") files.delete(step.path);
    else files.set(step.path, step.text);
  }
  return files.set(MANIFEST_PATH, JSON.stringify(plan.manifest));
}
