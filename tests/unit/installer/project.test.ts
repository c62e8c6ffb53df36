/** Projects on the disk: what is read of them, and how plans are applied. */
import { assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { checksum, MANIFEST_PATH } from "../../../installer/manifest.ts";
import { planInit, planUpgrade } from "../../../installer/plan.ts";
import { applyPlan, readProject } from "../../../installer/project.ts";
import type { Template } from "../../../installer/template.ts";

const repository = fromFileUrl(new URL("../../../", import.meta.url));
const CONFIG = "supabase/config.toml";
const OLD = "supabase/functions/old/index.ts";
const CHANGED = "supabase/functions/changed/index.ts";
const TEXT = "export {};\n";
const TEMPLATE = { version: "1.1.0", files: [], sections: [] };

/** A project with these files, in a temporary folder. */
async function makeProject(files: Record<string, string>) {
  const dir = await Deno.makeTempDir();
  for (const [path, text] of Object.entries(files)) {
    await Deno.mkdir(join(dir, path, ".."), { recursive: true });
    await Deno.writeTextFile(join(dir, path), text);
  }
  return {
    dir,
    at: (path: string) => join(dir, path),
    names: async (path: string) =>
      (await Array.fromAsync(Deno.readDir(join(dir, path)), ({ name }) => name))
        .sort(),
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

async function modeOf(path: string): Promise<number> {
  return ((await Deno.stat(path)).mode ?? 0) & 0o7777;
}

function manifestOf(files: Record<string, string>): string {
  return JSON.stringify({
    version: "1.0.0",
    modules: ["core"],
    files: Object.fromEntries(
      Object.entries(files).map(([path, text]) => [path, checksum(text)]),
    ),
    sections: {},
  });
}

function templateOf(files: Record<string, string>): Template {
  return {
    ...TEMPLATE,
    files: Object.entries(files).map(([path, text]) => ({
      path,
      text,
      module: "core",
    })),
  };
}

Deno.test("upgrade: a file that the new version does not have is removed, unless it was changed", async () => {
  await using project = await makeProject({
    [CONFIG]: "",
    [OLD]: TEXT,
    [CHANGED]: "export const mine = 1;\n",
    [MANIFEST_PATH]: manifestOf({ [OLD]: TEXT, [CHANGED]: TEXT }),
  });
  const plan = planUpgrade(TEMPLATE, await readProject(project.dir, []));
  assertEquals(plan.steps, [{ action: "remove", path: OLD }]);
  assertEquals(plan.notes, [
    `${CHANGED} is no longer part of edge-ai-jobs and was not changed.`,
  ]);
  await applyPlan(project.dir, plan);
  assertEquals(await project.names("supabase/functions/old"), []);
});

Deno.test("init: after SIGKILL while it writes a file, the next run adds that file, and no draft is left", async () => {
  const path = "supabase/functions/large/index.ts";
  const text = "0123456789abcde\n".repeat(2 ** 20);
  await using project = await makeProject({ [CONFIG]: "" });
  await using child = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      `const { applyPlan } = await import("./installer/project.ts");
       const text = "0123456789abcde\\n".repeat(2 ** 20);
       const steps = [{ action: "add", path: "${path}", text }];
       // Only the test ends this process.
       setInterval(() => {}, 60_000);
       const manifest = ${
        JSON.stringify({
          ...JSON.parse(manifestOf({ [path]: text })),
          version: TEMPLATE.version,
        })
      };
       await applyPlan(${JSON.stringify(project.dir)}, { steps, manifest });`,
    ],
    cwd: repository,
    stdin: "null",
  }).spawn();
  let hasEnded = false;
  const ended = child.status.finally(() => hasEnded = true);
  const folder = project.at("supabase/functions/large");
  const hasBegun = async () => {
    try {
      for await (const { name } of Deno.readDir(folder)) {
        if ((await Deno.stat(join(folder, name))).size > 0) return true;
      }
    } catch (error) {
      // The folder does not exist yet, or the file has another name by now.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    return false;
  };
  while (!hasEnded && !await hasBegun());
  if (!hasEnded) child.kill("SIGKILL");
  assertEquals((await ended).signal, "SIGKILL");

  const template = templateOf({ [path]: text });
  const plan = planInit(template, await readProject(project.dir, [path]));
  assertEquals(plan.conflicts, []);
  await applyPlan(project.dir, plan);
  // Comparing the texts would print them.
  assertEquals(
    checksum(await Deno.readTextFile(project.at(path))),
    checksum(text),
  );
  assertEquals(await project.names("supabase/functions/large"), ["index.ts"]);
});

Deno.test("init: a draft that a killed run has left is no file of the project, and is removed", async () => {
  const half = `${CHANGED}.edge-ai-jobs.tmp`;
  const config = `${CONFIG}.edge-ai-jobs.tmp`;
  await using project = await makeProject({
    [CONFIG]: "",
    [half]: "expo",
    [config]: "[func",
  });
  // Without a manifest, an unknown file in the folder of a function is a conflict.
  const template = templateOf({ [CHANGED]: TEXT });
  const plan = planInit(template, await readProject(project.dir, [CHANGED]));
  assertEquals([plan.conflicts, plan.steps.length], [[], 1]);
  await applyPlan(project.dir, plan);
  assertEquals(await project.names("supabase/functions/changed"), ["index.ts"]);

  await Deno.writeTextFile(project.at(half), "expo");
  const again = planInit(template, await readProject(project.dir, [CHANGED]));
  assertEquals([again.conflicts, again.steps], [[], []]);
  await applyPlan(project.dir, again);
  assertEquals(await project.names("supabase/functions/changed"), ["index.ts"]);
  assertEquals(await project.names("supabase"), [
    ".edge-ai-jobs.json",
    "config.toml",
    "functions",
  ]);
});

Deno.test("upgrade: interrupted after a new version was written next to a file, it is completed by the next one", async () => {
  await using project = await makeProject({
    [CONFIG]: "",
    [OLD]: TEXT,
    [CHANGED]: "export const mine = 1;\n",
    [MANIFEST_PATH]: manifestOf({ [OLD]: TEXT, [CHANGED]: TEXT }),
  });
  const next = "export const next = 1;\n";
  const template = templateOf({ [CHANGED]: next, [OLD]: next });
  const read = () => readProject(project.dir, [CHANGED, OLD]);
  const plan = planUpgrade(template, await read());
  assertEquals(plan.steps.map(({ path }) => path), [`${CHANGED}.new`, OLD]);
  await Deno.writeTextFile(project.at(`${CHANGED}.new`), next);

  const again = planUpgrade(template, await read());
  assertEquals(again.conflicts, []);
  assertEquals(again.steps, plan.steps.slice(1));
  assertEquals(again.notes, plan.notes);

  await Deno.writeTextFile(project.at(`${CHANGED}.new`), "half merged\n");
  const stopped = planUpgrade(template, await read());
  assertEquals(stopped.conflicts, [
    `file ${CHANGED}.new: merge the last upgrade and remove it`,
  ]);
});

Deno.test("upgrade: replaced files keep their modes, and links stay links to the files that are replaced", async () => {
  await using project = await makeProject({
    "shared/config.toml": 'project_id = "own"\n',
    "shared/index.ts": TEXT,
    "shared/manifest.json": manifestOf({ [OLD]: TEXT, [CHANGED]: TEXT }),
    [OLD]: TEXT,
    "supabase/functions/changed/.keep": "",
  });
  const links: [path: string, target: string, mode: number][] = [
    [CONFIG, "../shared/config.toml", 0o600],
    [CHANGED, "../../../shared/index.ts", 0o640],
    [MANIFEST_PATH, "../shared/manifest.json", 0o664],
  ];
  for (const [path, target, mode] of links) {
    await Deno.symlink(target, project.at(path));
    await Deno.chmod(project.at(path), mode);
  }
  await Deno.chmod(project.at(OLD), 0o755);

  const next = "export const next = 1;\n";
  const template = {
    ...templateOf({ [OLD]: next, [CHANGED]: next }),
    sections: [{ name: "functions.old", text: "[functions.old]\na = 1\n" }],
  };
  const plan = planUpgrade(template, await readProject(project.dir, []));
  assertEquals(plan.steps.map(({ action }) => action), [
    "replace",
    "replace",
    "append",
  ]);
  await applyPlan(project.dir, plan);

  for (const [path, target, mode] of links) {
    assertEquals(await Deno.readLink(project.at(path)), target);
    assertEquals(await modeOf(project.at(path)), mode);
  }
  assertEquals(await modeOf(project.at(OLD)), 0o755);
  assertEquals(await project.names("shared"), [
    "config.toml",
    "index.ts",
    "manifest.json",
  ]);
  const text = (path: string) => Deno.readTextFile(project.at(path));
  assertEquals(
    await text("shared/config.toml"),
    'project_id = "own"\n\n[functions.old]\na = 1\n',
  );
  assertEquals(await text("shared/index.ts"), next);
  assertEquals(await text(OLD), next);
  assertEquals(
    JSON.parse(await text("shared/manifest.json")).version,
    TEMPLATE.version,
  );
});
