/** The plans of `npx edge-ai-jobs upgrade`: it compares base, the project's file and the new version. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { MANIFEST_PATH } from "../../../installer/manifest.ts";
import { planInit, planUpgrade, Refusal } from "../../../installer/plan.ts";
import { MODULES, type Template } from "../../../installer/template.ts";
import { applied, projectOf } from "../_support/installer-template.ts";

const CONFIG = "supabase/config.toml";
const f = (name: string) => `supabase/functions/hello/${name}.ts`;
const migration = "supabase/migrations/20260101000000_work.sql";
const obsolete = "supabase/functions/past/index.ts";

function make(
  version: string,
  files: Record<string, string>,
  sections: Record<string, string>,
): Template {
  return {
    version,
    files: Object.entries(files).map(([path, text]) => ({
      path,
      text,
      module: "core",
    })),
    sections: Object.entries(sections).map(([name, text]) => ({ name, text })),
  };
}

const first = make("1.9.0", {
  [f("index")]: "one\n",
  [f("changed")]: "one\n",
  [f("kept")]: "same\n",
  [f("removed")]: "one\n",
  [f("windows")]: "one\ntwo\n",
  [migration]: "create table public.work ();\n",
  [obsolete]: "past\n",
  "supabase/functions/past/mine.ts": "past\n",
}, {
  "functions.work": "[functions.work]\nverify_jwt = true\n",
  "functions.past": "[functions.past]\nverify_jwt = true\n",
});

const second = make("1.10.0", {
  [f("index")]: "two\n",
  [f("changed")]: "two\n",
  [f("kept")]: "same\n",
  [f("removed")]: "two\n",
  [f("windows")]: "two\n",
  [migration]: "create table public.work (id int);\n",
  "supabase/functions/fresh/index.ts": "fresh\n",
  "supabase/migrations/20260201000000_fresh.sql":
    "create table public.fresh ();\n",
}, {
  "functions.work": "[functions.work]\nverify_jwt = false\n",
  "functions.fresh": "[functions.fresh]\nverify_jwt = true\n",
});

/** A project with the first version, in which its owner has changed and removed something. */
function installed(): Map<string, string> {
  const project = projectOf(new Map([[CONFIG, 'project_id = "own"\n']]));
  const files = applied(project, planInit(first, project, MODULES));
  files.set(f("changed"), "mine\n").set(f("kept"), "mine\n")
    .set(f("windows"), "one\r\ntwo\r\n")
    .set("supabase/functions/past/mine.ts", "mine\n");
  files.delete(f("removed"));
  return files;
}

Deno.test("upgrade: replaces unchanged files, keeps changed ones next to the new version, and reports both", () => {
  const project = projectOf(installed());
  const plan = planUpgrade(second, project);
  assertEquals(plan.conflicts, []);
  assertEquals(
    plan.steps.map(({ action, path }) => [action, path]),
    [
      ["replace", f("index")],
      ["offer", `${f("changed")}.new`],
      ["offer", `${f("removed")}.new`],
      ["replace", f("windows")],
      ["offer", `${migration}.new`],
      ["add", "supabase/functions/fresh/index.ts"],
      ["add", "supabase/migrations/20260201000000_fresh.sql"],
      ["remove", obsolete],
      ["append", CONFIG],
    ],
  );
  for (
    const words of [
      `${f("changed")} was not changed: you have changed it`,
      `${f("removed")} was not changed: you have removed it`,
      `${migration} was not changed: a database may have run it`,
      "past/mine.ts is no longer part",
      "Remove [functions.past]",
      "[functions.work] of supabase/config.toml was not changed. This version needs verify_jwt = false",
    ]
  ) assert(plan.notes.some((note) => note.includes(words)), words);
  assertEquals(plan.notes.length, 6);

  const after = applied(project, plan);
  assertEquals(after.get(f("changed")), "mine\n");
  assertEquals(after.get(`${f("changed")}.new`), "two\n");
  assertEquals(after.get(f("index")), "two\n");
  const again = planUpgrade(second, projectOf(after));
  assertEquals([again.steps, again.conflicts], [[], []]);
});

Deno.test("upgrade: a table or a function of the project with a new name of ours stops it", () => {
  const files = installed()
    .set("supabase/migrations/20260115000000_mine.sql", "create table fresh();")
    .set("supabase/functions/fresh/index.ts", "mine\n");
  assertEquals(planUpgrade(second, projectOf(files)).conflicts, [
    "function fresh: supabase/functions/fresh",
    "table public.fresh: supabase/migrations/20260115000000_mine.sql",
  ]);
});

Deno.test("upgrade: a file of the last upgrade that is not merged yet is not overwritten", () => {
  const project = projectOf(installed());
  const after = applied(project, planUpgrade(second, project));
  const third = {
    ...second,
    version: "2.0.0",
    files: second.files.map((file) =>
      file.path === f("changed") ? { ...file, text: "three\n" } : file
    ),
  };
  assertEquals(planUpgrade(third, projectOf(after)).conflicts, [
    `file ${f("changed")}.new: merge the last upgrade and remove it`,
  ]);
});

Deno.test("upgrade: refuses a project without edge-ai-jobs, and one with a newer version", () => {
  const files = installed();
  const newer = applied(
    projectOf(files),
    planUpgrade(second, projectOf(files)),
  );
  assertThrows(
    () => planUpgrade(first, projectOf(newer)),
    Refusal,
    "newer than this",
  );
  files.delete(MANIFEST_PATH);
  assertThrows(
    () => planUpgrade(second, projectOf(files)),
    Refusal,
    "init",
  );
});
