/** What `supabase functions deploy --use-api` would send to a hosted project, by the real CLI. */
import { assert, assertEquals } from "@std/assert";
import { dirname, fromFileUrl, join, relative, toFileUrl } from "@std/path";
import { parse as parseToml } from "@std/toml";
import { z } from "zod";
import { buildTemplate } from "../../dev/tools/build-installer.ts";
import { runSupabaseCli } from "../../dev/tools/supabase-cli.ts";
import { readSourceTree } from "../../dev/tools/source-tree.ts";
import { planInit } from "../../installer/plan.ts";
import { MODULES, templateIndexSchema } from "../../installer/template.ts";
import {
  startFakeManagementApi,
  type Upload,
} from "./_support/fake-management-api.ts";

const root = fromFileUrl(new URL("../../", import.meta.url)).replace(/\/$/, "");

const configSchema = z.object({
  functions: z.record(z.string(), z.object({ verify_jwt: z.boolean() })),
});

const graphSchema = z.object({
  modules: z.array(z.object({
    specifier: z.string(),
    error: z.string().optional(),
  })),
});

async function deploy(project: string): Promise<Upload[]> {
  await using api = await startFakeManagementApi();
  const { code, stdout, stderr } = await runSupabaseCli([
    "functions",
    "deploy",
    "--use-api",
    "--yes",
    `--remote=${api.projectRef}`,
    `--profile=${api.profile}`,
  ], { cwd: project, env: { SUPABASE_ACCESS_TOKEN: api.accessToken } });
  assertEquals(code, 0, stdout + stderr);
  assertEquals(api.unknown, []);
  const slugs = api.uploads.map(({ slug }) => slug);
  assertEquals([...api.published].sort(), [...slugs].sort());
  return api.uploads;
}

async function readConfig(project: string) {
  const text = await Deno.readTextFile(join(project, "supabase/config.toml"));
  return configSchema.parse(parseToml(text)).functions;
}

/** The files that an entrypoint needs, types included, by Deno's own module graph: relative to the project. */
async function moduleGraph(
  project: string,
  entrypoint: string,
  importMap: string,
): Promise<string[]> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "info",
      "--json",
      "--no-config",
      "--no-lock",
      `--import-map=${join(project, importMap)}`,
      join(project, entrypoint),
    ],
    cwd: project,
  }).output();
  const decoder = new TextDecoder();
  assertEquals(code, 0, decoder.decode(stderr));
  const { modules } = graphSchema.parse(JSON.parse(decoder.decode(stdout)));
  assertEquals(modules.filter(({ error }) => error !== undefined), []);
  const base = toFileUrl(project).href;
  return modules.map(({ specifier }) => specifier)
    .filter((specifier) => specifier.startsWith(`${base}/`))
    .map((specifier) => relative(project, fromFileUrl(specifier)))
    .sort();
}

/** The problems of an upload, one sentence each; empty when it is right. */
async function audit(project: string, upload: Upload): Promise<string[]> {
  const { slug, metadata, files } = upload;
  const wrong: string[] = [];
  const needed = [
    ...await moduleGraph(
      project,
      metadata.entrypoint_path,
      metadata.import_map_path,
    ),
    metadata.import_map_path,
  ];
  for (const path of needed) {
    const content = files.get(path);
    if (content === undefined) wrong.push(`${slug} lacks ${path}`);
    else if (content !== await Deno.readTextFile(join(project, path))) {
      wrong.push(`${slug} has another ${path}`);
    }
  }
  for (const path of files.keys()) {
    if (!needed.includes(path)) wrong.push(`${slug} does not need ${path}`);
    const isOurs = path.startsWith("supabase/functions/") ||
      path === "import_map.json";
    if (!isOurs || /(^|\/)\.env/.test(path)) {
      wrong.push(`${slug} must not hold ${path}`);
    }
  }
  const expected = (await readConfig(project))[slug]?.verify_jwt;
  if (metadata.verify_jwt !== expected) {
    wrong.push(`${slug} has verify_jwt ${metadata.verify_jwt}`);
  }
  return wrong;
}

async function auditAll(project: string, uploads: Upload[]): Promise<string[]> {
  return (await Promise.all(uploads.map((upload) => audit(project, upload))))
    .flat();
}

/**
 * Gives `run` a copy that it may change, of everything that a deployment reads, and some files that it must not read.
 */
async function withCopyOfProject(
  run: (project: string) => Promise<void>,
): Promise<void> {
  const project = await Deno.realPath(await Deno.makeTempDir());
  try {
    for (const { path, text } of await readSourceTree(root)) {
      if (!/^(supabase|dev\/stack)\/|^import_map\.json$/.test(path)) continue;
      await Deno.mkdir(join(project, dirname(path)), { recursive: true });
      await Deno.writeTextFile(join(project, path), text);
    }
    await run(project);
  } finally {
    await Deno.remove(project, { recursive: true });
  }
}

Deno.test("functions deploy: sends every function with exactly the files it imports and its verify_jwt", async () => {
  const uploads = await deploy(root);
  const folders: string[] = [];
  for await (
    const entry of Deno.readDir(join(root, "supabase/functions"))
  ) {
    if (entry.isDirectory && !entry.name.startsWith("_")) {
      folders.push(entry.name);
    }
  }
  assert(folders.length > 0);
  const slugs = uploads.map(({ slug }) => slug).sort();
  assertEquals(slugs, folders.sort());
  assertEquals(slugs, Object.keys(await readConfig(root)).sort());
  assertEquals(await auditAll(root, uploads), []);
});

Deno.test("functions deploy: leaves out .env files that are next to the functions", async () => {
  await withCopyOfProject(async (project) => {
    for (const folder of ["", "get-ai-job/"]) {
      await Deno.writeTextFile(
        join(project, `supabase/functions/${folder}.env`),
        "ELEVENLABS_API_KEY=not-to-be-sent\n",
      );
    }
    const uploads = await deploy(project);
    assertEquals(await auditAll(project, uploads), []);
    for (const { files } of uploads) {
      for (const text of files.values()) {
        assert(!text.includes("not-to-be-sent"));
      }
    }
  });
});

Deno.test("functions deploy: the audit notices a function that imports from dev/", async () => {
  await withCopyOfProject(async (project) => {
    const index = join(project, "supabase/functions/get-ai-job/index.ts");
    await Deno.writeTextFile(
      index,
      `import "../../../dev/stack/console/stack-error.ts";\n${await Deno
        .readTextFile(
          index,
        )}`,
    );
    assertEquals(await auditAll(project, await deploy(project)), [
      "get-ai-job must not hold dev/stack/console/stack-error.ts",
    ]);
  });
});

Deno.test("functions deploy: the audit notices a file that the CLI does not find, and a changed verify_jwt", async () => {
  await withCopyOfProject(async (project) => {
    const folder = join(project, "supabase/functions/get-ai-job");
    await Deno.writeTextFile(join(folder, "late.ts"), "export {};\n");
    await Deno.writeTextFile(
      join(folder, "index.ts"),
      `${await Deno.readTextFile(
        join(folder, "index.ts"),
      )}\nawait import(\`./late.ts\`);\n`,
    );
    const uploads = await deploy(project);
    const config = join(project, "supabase/config.toml");
    await Deno.writeTextFile(
      config,
      (await Deno.readTextFile(config)).replace(
        "[functions.process-ai-job]\nverify_jwt = false",
        "[functions.process-ai-job]\nverify_jwt = true",
      ),
    );
    assertEquals(await auditAll(project, uploads), [
      "get-ai-job lacks supabase/functions/get-ai-job/late.ts",
      "process-ai-job has verify_jwt false",
    ]);
  });
});

Deno.test("functions deploy: after init in another project, sends every function, its files and verify_jwt", async () => {
  const project = await Deno.realPath(await Deno.makeTempDir());
  try {
    const built = await buildTemplate();
    const index = templateIndexSchema.parse(
      JSON.parse(built.get("index.json") ?? ""),
    );
    const template = {
      version: "1.0.0",
      files: index.files.map((file) => ({
        ...file,
        text: built.get(file.path) ?? "",
      })),
      sections: index.sections,
    };
    const config = new Map([["supabase/config.toml", 'project_id = "own"\n']]);
    const plan = planInit(
      template,
      { paths: new Set(config.keys()), texts: config },
      MODULES,
    );
    for (const step of plan.steps) {
      if (step.action === "remove") continue;
      await Deno.mkdir(join(project, dirname(step.path)), { recursive: true });
      await Deno.writeTextFile(join(project, step.path), step.text);
    }
    const uploads = await deploy(project);
    assertEquals(
      uploads.map(({ slug }) => slug).sort(),
      Object.keys(await readConfig(root)).sort(),
    );
    assertEquals(await readConfig(project), await readConfig(root));
    assertEquals(await auditAll(project, uploads), []);
  } finally {
    await Deno.remove(project, { recursive: true });
  }
});
