import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import {
  defaultDataDir,
  openDataFolder,
  readHolder,
  stopStackOf,
  taskCommand,
} from "../../../../dev/stack/process/data-folder.ts";
import { StackError } from "../../../../dev/stack/console/stack-error.ts";

const source = new URL(
  "../../../../dev/stack/process/data-folder.ts",
  import.meta.url,
);
const repository = fromFileUrl(new URL("../../../../", import.meta.url));

async function folder(): Promise<{ dir: string } & AsyncDisposable> {
  const dir = await Deno.makeTempDir({ prefix: "data-folder-" });
  return {
    dir,
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

/** A process that holds a data folder, and runs `onTerm` at SIGTERM. */
async function startHolder(dir: string, onTerm: string) {
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      `const { openDataFolder } = await import("${source}");
       const folder = await openDataFolder("${dir}");
       await folder.announce("http://127.0.0.1:1");
       Deno.addSignalListener("SIGTERM", () => { ${onTerm} });
       console.log("ready");
       await new Promise(() => {});`,
    ],
    cwd: repository,
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const reader = process.stdout.getReader();
  await reader.read();
  await reader.cancel();
  return process;
}

const longGrace = { timeoutMs: 60_000, onFound() {} };

Deno.test("data folder: while it is locked, it names the process and its addresses", async () => {
  await using made = await folder();
  {
    using own = await openDataFolder(made.dir);
    assertEquals((await readHolder(made.dir))?.apiUrl, undefined);
    await own.announce("http://127.0.0.1:54321");
    const { pid, apiUrl } = await readHolder(made.dir) ?? {};
    assertEquals([pid, apiUrl], [Deno.pid, "http://127.0.0.1:54321"]);
    const error = await assertRejects(
      () => openDataFolder(made.dir),
      StackError,
    );
    assertMatch(
      error.message,
      new RegExp(
        `is in use by another stack \\(process ${Deno.pid}, http://127\\.0\\.0\\.1:54321\\)\\. Stop it with \`.* task stop --data ${made.dir}\`, or`,
      ),
    );
  }
  assertEquals(await stopStackOf(made.dir, longGrace), "was not running");
});

Deno.test("data folder: Git ignores it, unless it has a .gitignore", async () => {
  await using made = await folder();
  const ignored = join(made.dir, ".data", "stack", ".gitignore");
  for (const expected of ["*\n", "keys.json\n"]) {
    using _ = await openDataFolder(join(made.dir, ".data", "stack"));
    assertEquals(await Deno.readTextFile(ignored), expected);
    await Deno.writeTextFile(ignored, "keys.json\n");
  }
  const shared = join(made.dir, "shared");
  await Deno.mkdir(shared);
  await Deno.writeTextFile(join(shared, "notes.txt"), "");
  using _ = await openDataFolder(shared);
  const names = await Array.fromAsync(Deno.readDir(shared), ({ name }) => name);
  assert(!names.includes(".gitignore"), "its other files stay visible");
});

Deno.test("stop: a process that holds the folder itself gets an error, not a signal", async () => {
  await using made = await folder();
  using _ = await openDataFolder(made.dir);
  await assertRejects(
    () => stopStackOf(made.dir, longGrace),
    StackError,
    "is in use by this process",
  );
});

Deno.test("data folder: the lock of an earlier process with the same id is ignored", async () => {
  await using made = await folder();
  await Deno.writeTextFile(
    join(made.dir, "lock"),
    JSON.stringify({ pid: Deno.pid, started: "another time" }),
  );
  assertEquals(await readHolder(made.dir), undefined);
  await Deno.writeTextFile(join(made.dir, "lock"), "no JSON");
  assertEquals(await readHolder(made.dir), undefined);
});

Deno.test("stop: the process that holds the folder gets a signal, and has ended when it resolves", async () => {
  await using made = await folder();
  const holder = await startHolder(made.dir, "Deno.exit(7)");
  const found: number[] = [];
  const stopped = await stopStackOf(made.dir, {
    ...longGrace,
    onFound: ({ pid }) => found.push(pid),
  });
  assertEquals([stopped, found], ["stopped", [holder.pid]]);
  assertEquals((await holder.status).code, 7);
  using _ = await openDataFolder(made.dir);
});

Deno.test("stop: a process that does not end is killed", async () => {
  await using made = await folder();
  const holder = await startHolder(made.dir, "");
  assertEquals(
    await stopStackOf(made.dir, { ...longGrace, timeoutMs: 0 }),
    "killed",
  );
  assertEquals((await holder.status).signal, "SIGKILL");
});

Deno.test("stop: a missing folder, or one without a stack, is not changed", async () => {
  await using made = await folder();
  for (const dir of [made.dir, join(made.dir, "none"), "/dev/null/none"]) {
    assertEquals(await stopStackOf(dir, longGrace), "was not running");
  }
  assertEquals(await Array.fromAsync(Deno.readDir(made.dir)), []);
});

Deno.test("stop: the suggested command names the folder, unless it is the default one", () => {
  assertMatch(taskCommand("stop", defaultDataDir()), / task stop$/);
  assertMatch(taskCommand("stop", "/a/b"), / task stop --data \/a\/b$/);
  assertMatch(taskCommand("stop", "/a/it's b"), / --data '\/a\/it'\\''s b'$/);
});
