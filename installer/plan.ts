/**
 * What `init` and `upgrade` would do to a project, computed only from the files of both sides. A plan with conflicts is not
 * applied.
 */
import {
  appendSections,
  ConfigInvalid,
  missingFrom,
  parseConfig,
  valueAt,
} from "./config-sections.ts";
import {
  checksum,
  type Manifest,
  MANIFEST_PATH,
  manifestSchema,
} from "./manifest.ts";
import { namesMadeBy } from "./sql-names.ts";
import {
  type ConfigSection,
  type Module,
  MODULES,
  type Template,
  type TemplateFile,
} from "./template.ts";

const CONFIG = "supabase/config.toml";
const MIGRATIONS = "supabase/migrations/";

/** An existing project: the paths below `supabase/`, and the texts that a plan needs. */
export interface ProjectState {
  paths: ReadonlySet<string>;
  texts: ReadonlyMap<string, string>;
}

/** One change of one file. `offer` writes a new version next to the file that the project has changed. */
export type Step =
  | {
    action: "add" | "replace" | "offer" | "append";
    path: string;
    text: string;
  }
  | { action: "remove"; path: string };

/** Everything that a run would do. */
export interface Plan {
  steps: Step[];
  /** Existing things that would have to be overwritten, each with its path; any of them stops the run. */
  conflicts: string[];
  /** Notes for the user: what to know or do. */
  notes: string[];
  /** The manifest after the run. */
  manifest: Manifest;
}

/** A request that cannot be planned for this project; the message is for the user. */
export class Refusal extends Error {}

/**
 * The modules that a list such as "core,people" names.
 *
 * @throws {Refusal} when a name is unknown, or when a module needs another that is missing.
 */
export function readModules(list: string): Module[] {
  const names = list.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !MODULES.some((one) => one === name));
  if (unknown !== undefined) {
    throw new Refusal(
      `There is no module "${unknown}"; there are ${MODULES.join(", ")}.`,
    );
  }
  // Each module needs all those before it.
  if (
    MODULES.some((module, index) =>
      names.includes(module) !== index < names.length
    )
  ) {
    throw new Refusal(
      `The modules "${list}" do not work alone: people needs core, and shop needs both. ` +
        "Choose core, core,people or core,people,shop.",
    );
  }
  return MODULES.filter((module) => names.includes(module));
}

/** The project's manifest, or undefined. Throws {@link Refusal} when it is not one. */
function readManifest(project: ProjectState): Manifest | undefined {
  const text = project.texts.get(MANIFEST_PATH);
  if (text === undefined) return undefined;
  try {
    return manifestSchema.parse(JSON.parse(text.replace(/^\ufeff/, "")));
  } catch (cause) {
    throw new Refusal(
      `${MANIFEST_PATH} is not valid. Restore it from version control.`,
      { cause },
    );
  }
}

/**
 * Installs the template into a project, or adds modules. Files in the manifest are left unchanged, and missing ones are
 * added: a second run changes nothing. Without `modules` these are the installed ones, or all.
 *
 * @throws {Refusal} when another version is installed, or config.toml or the manifest cannot be read.
 */
export function planInit(
  template: Template,
  project: ProjectState,
  modules?: readonly Module[],
): Plan {
  const installed = readManifest(project);
  if (installed !== undefined && installed.version !== template.version) {
    throw new Refusal(
      `Version ${installed.version} is installed here, and this is ${template.version}: run "npx edge-ai-jobs upgrade".`,
    );
  }
  const planner = new Planner(
    template,
    project,
    installed,
    modules ?? (installed === undefined ? MODULES : []),
  );
  for (const file of planner.files) {
    if (!planner.isInstalled(file)) planner.addNew(file);
    else if (!project.paths.has(file.path)) planner.add(file);
  }
  return planner.finish();
}

/**
 * Upgrades a project to the template's version. Files that equal the manifest are replaced;
 * those that the project has changed stay, with the new version next to them as `<file>.new`. An existing migration is
 * never replaced, since a database may have run it.
 *
 * @throws {Refusal} when nothing is installed, a newer version is, or config.toml or the manifest cannot be read.
 */
export function planUpgrade(template: Template, project: ProjectState): Plan {
  const installed = readManifest(project);
  if (installed === undefined) {
    throw new Refusal(
      `There is no ${MANIFEST_PATH}: run "npx edge-ai-jobs init" first.`,
    );
  }
  if (isNewer(installed.version, template.version)) {
    throw new Refusal(
      `Version ${installed.version} is installed here, which is newer than this, ${template.version}. ` +
        'Run "npx edge-ai-jobs@latest upgrade".',
    );
  }
  const planner = new Planner(template, project, installed, []);
  for (const file of planner.files) {
    if (planner.isInstalled(file)) planner.update(file);
    else planner.addNew(file);
  }
  planner.dropObsolete();
  return planner.finish();
}

/** Compares the three numbers; a suffix after a hyphen does not count. */
function isNewer(one: string, other: string): boolean {
  const numbers = (version: string) => version.replace(/[-+].*$/, "");
  return numbers(one).localeCompare(numbers(other), "en", { numeric: true }) >
    0;
}

class Planner {
  readonly files: TemplateFile[];
  readonly #template: Template;
  readonly #project: ProjectState;
  readonly #installed: Manifest | undefined;
  readonly #modules: Module[];
  readonly #steps: Step[] = [];
  readonly #conflicts = new Set<string>();
  readonly #notes: string[] = [];
  readonly #added: TemplateFile[] = [];

  constructor(
    template: Template,
    project: ProjectState,
    installed: Manifest | undefined,
    modules: readonly Module[],
  ) {
    this.#template = template;
    this.#project = project;
    this.#installed = installed;
    this.#modules = MODULES.filter((module) =>
      modules.includes(module) || installed?.modules.includes(module)
    );
    this.files = template.files.filter(({ module }) =>
      this.#modules.includes(module)
    );
  }

  isInstalled({ path }: TemplateFile): boolean {
    return this.#installed?.files[path] !== undefined;
  }

  add(file: TemplateFile): void {
    this.#added.push(file);
    this.#steps.push({ action: "add", path: file.path, text: file.text });
  }

  /** A file that the manifest does not list: its path must be free, or hold the same text. */
  addNew(file: TemplateFile): void {
    const { path } = file;
    const found = this.#project.texts.get(path);
    if (found !== undefined && checksum(found) === checksum(file.text)) return;
    const slug = /^supabase\/functions\/([^_/][^/]*)\//.exec(path)?.[1];
    const isOwnFunction = slug !== undefined && this.#hasFunction(slug);
    if (isOwnFunction) {
      this.#conflicts.add(`function ${slug}: supabase/functions/${slug}`);
    } else if (this.#project.paths.has(path)) {
      this.#conflicts.add(`file ${path}`);
    } else {
      const blocked = parentsOf(path).find((one) =>
        this.#project.paths.has(one)
      );
      if (blocked === undefined) return this.add(file);
      this.#conflicts.add(`file ${blocked}: a folder is needed there`);
    }
  }

  /** Whether the project has another function of this name. */
  #hasFunction(slug: string): boolean {
    const folder = `supabase/functions/${slug}/`;
    const ours = new Map(
      this.#template.files.map(({ path, text }) => [path, text]),
    );
    const isKnown = Object.keys(this.#installed?.files ?? {}).some((path) =>
      path.startsWith(folder)
    );
    return !isKnown && [...this.#project.paths].some((path) => {
      if (!path.startsWith(folder)) return false;
      const text = this.#project.texts.get(path);
      const own = ours.get(path);
      return text === undefined || own === undefined ||
        checksum(text) !== checksum(own);
    });
  }

  /** An installed file: base is its text in the manifest, then the project's text, then the template's. */
  update({ path, text }: TemplateFile): void {
    const base = this.#installed?.files[path];
    const found = this.#project.texts.get(path);
    const next = checksum(text);
    if (next === base) return;
    const isMigration = path.startsWith(MIGRATIONS);
    if (found !== undefined) {
      if (checksum(found) === next) return;
      if (checksum(found) === base && !isMigration) {
        this.#steps.push({ action: "replace", path, text });
        return;
      }
    }
    const newPath = `${path}.new`;
    const offered = this.#project.texts.get(newPath);
    // An upgrade that was interrupted has written it.
    const isOffered = offered !== undefined && checksum(offered) === next;
    if (this.#project.paths.has(newPath) && !isOffered) {
      this.#conflicts.add(
        `file ${newPath}: merge the last upgrade and remove it`,
      );
      return;
    }
    if (!isOffered) this.#steps.push({ action: "offer", path: newPath, text });
    const why = found === undefined
      ? "you have removed it"
      : isMigration
      ? "a database may have run it"
      : "you have changed it";
    this.#notes.push(
      `${path} was not changed: ${why}. The new version is ${newPath}.`,
    );
  }

  /** Files of the last version that this one no longer has. */
  dropObsolete(): void {
    const kept = new Set(this.#template.files.map(({ path }) => path));
    for (const [path, base] of Object.entries(this.#installed?.files ?? {})) {
      const found = this.#project.texts.get(path);
      if (kept.has(path) || !this.#project.paths.has(path)) continue;
      const isUnchanged = found !== undefined && checksum(found) === base;
      if (isUnchanged && !path.startsWith(MIGRATIONS)) {
        this.#steps.push({ action: "remove", path });
      } else {
        this.#notes.push(
          `${path} is no longer part of edge-ai-jobs and was not changed.`,
        );
      }
    }
    const sections = new Set(this.#template.sections.map(({ name }) => name));
    const config = parseConfig(this.#project.texts.get(CONFIG) ?? "");
    for (const name of Object.keys(this.#installed?.sections ?? {})) {
      if (sections.has(name) || valueAt(config, name) === undefined) continue;
      this.#notes.push(
        `Remove [${name}] from ${CONFIG}: it is no longer part of edge-ai-jobs.`,
      );
    }
  }

  finish(): Plan {
    this.#findNameConflicts();
    this.#noteNewerMigrations();
    this.#extendConfig();
    return {
      steps: this.#steps,
      conflicts: [...this.#conflicts],
      notes: this.#notes,
      manifest: {
        version: this.#template.version,
        modules: this.#modules,
        files: Object.fromEntries(
          this.files.map(({ path, text }) => [path, checksum(text)]),
        ),
        sections: Object.fromEntries(
          this.#template.sections.map(({ name, text }) => [
            name,
            checksum(text),
          ]),
        ),
      },
    };
  }

  /** Tables, functions, buckets and other objects that the SQL of both sides creates. */
  #findNameConflicts(): void {
    const ours = new Set(this.#template.files.map(({ path }) => path));
    const theirs = [...this.#project.texts]
      .filter(([path]) => path.endsWith(".sql") && !ours.has(path))
      .sort(([one], [other]) => one < other ? -1 : 1);
    const added = this.#added.filter(({ path }) => path.endsWith(".sql"));
    if (added.length === 0) return;
    const taken = namesMadeBy(theirs.map(([, text]) => text));
    const config = parseConfig(this.#project.texts.get(CONFIG) ?? "");
    const buckets = valueAt(config, "storage.buckets");
    if (typeof buckets === "object" && buckets !== null) {
      for (const id of Object.keys(buckets)) taken.add(`bucket ${id}`);
    }
    const madeBy = (module: Module) =>
      namesMadeBy(
        added.filter((file) => file.module === module).map(({ text }) => text),
      );
    const people = madeBy("people");
    const shop = madeBy("shop");
    for (const name of namesMadeBy(added.map(({ text }) => text))) {
      if (!taken.has(name)) continue;
      const [place] = theirs.find(([, text]) =>
        namesMadeBy([text]).has(name)
      ) ?? [CONFIG];
      const advice = people.has(name)
        ? " (--modules core does not need it)"
        : shop.has(name)
        ? " (--modules core,people does not need it)"
        : name === "schema private"
        ? " (move what it holds to another schema first)"
        : "";
      this.#conflicts.add(`${name}: ${place}${advice}`);
    }
    const versions = theirs.flatMap(([path]) => versionOf(path) ?? []);
    for (const { path } of added) {
      const version = versionOf(path);
      if (version !== undefined && versions.includes(version)) {
        this.#conflicts.add(`migration version ${version}: ${path}`);
      }
    }
  }

  /** Says so when `supabase db push` would refuse our new migrations, since others of the project are newer. */
  #noteNewerMigrations(): void {
    // An interrupted run has written its migrations, but not the manifest.
    const added = new Set(
      this.files.filter((file) =>
        !this.isInstalled(file) || this.#added.includes(file)
      ).map(({ path }) => path),
    );
    const versionsOf = (paths: Iterable<string>) =>
      [...paths].flatMap((path) => versionOf(path) ?? []).sort();
    const [first] = versionsOf(added);
    const last = versionsOf(
      [...this.#project.paths].filter((path) => !added.has(path)),
    ).at(-1);
    if (first !== undefined && last !== undefined && last > first) {
      this.#notes.push(
        `Your project has the migration ${last}, which is newer than ${first}: apply the new ones with "supabase db push --include-all".`,
      );
    }
  }

  #extendConfig(): void {
    const text = this.#project.texts.get(CONFIG) ?? "";
    const config = parseConfig(text);
    const missing: ConfigSection[] = [];
    for (const section of this.#template.sections) {
      const known = this.#installed?.sections[section.name];
      const lines = missingFrom(config, section);
      if (lines.length === 0 || known === checksum(section.text)) continue;
      if (valueAt(config, section.name) === undefined) missing.push(section);
      else if (known === undefined) {
        this.#conflicts.add(
          `config section [${section.name}]: it is in ${CONFIG} without ${
            lines.join(" and ")
          }`,
        );
      } else {
        this.#notes.push(
          `[${section.name}] of ${CONFIG} was not changed. This version needs ${
            lines.join(" and ")
          } there.`,
        );
      }
    }
    if (missing.length > 0) {
      try {
        this.#steps.push({
          action: "append",
          path: CONFIG,
          text: appendSections(text, missing),
        });
      } catch (error) {
        if (!(error instanceof ConfigInvalid)) throw error;
        this.#conflicts.add(
          `config sections ${
            missing.map(({ name }) => `[${name}]`).join(", ")
          }: ${error.message}`,
        );
      }
    }
    if (valueAt(config, "edge_runtime.policy") === "oneshot") {
      this.#notes.push(
        `Set policy = "per_worker" in [edge_runtime] of ${CONFIG}: under "oneshot" jobs are stopped when the request ends.`,
      );
    }
    if (valueAt(config, "edge_runtime.deno_version") === 1) {
      this.#notes.push(
        `Set deno_version = 2 in [edge_runtime] of ${CONFIG}: the functions need it.`,
      );
    }
  }
}

/** The version of a migration; undefined for other files. */
function versionOf(path: string): string | undefined {
  return /^supabase\/migrations\/(\d+)_[^/]*\.sql$/.exec(path)?.[1];
}

function parentsOf(path: string): string[] {
  const parts = path.split("/");
  return parts.slice(1, -1).map((_, index) =>
    parts.slice(0, index + 2).join("/")
  );
}
