/** `npx edge-ai-jobs init` and `upgrade` in an existing project: the packed package, run by the installed Node. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { dirname, join } from "@std/path";
import { z } from "zod";
import { createAiJobs } from "../../client/mod.ts";
import {
  OWN_IMPORT_MAPS,
  OWN_MEDIA,
  OWN_SHARED,
} from "../_support/existing-projects.ts";
import {
  creations,
  type ProjectEnv,
  signUp,
  startProject,
  startTask,
  uploadRecording,
} from "./_support/as-an-app.ts";

const CONFIG = "supabase/config.toml";
const MANIFEST = "supabase/.edge-ai-jobs.json";

interface Answer {
  code: number;
  stdout: string;
  stderr: string;
}

async function run(cwd: string, command: string, ...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args,
    cwd,
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return {
    code,
    stdout: decoder.decode(stdout),
    stderr: decoder.decode(stderr),
  };
}

/** A folder that is removed after the test. */
async function makeFolder(): Promise<{ dir: string } & AsyncDisposable> {
  const dir = await Deno.realPath(
    await Deno.makeTempDir({ prefix: "existing-" }),
  );
  return {
    dir,
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

/** Packs the package as `npm publish` would, and unpacks it: the folder that npx would run it in. */
async function packPackage(dir: string): Promise<string> {
  const built = join(dir, "built");
  const { success } = await startTask(["build:client", "--out", built], {
    stdout: "null",
  }).status;
  assert(success, "the package is built");
  const { stdout } = await run(dir, "npm", "pack", "--json", built);
  const [{ filename }] = z.tuple([z.object({ filename: z.string() })])
    .parse(JSON.parse(stdout));
  const { code, stderr } = await run(dir, "tar", "-xzf", filename);
  assertEquals(code, 0, stderr);
  return join(dir, "package");
}

/** Runs a command line that begins with npx and the name of the package, by the program that its `bin` names. */
async function edgeAiJobs(
  packageDir: string,
  cwd: string,
  command: string,
): Promise<Answer> {
  const { bin } = z.object({ bin: z.record(z.string(), z.string()) }).parse(
    JSON.parse(await Deno.readTextFile(join(packageDir, "package.json"))),
  );
  return await run(
    cwd,
    "node",
    join(packageDir, bin["edge-ai-jobs"] ?? ""),
    ...command.split(" ").slice(2),
  );
}

async function makeProject(
  parent: string,
  name: string,
  files: ReadonlyMap<string, string>,
): Promise<string> {
  for (const [path, text] of files) await write(join(parent, name), path, text);
  return join(parent, name);
}

async function write(dir: string, path: string, text: string): Promise<void> {
  await Deno.mkdir(dirname(join(dir, path)), { recursive: true });
  await Deno.writeTextFile(join(dir, path), text);
}

/** All files of a folder, by path. */
async function filesOf(
  dir: string,
  folder = "",
): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for await (const { name, isDirectory } of Deno.readDir(join(dir, folder))) {
    const path = join(folder, name);
    if (isDirectory) {
      for (const [key, text] of await filesOf(dir, path)) files.set(key, text);
    } else files.set(path, await Deno.readTextFile(join(dir, path)));
  }
  return files;
}

/** Fails unless every file of `before` is unchanged; lines may have been appended to config.toml. */
async function assertKept(
  dir: string,
  before: ReadonlyMap<string, string>,
): Promise<void> {
  const after = await filesOf(dir);
  for (const [path, text] of before) {
    if (path === CONFIG) assert(after.get(path)?.startsWith(text), path);
    else assertEquals(after.get(path), text, path);
  }
}

/** Clones a voice in the project. It polls, because the Realtime client leaves timers when it disconnects. */
async function cloneVoice(env: ProjectEnv): Promise<void> {
  const user = await signUp(env);
  const jobs = createAiJobs(user.client, { live: false });
  const { input_url } = await uploadRecording(
    { ...user, jobs },
    "speech-24s.mp3",
    "audio/mpeg",
  );
  const created = await jobs.create({
    job_type: "voice_clone",
    input_url,
    metadata: { voice_name: "Grandma" },
  });
  const { result } = await created.wait({ timeoutMs: 240_000 });
  assertEquals(result.voice_name, "Grandma");
  assertEquals(
    (await creations(env)).filter(({ marker }) => marker === created.id)
      .map(({ id }) => id),
    [result.provider_voice_id],
  );
}

/** A function's response to a signed-in user, as text. */
async function ask(env: ProjectEnv, name: string): Promise<string> {
  const user = await signUp(env);
  const { data } = await user.client.auth.getSession();
  const response = await fetch(`${env.API_URL}/functions/v1/${name}`, {
    headers: {
      apikey: env.PUBLISHABLE_KEY,
      authorization: `Bearer ${data.session?.access_token}`,
    },
  });
  return await response.text();
}

Deno.test("edge-ai-jobs in an existing project", async (t) => {
  await using folder = await makeFolder();
  const packageDir = await packPackage(folder.dir);

  await t.step(
    "own media table: init names the conflicts, exits with 1 and writes nothing",
    async () => {
      const dir = await makeProject(folder.dir, "own-media", OWN_MEDIA);
      const { code, stdout, stderr } = await edgeAiJobs(
        packageDir,
        dir,
        "npx edge-ai-jobs init",
      );
      assertEquals([code, stdout], [1, ""]);
      for (
        const words of [
          "Nothing was changed.",
          "table public.media: supabase/migrations/20250301090000_media.sql",
          "bucket uploads",
          "bucket recordings",
          "function janitor",
          "config section [functions.janitor]",
        ]
      ) assertStringIncludes(stderr, words);
      assertEquals(await filesOf(dir), new Map(OWN_MEDIA));

      for (
        const [command, words] of [
          ["frob", "Unknown command frob.\n"],
          ["init extra", "Unknown argument extra.\n"],
          ["init --foo", "Unknown option '--foo'.\n"],
        ]
      ) {
        const refused = await edgeAiJobs(
          packageDir,
          dir,
          `npx edge-ai-jobs ${command}`,
        );
        assertEquals([refused.code, refused.stdout], [1, ""]);
        assertStringIncludes(refused.stderr, words ?? "");
      }
    },
  );

  await t.step(
    "own _shared: init adds, a second run does nothing, and the project runs with both",
    async () => {
      const dir = await makeProject(folder.dir, "own-shared", OWN_SHARED);
      const command = "npx edge-ai-jobs init --modules core,people";
      const dry = await edgeAiJobs(packageDir, dir, `${command} --dry-run`);
      assertEquals([dry.code, dry.stderr], [0, ""]);
      assertStringIncludes(
        dry.stdout,
        "add supabase/functions/create-ai-job/index.ts",
      );
      assertStringIncludes(dry.stdout, `append to ${CONFIG}`);
      assertEquals(await filesOf(dir), new Map(OWN_SHARED));

      const done = await edgeAiJobs(packageDir, dir, command);
      assertEquals([done.code, done.stderr], [0, ""]);
      await assertKept(dir, OWN_SHARED);
      const first = await filesOf(dir);
      const twice = await edgeAiJobs(packageDir, dir, command);
      assertEquals([twice.code, twice.stdout], [0, "Nothing to do.\n"]);
      assertEquals(await filesOf(dir), first);

      const project = await startProject(dir);
      try {
        await cloneVoice(project.env);
        assertEquals(
          await ask(project.env, "hello"),
          '{"from":"own _shared"}',
        );
        const user = await signUp(project.env);
        const { client } = user;
        const { data } = await client.from("notes").select("body");
        assertEquals(data, [{ body: "was here before" }]);
        const { error } = await client.from("vendors").select("id");
        assertEquals(error?.code, "PGRST205");
      } finally {
        await project.stop();
      }
    },
  );

  await t.step(
    "own import maps: after the Vault has its names, init adds, and every function has its own imports",
    async () => {
      const dir = await makeProject(
        folder.dir,
        "own-import-maps",
        OWN_IMPORT_MAPS,
      );
      const refused = await edgeAiJobs(
        packageDir,
        dir,
        "npx edge-ai-jobs init",
      );
      assertEquals(refused.code, 1);
      assertStringIncludes(refused.stderr, "config section [db.vault]");
      const config = (OWN_IMPORT_MAPS.get(CONFIG) ?? "").replace(
        "[db.vault]\n",
        '[db.vault]\nproject_url = "env(PROJECT_URL)"\ndispatch_secret = "env(DISPATCH_SECRET)"\n',
      );
      await write(dir, CONFIG, config);
      const dry = await edgeAiJobs(
        packageDir,
        dir,
        "npx edge-ai-jobs init --dry-run",
      );
      assertStringIncludes(dry.stdout, "_shop.sql\n");
      const done = await edgeAiJobs(packageDir, dir, "npx edge-ai-jobs init");
      assertEquals([done.code, done.stderr], [0, ""]);
      await assertKept(dir, new Map(OWN_IMPORT_MAPS).set(CONFIG, config));

      const project = await startProject(dir);
      try {
        await cloneVoice(project.env);
        for (
          const [name, answer] of [
            ["mapped", "of config.toml"],
            ["configured", "of deno.json"],
            ["fallback", "of all functions"],
          ] as const
        ) assertEquals(await ask(project.env, name), answer, name);
      } finally {
        await project.stop();
      }
    },
  );

  await t.step(
    "upgrade: replaces an unchanged file, leaves a changed one and writes the new one next to it",
    async () => {
      const dir = join(folder.dir, "own-shared");
      const unchanged = "supabase/functions/janitor/run.ts";
      const changed = "supabase/functions/janitor/handler.ts";
      const later = join(folder.dir, "later");
      assertEquals(
        (await run(folder.dir, "cp", "-r", packageDir, later)).code,
        0,
      );
      const edit = async (path: string, from: string | RegExp, to: string) =>
        await Deno.writeTextFile(
          path,
          (await Deno.readTextFile(path)).replace(from, to),
        );
      await edit(
        join(later, "package.json"),
        /"version": "[^"]+"/,
        '"version": "99.0.0"',
      );
      for (const path of [unchanged, changed]) {
        await edit(join(later, "template", path), /^/, "// 99.0.0\n");
      }
      await edit(join(dir, changed), /^/, "// mine\n");
      const before = await filesOf(dir);

      const refused = await edgeAiJobs(later, dir, "npx edge-ai-jobs init");
      assertEquals(refused.code, 1);
      assertStringIncludes(refused.stderr, "npx edge-ai-jobs upgrade");
      const dry = await edgeAiJobs(
        later,
        dir,
        "npx edge-ai-jobs@latest upgrade --dry-run",
      );
      assertStringIncludes(dry.stdout, `replace ${unchanged}\n`);
      assertStringIncludes(dry.stdout, `new version ${changed}.new\n`);
      assertEquals(await filesOf(dir), before);

      const done = await edgeAiJobs(
        later,
        dir,
        "npx edge-ai-jobs@latest upgrade",
      );
      assertEquals([done.code, done.stderr], [0, ""]);
      assertStringIncludes(
        done.stdout,
        "Push the migrations, then deploy the functions.",
      );
      assertStringIncludes(
        done.stdout,
        `${changed} was not changed: you have changed it. The new version is ${changed}.new.`,
      );
      const after = await filesOf(dir);
      for (const path of [unchanged, `${changed}.new`]) {
        assert(after.get(path)?.startsWith("// 99.0.0\n"), path);
      }
      assertEquals(after.get(changed), before.get(changed));
      const differing = [...after].filter(([path, text]) =>
        before.get(path) !== text
      ).map(([path]) => path);
      assertEquals(differing.sort(), [
        MANIFEST,
        `${changed}.new`,
        unchanged,
      ]);
      const twice = await edgeAiJobs(
        later,
        dir,
        "npx edge-ai-jobs@latest upgrade",
      );
      assertEquals([twice.code, twice.stdout], [0, "Nothing to do.\n"]);
    },
  );
});
