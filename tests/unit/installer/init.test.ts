/** The plans of `npx edge-ai-jobs init` for different projects, with the template of this repository. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { dirname, join } from "@std/path";
import { parse as parseToml } from "@std/toml";
import { ConfigInvalid } from "../../../installer/config-sections.ts";
import { MANIFEST_PATH } from "../../../installer/manifest.ts";
import {
  type Plan,
  planInit,
  planUpgrade,
  readModules,
  Refusal,
} from "../../../installer/plan.ts";
import {
  OWN_IMPORT_MAPS,
  OWN_MEDIA,
  OWN_SHARED,
} from "../../_support/existing-projects.ts";
import {
  applied,
  projectOf,
  template,
} from "../_support/installer-template.ts";

const ALL = readModules("core,people,shop");
const CONFIG = "supabase/config.toml";

/** The files that a plan adds or rewrites. */
function touched(plan: Plan): string[] {
  return plan.steps.map(({ path }) => path);
}

Deno.test("template: every relative import is a file of the template, and every package is in its import map", () => {
  const files = new Map(template.files.map(({ path, text }) => [path, text]));
  const { imports } = JSON.parse(
    files.get("supabase/functions/_shared/edge-ai-jobs/import_map.json") ?? "",
  );
  let count = 0;
  for (const [path, text] of files) {
    if (!path.endsWith(".ts")) continue;
    for (
      const [, from, sideEffect] of text.matchAll(
        /^(?:import|export|\}) (?:.* )?from "([^"]+)";$|^import "([^"]+)";$/gm,
      )
    ) {
      const specifier = from ?? sideEffect ?? "";
      if (specifier.startsWith("node:")) continue;
      count++;
      const isThere = specifier.startsWith(".")
        ? files.has(join(dirname(path), specifier))
        : specifier in imports;
      assert(isThere, `${path}: ${specifier}`);
    }
  }
  assert(count > 300, String(count));
});

Deno.test("template: every function has its section, with the installed import map", () => {
  const slugs = new Set(
    template.files.flatMap(({ path }) =>
      /^supabase\/functions\/([^_/]+)\//.exec(path)?.[1] ?? []
    ),
  );
  assertEquals(
    template.sections.map(({ name }) => name).sort(),
    ["db.vault", ...[...slugs].map((slug) => `functions.${slug}`)].sort(),
  );
  for (const { name, text } of template.sections.slice(1)) {
    assert(
      text.includes(
        'import_map = "./functions/_shared/edge-ai-jobs/import_map.json"',
      ),
      name,
    );
  }
});

Deno.test("init: names every table, policy, bucket, function and section that a project already has", () => {
  const { conflicts } = planInit(template, projectOf(OWN_MEDIA), ALL);
  const media = "supabase/migrations/20250301090000_media.sql";
  const files = "supabase/migrations/20250302090000_files.sql";
  assertEquals(conflicts.sort(), [
    `bucket recordings: ${CONFIG}`,
    `bucket uploads: ${files}`,
    `config section [functions.janitor]: it is in ${CONFIG} without import_map = "./functions/_shared/edge-ai-jobs/import_map.json"`,
    "function janitor: supabase/functions/janitor",
    `policy "users can upload into their own folder" on storage.objects: ${files}`,
    `table public.media: ${media}`,
  ]);
});

Deno.test("init: a project's _shared folder stays separate, and without the shop it keeps its table orders", () => {
  const project = projectOf(OWN_SHARED);
  assertEquals(planInit(template, project, ALL).conflicts, [
    "table public.orders: supabase/migrations/20250301090000_notes.sql (--modules core,people does not need it)",
  ]);
  const plan = planInit(template, project, readModules("core,people"));
  assertEquals(plan.conflicts, []);
  assertEquals(plan.manifest.modules, ["core", "people"]);
  assert(!touched(plan).some((path) => path.includes("shop")));
  assertEquals(touched(plan).filter((path) => project.paths.has(path)), [
    CONFIG,
  ]);
  const shared = touched(plan).filter((path) => path.includes("/_shared/"));
  assert(shared.length > 50);
  for (const path of shared) {
    assert(path.startsWith("supabase/functions/_shared/edge-ai-jobs/"), path);
  }
});

Deno.test("init: existing text of config.toml stays unchanged, and an existing Vault must be extended by hand", () => {
  assertEquals(planInit(template, projectOf(OWN_IMPORT_MAPS), ALL).conflicts, [
    `config section [db.vault]: it is in ${CONFIG} without project_url = "env(PROJECT_URL)" and dispatch_secret = "env(DISPATCH_SECRET)"`,
  ]);
  const config = (OWN_IMPORT_MAPS.get(CONFIG) ?? "").replace(
    "[db.vault]\n",
    '[db.vault]\nproject_url = "env(PROJECT_URL)"\ndispatch_secret = "env(DISPATCH_SECRET)"\n',
  );
  const project = projectOf(new Map(OWN_IMPORT_MAPS).set(CONFIG, config));
  const plan = planInit(template, project, ALL);
  assertEquals(plan.conflicts, []);
  const after = applied(project, plan).get(CONFIG) ?? "";
  assert(after.startsWith(config));
  const { functions } = parseToml(after);
  assertEquals(Object.keys(Object(functions)).length, 15);
  assertEquals(Object(functions).mapped, {
    import_map: "./functions/mapped/own_map.json",
    verify_jwt: false,
  });
});

Deno.test("init: a second run changes nothing, restores a lost file, and can add a module", () => {
  const project = projectOf(OWN_SHARED);
  const files = applied(
    project,
    planInit(template, project, readModules("core,people")),
  );
  files.delete("supabase/migrations/20250301090000_notes.sql");
  const again = planInit(
    template,
    projectOf(files),
    readModules("core,people"),
  );
  assertEquals([again.steps, again.conflicts], [[], []]);
  assertEquals(JSON.stringify(again.manifest), files.get(MANIFEST_PATH));

  const lost = "supabase/functions/janitor/run.ts";
  const changed = "supabase/functions/janitor/index.ts";
  const damaged = new Map(files).set(changed, "// changed");
  damaged.delete(lost);
  const repair = planInit(
    template,
    projectOf(damaged),
    readModules("core,people"),
  );
  assertEquals(touched(repair), [lost]);

  const more = planInit(template, projectOf(files), ALL);
  assertEquals(more.conflicts, []);
  const ofShop = template.files.filter(({ module }) => module === "shop");
  assertEquals(touched(more), ofShop.map(({ path }) => path));
  assert(touched(more).includes("supabase/migrations/20261122000300_shop.sql"));
  assertEquals(more.manifest.modules, ["core", "people", "shop"]);
});

Deno.test("init: without a list it keeps the installed modules, or installs all if there are none", () => {
  const empty = projectOf(new Map([[CONFIG, ""]]));
  assertEquals(planInit(template, empty).manifest.modules, ALL);
  const files = applied(
    empty,
    planInit(template, empty, readModules("core")),
  );
  const again = planInit(template, projectOf(files));
  assertEquals([again.steps, again.manifest.modules], [[], ["core"]]);
});

Deno.test("init: a config.toml with a byte order mark and Windows line ends keeps both, and runs twice", () => {
  const config =
    '\ufeff# ours\r\nproject_id = "own" # name\r\n\r\n# [db.vault]\r\n[api]\r\nport = 1';
  const project = projectOf(new Map([[CONFIG, config]]));
  const plan = planInit(template, project);
  assertEquals(plan.conflicts, []);
  const files = applied(project, plan);
  const after = files.get(CONFIG) ?? "";
  assert(after.startsWith(`${config}\r\n`));
  assert(!/[^\r]\n/.test(after));
  files.set(MANIFEST_PATH, `\ufeff${files.get(MANIFEST_PATH)}`);
  const again = planInit(template, projectOf(files));
  assertEquals([again.steps, again.conflicts], [[], []]);
});

Deno.test("init: completes an interrupted run, which has left files but no manifest", () => {
  const project = projectOf(new Map([[CONFIG, ""]]));
  const plan = planInit(template, project, ALL);
  const half = new Map([[CONFIG, ""]]);
  for (const step of plan.steps.slice(0, 60)) {
    if (step.action === "add") half.set(step.path, step.text);
  }
  const rest = planInit(template, projectOf(half), ALL);
  assertEquals(rest.conflicts, []);
  assertEquals(rest.steps, plan.steps.slice(60));
});

Deno.test("init: conflicts are a file or link in place of a folder, a used migration version, an inline table", () => {
  const files = new Map([
    [CONFIG, "functions = { hello = { verify_jwt = false } }\n"],
    ["supabase/functions/_shared", "a link"],
    ["supabase/migrations/20261122000100_mine.sql", "select 1;"],
  ]);
  const { conflicts } = planInit(template, projectOf(files), ALL);
  assertEquals(conflicts.slice(0, 2), [
    "file supabase/functions/_shared: a folder is needed there",
    "migration version 20261122000100: supabase/migrations/20261122000100_core.sql",
  ]);
  assert(conflicts[2]?.startsWith("config sections [db.vault]"), conflicts[2]);
  assertEquals(conflicts.length, 3);
});

Deno.test("init: warns when its migrations precede existing ones, and when the edge runtime differs", () => {
  const files = new Map([
    [CONFIG, '[edge_runtime]\npolicy = "oneshot"\ndeno_version = 1\n'],
    ["supabase/migrations/20290101000000_later.sql", "select 1;"],
  ]);
  const { notes, conflicts } = planInit(template, projectOf(files), ALL);
  assertEquals(conflicts, []);
  assertEquals(
    [/--include-all/, /per_worker/, /deno_version = 2/].map((words) =>
      notes.filter((note) => words.test(note)).length
    ),
    [1, 1, 1],
  );
});

Deno.test("init: a module that is added later has older migrations than those installed, and a note says so", () => {
  const empty = projectOf(new Map([[CONFIG, ""]]));
  const noted = (plan: Plan) =>
    plan.notes.filter((note) => note.includes("--include-all"));
  const core = planInit(template, empty, readModules("core"));
  assertEquals(noted(core), []);
  const files = applied(empty, core);
  const newest = touched(core).filter((path) => path.endsWith(".sql")).at(-1);
  const last = /\/(\d+)_/.exec(newest ?? "")?.[1];
  const more = planInit(template, projectOf(files), ALL);
  assertEquals(noted(more), [
    `Your project has the migration ${last}, which is newer than 20261122000200: apply the new ones with "supabase db push --include-all".`,
  ]);

  // The run was interrupted after the first of them, before the note was printed.
  const half = new Map(files);
  for (const step of more.steps) {
    if (step.action === "add" && step.path.includes("20261122000200_people")) {
      half.set(step.path, step.text);
    }
  }
  assertEquals(half.size, files.size + 1);
  const rest = planInit(template, projectOf(half), ALL);
  assertEquals(noted(rest), noted(more));
  const all = applied(projectOf(half), rest);
  assertEquals(noted(planInit(template, projectOf(all), ALL)), []);

  // Newer ones of the module alone need no note.
  const later = "supabase/migrations/20290101000000_people_later.sql";
  const next = {
    ...template,
    files: [...template.files, {
      path: later,
      module: "people" as const,
      text: "select 1;",
    }],
    version: "1.1.0",
  };
  const upgrade = planUpgrade(next, projectOf(all));
  assertEquals([touched(upgrade), noted(upgrade)], [[later], []]);
});

Deno.test("init: refuses an invalid config.toml or manifest, another version, and modules that need others", () => {
  const plan = (files: [string, string][], version = "1.0.0") =>
    planInit({ ...template, version }, projectOf(new Map(files)), ALL);
  assertThrows(() => plan([[CONFIG, "[a"]]), ConfigInvalid, "is not valid");
  assertThrows(
    () => plan([[CONFIG, ""], [MANIFEST_PATH, "{}"]]),
    Refusal,
    "Restore it",
  );
  const empty = projectOf(new Map([[CONFIG, ""]]));
  const files = applied(empty, planInit(template, empty, ALL));
  assertThrows(() => plan([...files], "1.1.0"), Refusal, "upgrade");
  for (
    const [list, words] of [
      ["core,core", "core,people"],
      ["core,shop", "core,people"],
      ["people", "core,people"],
      ["core,people,billing", '"billing"'],
      ["", '""'],
    ] as const
  ) {
    assertThrows(() => readModules(list), Refusal, words);
  }
  assertEquals(readModules("people, core"), ["core", "people"]);
  assertEquals(readModules("core"), ["core"]);
});
