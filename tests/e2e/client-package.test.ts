/** The npm package of the client, as an app gets it: packed, installed by npm in an empty project, run by Node 22. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { z } from "zod";
import { hasNpx } from "../_support/as-written.ts";
import { pathWithNode22 } from "../_support/node-22.ts";
import { startTask, useProject } from "./_support/as-an-app.ts";

const repository = fromFileUrl(new URL("../../", import.meta.url));
const recording = join(repository, "tests/fixtures/recordings/speech-24s.mp3");
const portrait = join(
  repository,
  "tests/fixtures/photos/quarters-orientation-6.jpg",
);

const project = useProject();

/** An app's own project, in a temporary folder. */
interface App {
  dir: string;
  /** The content of the package, as npm lists it. */
  packed: string[];
  run(command: string, ...args: string[]): Promise<string>;
}

const packSchema = z.tuple([z.object({
  filename: z.string(),
  files: z.array(z.object({ path: z.string() })),
})]);

/** Builds and packs the package, and installs it with the newest versions that an app would use. */
async function makeApp(): Promise<App & AsyncDisposable> {
  const dir = await Deno.makeTempDir({ prefix: "app-" });
  const PATH = await pathWithNode22();
  const run = async (command: string, ...args: string[]) => {
    const { API_URL, PUBLISHABLE_KEY } = project();
    const { success, stdout, stderr } = await new Deno.Command(command, {
      args,
      cwd: dir,
      env: { PATH, API_URL, PUBLISHABLE_KEY, npm_config_fund: "false" },
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    const printed = decoder.decode(stdout);
    assert(
      success,
      `${command} ${args.join(" ")}: ${printed}${decoder.decode(stderr)}`,
    );
    return printed;
  };
  const built = join(dir, "built");
  const { success } = await startTask(["build:client", "--out", built], {
    stdout: "null",
  }).status;
  assert(success, "the package is built");
  const [{ filename, files }] = packSchema.parse(
    JSON.parse(await run("npm", "pack", "--json", built)),
  );
  await Deno.writeTextFile(
    join(dir, "package.json"),
    JSON.stringify({ private: true, type: "module" }),
  );
  await run(
    "npm",
    "install",
    "--no-audit",
    "--ignore-scripts",
    `./${filename}`,
    "@supabase/supabase-js@2.119.1",
    "typescript@5.9.3",
    "@types/node@22.19.3",
  );
  return {
    dir,
    packed: files.map(({ path }) => path),
    run,
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

/** The objects that a program printed, one per line. */
function lines(printed: string): Record<string, unknown>[] {
  return printed.trimEnd().split("\n").map((line) =>
    z.record(z.string(), z.unknown()).parse(JSON.parse(line))
  );
}

const seenSchema = z.object({ id: z.string(), seen: z.array(z.string()) });
const twoUsersSchema = z.object({
  ann: seenSchema,
  bob: seenSchema,
  refusal: z.string(),
});

Deno.test({
  name:
    "client package: in a new Node 22 project types check, all job types run, users see only their events",
  ignore: !hasNpx,
  async fn(t) {
    await using app = await makeApp();
    for (
      const [from, name] of [
        ["examples/every-job.ts", "every-job.ts"],
        ["tests/fixtures/client-package/types.ts", "types.ts"],
        ["tests/fixtures/client-package/own-type.ts", "own-type.ts"],
        ["tests/fixtures/client-package/two-users.ts", "two-users.ts"],
      ] as const
    ) await Deno.copyFile(join(repository, from), join(app.dir, name));

    await t.step(
      "it has code, types, README, licence and the installer with its template, and nothing else",
      () => {
        const others = app.packed.filter((path) =>
          !/^([\w-]+\.(js|d\.ts)$|template\/)/.test(path)
        );
        assertEquals(others.sort(), [
          "LICENSE",
          "README.md",
          "bin/edge-ai-jobs.js",
          "package.json",
        ]);
        for (const path of ["mod.js", "mod.d.ts", "react.js", "react.d.ts"]) {
          assert(app.packed.includes(path), path);
        }
      },
    );

    await t.step("it installs no other package, not even React", async () => {
      const installed: string[] = [];
      for await (
        const { name } of Deno.readDir(join(app.dir, "node_modules"))
      ) {
        installed.push(name);
      }
      assert(installed.includes("edge-ai-jobs"));
      assert(!installed.includes("react"));
    });

    // The first run checks the package's declarations, with the stricter rules for imports; TypeScript's own need no
    // check. In the second one only the app's files remain: what it resolves and infers.
    for (
      const [module, moduleResolution, skipped] of [
        ["nodenext", "nodenext", "--skipDefaultLibCheck"],
        ["esnext", "bundler", "--skipLibCheck"],
      ] as const
    ) {
      await t.step(
        `tsc --strict accepts its types, with module resolution ${moduleResolution}`,
        async () => {
          await app.run(
            "node_modules/.bin/tsc",
            "--strict",
            "--noEmit",
            skipped,
            "--target",
            "es2022",
            "--lib",
            "es2022,dom,dom.iterable",
            "--types",
            "node",
            "--module",
            module,
            "--moduleResolution",
            moduleResolution,
            "every-job.ts",
            "types.ts",
            "own-type.ts",
            "two-users.ts",
          );
        },
      );
    }

    await t.step("every job type runs to its typed result", async () => {
      const version = await app.run("node", "--version");
      assertMatch(version, /^v22\./);
      const printed = lines(
        await app.run("node", "every-job.ts", recording, portrait),
      );
      const results = printed.find((line) => "voice_clone" in line);
      assert(results !== undefined);
      assertEquals(
        [results["voice_clone"], results["avatar_video"]],
        ["Grandma", "d-id"],
      );
      // The tests of keepsakes check the number of pages.
      for (const type of ["text_to_speech", "transcription", "pdf_render"]) {
        assert(Number(results[type]) > 0, type);
      }
      const files = printed.filter((line) => "size" in line);
      assertEquals(files.map(({ type }) => type), [
        "audio/mpeg",
        "video/mp4",
        "application/pdf",
      ]);
      assert(files.every(({ size }) => Number(size) > 1000));
      assert(printed.some(({ stage }) => typeof stage === "string"));
    });

    await t.step(
      "two users in one process see only their own events",
      async () => {
        const { ann, bob, refusal } = twoUsersSchema.parse(
          JSON.parse(await app.run("node", "two-users.ts", recording)),
        );
        assert(ann.id !== bob.id);
        assertEquals(refusal, "not_found");
        for (const { id, seen } of [ann, bob]) {
          assert(seen.length > 2);
          assertEquals(
            seen.map((line) => line.split(" ").slice(0, 2).join(" ")),
            seen.map((_, index) => `${id} ${index + 1}`),
          );
          assert(seen.some((line) => line.endsWith(" live")), seen.join());
        }
      },
    );
  },
});
