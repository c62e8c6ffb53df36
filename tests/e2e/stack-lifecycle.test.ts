import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { descendants, listProcesses } from "../_support/processes.ts";
import { footprint } from "../_support/stack-footprint.ts";
import { clientOf, dataOf, newPerson } from "../_support/stack-people.ts";
import {
  answersOn,
  fixtureFiles,
  makeProject,
  StackDidNotStart,
  startChild,
  until,
} from "../_support/stack-fixture.ts";

const repository = fromFileUrl(new URL("../../", import.meta.url));

/** Starts a stack that must fail, and returns its exit code and output. Checks that it left nothing behind. */
async function failure(
  projectDir: string,
  args: string[] = ["--ephemeral"],
): Promise<StackDidNotStart> {
  const error = await assertRejects(
    () => startChild(projectDir, args),
    StackDidNotStart,
  );
  assertEquals(error.code, 1);
  assertEquals(error.stdout, "");
  const left = (await listProcesses()).filter(({ command }) =>
    command.includes(projectDir)
  );
  assertEquals(left, [], "a process is left");
  return error;
}

Deno.test("start: the env file is written when all services respond, and only its owner can read it", async () => {
  await using project = await makeProject();
  const envFile = join(project.dir, "new.env");
  await using stack = await startChild(project.dir, ["--ephemeral"], {
    simulators: true,
    page: true,
    envFile,
  });
  assertEquals(((await Deno.stat(envFile)).mode ?? 0) & 0o777, 0o600);
  const { env } = stack;
  const ann = await newPerson(env, "ann");
  await dataOf(ann.client.from("notes").select());
  await dataOf(ann.client.storage.from("private").list(ann.id));
  await dataOf(ann.client.functions.invoke("hello"));
  const simulated = await fetch(`${env.SIMULATOR_URL}/_control/ledger`);
  await simulated.body?.cancel();
  assertEquals(simulated.status, 200);
  const output = stack.output();
  for (
    const shown of [
      env.API_URL,
      env.DB_URL,
      env.PUBLISHABLE_KEY,
      env.SECRET_KEY,
      env.SIMULATOR_URL,
      "hello, hook",
    ]
  ) {
    assertStringIncludes(output, shown);
  }
  assertMatch(output, /ElevenLabs\s+simulated/);
});

Deno.test("start: an existing env file keeps its mode and foreign lines, and changes when all services respond", async (t) => {
  const path = "stack.env";
  const before =
    "# of the app\nSTRIPE_KEY=sk_live_1\nexport API_URL='http://old' # local\nLAST=\"two\nlines\"";
  const written = async (dir: string) => {
    const file = join(dir, path);
    await Deno.writeTextFile(file, before);
    await Deno.chmod(file, 0o640);
    return file;
  };
  await t.step("a failed start does not change it", async () => {
    await using project = await makeProject({
      "supabase/migrations/20260102000000_broken.sql": "select 1/0;\n",
    });
    const envFile = await written(project.dir);
    await assertRejects(
      () => startChild(project.dir, ["--ephemeral"], { envFile }),
      StackDidNotStart,
    );
    assertEquals(await Deno.readTextFile(envFile), before);
  });
  await t.step("a successful start changes it", async () => {
    await using project = await makeProject();
    const envFile = await written(project.dir);
    await using stack = await startChild(project.dir, ["--ephemeral"], {
      envFile,
    });
    const { API_URL: _, ...appended } = stack.env;
    const [, url] = /API_URL='(.*)' # local/.exec(
      await Deno.readTextFile(envFile),
    ) ?? [];
    assertEquals(await answersOn(url ?? ""), true);
    assertEquals(
      await Deno.readTextFile(envFile),
      before.replace("http://old", url ?? "") + "\n" +
        Object.entries(appended).map(([name, value]) => `${name}=${value}\n`)
          .join(""),
    );
    assertEquals(((await Deno.stat(envFile)).mode ?? 0) & 0o777, 0o640);
  });
});

Deno.test("start: an env file that cannot be written is one message, and nothing starts", async () => {
  await using project = await makeProject();
  const data = join(project.dir, "data");
  for (
    const [envFile, reason] of [
      [project.dir, "it is a directory"],
      [join(project.dir, "none/.env"), "its folder does not exist"],
    ] as const
  ) {
    const error = await failure(project.dir, [
      "--data",
      data,
      "--write-env",
      envFile,
    ]);
    assertEquals(
      [error.code, error.stdout, error.stderr],
      [1, "", `The env file ${envFile} cannot be written: ${reason}.\n`],
    );
    await assertRejects(() => Deno.lstat(data), Deno.errors.NotFound);
  }
});

Deno.test("stop: SIGTERM and SIGINT end the stack with code 0 and leave no process, port or folder", async (t) => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    await t.step(signal, async () => {
      await using project = await makeProject();
      await using stack = await startChild(project.dir, ["--ephemeral"], {
        simulators: true,
        page: true,
      });
      const left = await footprint(stack);
      assert(left.pids.length > 6, "the stack runs several processes");
      stack.kill(signal);
      assertEquals(await stack.exited, 0);
      assert(await left.isGone());
    });
  }
});

Deno.test("crash: SIGKILL of the stack leaves no process, no port and no folder", async () => {
  await using project = await makeProject();
  await using stack = await startChild(project.dir, ["--ephemeral"], {
    simulators: true,
    page: true,
  });
  await newPerson(stack.env, "ann");
  const left = await footprint(stack);
  stack.kill("SIGKILL");
  await stack.exited;
  await until("everything is gone", () => left.isGone());
});

Deno.test("crash: SIGKILL of `deno task` around the stack ends the stack too", async () => {
  await using project = await makeProject();
  const envFile = join(project.dir, "task.env");
  const task = new Deno.Command(Deno.execPath(), {
    args: [
      "task",
      "start",
      "--ephemeral",
      "--no-simulators",
      "--project",
      project.dir,
      "--write-env",
      envFile,
    ],
    cwd: repository,
    stdout: "null",
    stderr: "null",
  }).spawn();
  await until(
    "the stack is ready",
    () => Deno.stat(envFile).then(() => true, () => false),
  );
  const [, url] = /API_URL=(.*)/.exec(await Deno.readTextFile(envFile)) ?? [];
  const left = await footprint({ pid: task.pid, env: { API_URL: url ?? "" } });
  assert(left.pids.length > 4);
  task.kill("SIGKILL");
  await task.status;
  await until("everything is gone", () => left.isGone());
});

Deno.test("crash: a stack that loses its Postgres reports it and ends with code 1", async () => {
  await using project = await makeProject();
  await using stack = await startChild(project.dir, ["--ephemeral"]);
  const left = await footprint(stack);
  const server = (await descendants(stack.pid)).find(({ command }) =>
    /^\S+\/bin\/postgres -D/.test(command)
  );
  Deno.kill(server?.pid ?? 0, "SIGKILL");
  assertEquals(await stack.exited, 1);
  assertStringIncludes(stack.output(), "Postgres ended unexpectedly");
  await until("everything is gone", () => left.isGone());
});

Deno.test("side by side: two stacks have separate ports, keys and users", async () => {
  await using project = await makeProject();
  await using one = await startChild(project.dir, [
    "--data",
    join(project.dir, "one"),
  ]);
  await using two = await startChild(project.dir, [
    "--data",
    join(project.dir, "two"),
  ]);
  assertNotEquals(one.env.API_URL, two.env.API_URL);
  assertNotEquals(one.env.SECRET_KEY, two.env.SECRET_KEY);
  const ann = await newPerson(one.env, "ann");
  const { error } = await clientOf(two.env).auth.signInWithPassword(ann);
  assertEquals(error?.code, "invalid_credentials");
  const response = await fetch(`${two.env.API_URL}/functions/v1/hello`, {
    headers: { authorization: `Bearer ${ann.token}` },
  });
  await response.body?.cancel();
  assertEquals(
    response.status,
    401,
    "a token of the other stack is refused",
  );
});

Deno.test("data: users, rows, files and keys survive a restart and a crash", async () => {
  await using project = await makeProject();
  const args = ["--data", join(project.dir, "data")];
  let ann: Awaited<ReturnType<typeof newPerson>>;
  let keys: string[];
  {
    await using stack = await startChild(project.dir, args);
    ann = await newPerson(stack.env, "ann");
    keys = [stack.env.PUBLISHABLE_KEY, stack.env.SECRET_KEY];
    await dataOf(ann.client.from("notes").insert({ text: "kept" }).select());
    await dataOf(
      ann.client.storage.from("private").upload(
        `${ann.id}/kept.txt`,
        new Blob(["kept"], { type: "text/plain" }),
      ),
    );
    stack.kill("SIGKILL");
    await stack.exited;
  }
  for (const round of ["after a crash", "after a stop"]) {
    await using stack = await startChild(project.dir, args);
    assertEquals(
      [stack.env.PUBLISHABLE_KEY, stack.env.SECRET_KEY],
      keys,
      round,
    );
    const client = clientOf(stack.env);
    assertEquals((await client.auth.signInWithPassword(ann)).error, null);
    assertEquals(await dataOf(client.from("notes").select("text")), [{
      text: "kept",
    }]);
    const file = await dataOf(
      client.storage.from("private").download(`${ann.id}/kept.txt`),
    );
    assertEquals(await file.text(), "kept");
  }
});

Deno.test("data: an ephemeral stack starts empty every time", async () => {
  await using project = await makeProject();
  let ann: Awaited<ReturnType<typeof newPerson>>;
  {
    await using stack = await startChild(project.dir, ["--ephemeral"]);
    ann = await newPerson(stack.env, "ann");
  }
  await using stack = await startChild(project.dir, ["--ephemeral"]);
  const { error } = await clientOf(stack.env).auth.signInWithPassword(ann);
  assertEquals(error?.code, "invalid_credentials");
  const names: string[] = [];
  for await (const { name } of Deno.readDir(project.dir)) names.push(name);
  assertEquals(names, ["supabase"]);
});

Deno.test("data: a folder in use by a running stack, or of another version, is refused", async () => {
  await using project = await makeProject();
  const data = join(project.dir, "data");
  {
    await using stack = await startChild(project.dir, ["--data", data]);
    const error = await assertRejects(
      () => startChild(project.dir, ["--data", data]),
      StackDidNotStart,
    );
    assertEquals(error.code, 1);
    assertMatch(
      error.stderr,
      new RegExp(
        `^The data folder ${data} is in use by another stack \\(process ${stack.pid}, ${stack.env.API_URL}\\)\\. Stop it with \`.* task stop --data ${data}\`, or choose another folder with --data\\.\n$`,
      ),
    );
    await newPerson(stack.env, "ann");
  }
  const file = join(data, "postgres.json");
  await Deno.writeTextFile(
    file,
    JSON.stringify({
      ...JSON.parse(await Deno.readTextFile(file)),
      bootstrap: "000000000000",
    }),
  );
  const error = await failure(project.dir, ["--data", data]);
  assertStringIncludes(
    error.stderr,
    "was made by another version of the embedded stack",
  );
});

Deno.test("data: a folder that cannot be written is reported in one message", async () => {
  await using project = await makeProject();
  const error = await failure(project.dir, [
    "--data",
    join(project.dir, "supabase/config.toml/data"),
  ]);
  assertMatch(error.stderr, /^The data folder .* cannot be used: .*\n$/);
});

Deno.test("port: a port in use is named, and the program that uses it is not disturbed", async () => {
  await using project = await makeProject();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const error = await failure(project.dir, [
    "--ephemeral",
    "--port",
    String(port),
  ]);
  assertMatch(
    error.stderr,
    new RegExp(
      `^Port ${port} is in use by process ${Deno.pid} \\(.*\\)\\. Stop it, or choose another port with --port\\.\n$`,
    ),
  );
});

// tests/database/migration-errors.test.ts tests the messages.
Deno.test("migration: an error ends the start, a fix is applied, and a later change is reported", async () => {
  const name = "20260102000000_second.sql";
  const file = `supabase/migrations/${name}`;
  await using project = await makeProject({
    [file]: "create table public.half (id int);\nselect 1/0;\n",
  });
  const write = (text: string) =>
    Deno.writeTextFile(join(project.dir, file), text);
  const args = ["--data", join(project.dir, "data")];
  const error = await failure(project.dir, args);
  assertMatch(
    error.stderr,
    new RegExp(
      `^Migration ${name} failed at line 2: division by zero \\(22012\\)\n`,
    ),
  );

  const fixed =
    "create table public.half (id int, whole text);\ngrant select on public.half to anon;\n";
  await write(fixed);
  {
    await using stack = await startChild(project.dir, args);
    assertEquals(
      await dataOf(clientOf(stack.env).from("half").select("whole")),
      [],
    );
  }

  await write(fixed.replace("whole text", "whole int"));
  await using stack = await startChild(project.dir, args);
  assertStringIncludes(
    stack.output(),
    `${name} was changed after it was applied`,
  );
});

Deno.test("function: one that does not boot is named, with its output", async (t) => {
  const cases: [string, string, RegExp][] = [
    [
      "throws",
      "throw new Error('no key in the environment');\n",
      /^Function hello did not start \(code 1\)\. Its output:\n[\s\S]*no key in the environment/,
    ],
    [
      "does not parse",
      "export default {",
      /^Function hello cannot be loaded\. Its output:\n[\s\S]*Unexpected token/,
    ],
    [
      "imports a missing file",
      "import './missing.ts';\n",
      /^Function hello cannot be loaded\. Its output:\n[\s\S]*missing\.ts/,
    ],
    [
      "ends",
      "Deno.exit(7);\n",
      /^Function hello did not start \(code 7\)\. Its output:\n\(nothing\)/,
    ],
    [
      "serves nothing",
      "console.log('only a script');\n",
      /^Function hello did not start \(code 1\)\. Its output:\nonly a script\n[\s\S]*serves nothing/,
    ],
  ];
  for (const [name, text, expected] of cases) {
    await t.step(name, async () => {
      await using project = await makeProject({
        "supabase/functions/hello/index.ts": text,
      });
      assertMatch((await failure(project.dir)).stderr, expected);
    });
  }
  await t.step("has no file", async () => {
    const config = `${
      fixtureFiles["supabase/config.toml"]
    }\n[functions.ghost]\n`;
    await using project = await makeProject({ "supabase/config.toml": config });
    assertMatch(
      (await failure(project.dir)).stderr,
      /^Function ghost of supabase\/config\.toml has no file .*ghost\/index\.ts\.\n$/,
    );
  });
});

Deno.test("arguments: unknown ones are named, with the usage", async () => {
  await using project = await makeProject();
  for (
    const [args, message] of [
      [["--ephemral"], "Unknown argument --ephemral."],
      [["now"], "Unknown argument now."],
      [["--port", "70000"], "--port needs a number from 0 to 65535."],
      [["--port", "x"], "--port needs a number from 0 to 65535."],
      [["--host", "all"], "--host needs an IPv4 address of this machine"],
      [["--data"], "--data needs a value."],
      [
        ["--ephemeral", "--data", "x"],
        "--ephemeral and --data exclude each other.",
      ],
    ] satisfies [string[], string][]
  ) {
    const { stderr } = await failure(project.dir, args);
    assert(stderr.startsWith(message), stderr);
    assertStringIncludes(stderr, "Usage: deno task start");
  }
  const config = await makeProject({
    "supabase/config.toml": '[functions.hello]\nverify_jwt = "yes"\n',
  });
  assertStringIncludes(
    (await failure(config.dir)).stderr,
    "functions.hello.verify_jwt",
  );
  await config[Symbol.asyncDispose]();
  // A path that only this run uses, because other programs may have any other in their commands.
  const nowhere = join(project.dir, "nowhere");
  assertMatch((await failure(nowhere)).stderr, /is not a Supabase project/);
});

Deno.test("side by side: two stacks that start at the same time on an empty cache both become ready", async () => {
  await using project = await makeProject();
  const cache = join(project.dir, "cache");
  await Deno.mkdir(cache);
  const start = () =>
    startChild(project.dir, ["--ephemeral"], {
      env: { EDGE_AI_JOBS_CACHE: cache },
    });
  const [one, two] = await Promise.all([start(), start()]);
  await using _one = one;
  await using _two = two;
  await newPerson(one.env, "ann");
  await newPerson(two.env, "bob");
  const names: string[] = [];
  for await (const { name } of Deno.readDir(cache)) {
    names.push(name.replace(/-.*/, ""));
  }
  assertEquals(names.sort(), ["cluster", "postgres"]);
});

Deno.test({
  name:
    "root: a data folder that the server's user cannot reach works, and permissions stay",
  ignore: Deno.uid() !== 0,
  async fn() {
    await using project = await makeProject();
    await Deno.chmod(project.dir, 0o700);
    const data = join(project.dir, "data");
    let ann: Awaited<ReturnType<typeof newPerson>>;
    {
      await using stack = await startChild(project.dir, ["--data", data]);
      ann = await newPerson(stack.env, "ann");
    }
    {
      await using stack = await startChild(project.dir, ["--data", data]);
      const signedIn = await clientOf(stack.env).auth.signInWithPassword(ann);
      assertEquals(signedIn.error, null);
    }
    assertEquals(((await Deno.stat(project.dir)).mode ?? 0) & 0o777, 0o700);
    const cluster = await Deno.readLink(join(data, "postgres"));
    // While the folder is somewhere else, another start reports its database and keeps it.
    await Deno.rename(data, `${data}-moved`);
    {
      await using stack = await startChild(project.dir, ["--data", data]);
      await until(
        "the notice",
        () => stack.output().includes(`${cluster} has the database of ${data}`),
      );
    }
    const second = await Deno.readLink(join(data, "postgres"));
    await Deno.remove(second, { recursive: true });
    await Deno.remove(data, { recursive: true });
    await Deno.rename(`${data}-moved`, data);
    await Deno.stat(join(cluster, "data", "PG_VERSION"));
    await Deno.remove(cluster, { recursive: true });
    const error = await failure(project.dir, ["--data", data]);
    assertStringIncludes(
      error.stderr,
      `was kept in ${cluster}, which does not exist any more`,
    );
  },
});

Deno.test("proxy: the services connect to each other directly although the environment names a proxy", async () => {
  await using project = await makeProject();
  await using stack = await startChild(project.dir, ["--ephemeral"], {
    env: {
      HTTP_PROXY: "http://127.0.0.1:9",
      HTTPS_PROXY: "http://127.0.0.1:9",
    },
  });
  const response = await fetch(`${stack.env.API_URL}/functions/v1/hook`);
  assertEquals([response.status, (await response.json()).body], [200, ""]);
});
