/** How a stack that was started as in the README ends: with its parent process, by Ctrl-C, and by `deno task stop`. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { parse } from "dotenv";
import {
  hasNpx,
  runAsWritten,
  signalGroup,
  startAsWritten,
} from "../_support/as-written.ts";
import { repository } from "../_support/documented-commands.ts";
import {
  alive,
  descendants,
  listProcesses,
  type ProcessInfo,
} from "../_support/processes.ts";
import { answersOn, makeProject, until } from "../_support/stack-fixture.ts";
import { footprint } from "../_support/stack-footprint.ts";

/** The command of the README, with a small project and a free port. */
async function startThroughNpx(dir: string, more: string) {
  const envFile = join(dir, "stack.env");
  const process = startAsWritten(
    `npx -y deno@2.9.6 task --quiet start --port 0 --no-simulators --project '${dir}' --write-env '${envFile}' ${more}`,
    { cwd: repository, stdout: "piped", stderr: "piped" },
  );
  const output = { stdout: "", stderr: "" };
  const read = async (name: "stdout" | "stderr") => {
    const text = process[name].pipeThrough(new TextDecoderStream());
    for await (const part of text) output[name] += part;
  };
  const isRead = Promise.all([read("stdout"), read("stderr")]);
  await until(
    "the stack is ready",
    () => Deno.stat(envFile).then(() => true, () => false),
    120,
  );
  // The file is written before the addresses are printed.
  await until(
    "the last line is printed",
    () => /Ctrl-C [^]*\n$/.test(output.stdout),
    120,
  );
  const { API_URL = "" } = parse(await Deno.readTextFile(envFile));
  await Deno.remove(envFile);
  return { process, url: API_URL, output, isRead };
}

/** A project whose functions return empty responses. */
const makeQuietProject = () =>
  makeProject({
    "supabase/functions/hook/index.ts":
      "export default { fetch: () => new Response() };\n",
  });

/** The processes from the stack up to the process `top`, the stack first. */
async function chainOf(top: number): Promise<ProcessInfo[]> {
  const below = await descendants(top);
  const all = [...await listProcesses()];
  const chain: ProcessInfo[] = [];
  let at = below.find(({ command }) =>
    / run .*dev\/stack\/main\.ts/.test(command)
  );
  while (at !== undefined) {
    chain.push(at);
    const { parent, pid } = at;
    at = pid === top ? undefined : all.find((one) => one.pid === parent);
  }
  return chain;
}

Deno.test({
  name:
    "end: SIGKILL of any program between npx and the stack leaves no process, port or folder",
  ignore: !hasNpx,
  async fn(t) {
    const killed = new Set<string>();
    for (
      const [name, pattern] of [
        ["npm", /^npm exec /],
        ["the shell that npm starts", /^sh -c .*deno/],
        ["deno task", /^\S*deno task /],
      ] as const
    ) {
      await t.step(name, async () => {
        await using project = await makeQuietProject();
        const { process, url, isRead } = await startThroughNpx(
          project.dir,
          "--ephemeral",
        );
        const left = await footprint({
          pid: process.pid,
          env: { API_URL: url },
        });
        assert(left.pids.length > 6, "the stack runs several processes");
        const chain = await chainOf(process.pid);
        const victim = chain.find(({ command }) => pattern.test(command));
        try {
          // npm may start its program without a shell.
          if (victim !== undefined) {
            killed.add(name);
            Deno.kill(victim.pid, "SIGKILL");
            await until("everything is gone", () => left.isGone(), 30);
          }
        } finally {
          signalGroup(process, "SIGKILL");
          await Promise.all([process.status, isRead]);
        }
      });
    }
    assert(killed.has("npm") && killed.has("deno task"), [...killed].join());
  },
});

Deno.test({
  name: "end: SIGKILL of npm ends a demo and all processes that it started",
  ignore: !hasNpx,
  async fn() {
    const demo = startAsWritten("npx -y deno@2.9.6 task demo", {
      cwd: repository,
      stdout: "null",
      stderr: "null",
    });
    const running = async () =>
      (await descendants(demo.pid)).map(({ pid, command }) => ({
        pid,
        isPostgres: /\/bin\/postgres -D/.test(command),
      }));
    await until(
      "its Postgres runs",
      async () => (await running()).some(({ isPostgres }) => isPostgres),
      60,
    );
    const pids = (await running()).map(({ pid }) => pid);
    const npm = (await descendants(demo.pid)).find(({ command }) =>
      /^npm exec /.test(command)
    );
    Deno.kill(npm?.pid ?? 0, "SIGKILL");
    await until(
      "everything is gone",
      async () => (await alive(pids)).length === 0,
      30,
    );
    await demo.status;
  },
});

Deno.test({
  name: "end: Ctrl-C through npx prints one line, and leaves nothing behind",
  ignore: !hasNpx,
  async fn() {
    await using project = await makeQuietProject();
    const { process, url, output, isRead } = await startThroughNpx(
      project.dir,
      "--ephemeral",
    );
    const left = await footprint({ pid: process.pid, env: { API_URL: url } });
    signalGroup(process, "SIGINT");
    await Promise.all([process.status, isRead]);
    await until("everything is gone", () => left.isGone(), 30);
    const [, afterwards] = output.stdout.split("Ctrl-C stops it.\n");
    assertEquals([afterwards, output.stderr], ["Stopping …\n", ""]);
  },
});

Deno.test({
  name:
    "stop: deno task stop ends a folder's stack whose shell started it in the background and exited",
  ignore: !hasNpx,
  async fn() {
    await using project = await makeQuietProject();
    const data = join(project.dir, "data");
    const { process, url, output, isRead } = await startThroughNpx(
      project.dir,
      `--data '${data}' &`,
    );
    assertEquals((await process.status).code, 0, "the shell has ended");
    const stack = (await listProcesses()).find(({ command }) =>
      / run .*dev\/stack\/main\.ts/.test(command) && command.includes(data)
    );
    assert(stack !== undefined);
    const children = await descendants(stack.pid);
    assertMatch(
      output.stdout,
      new RegExp(`and so does: npx -y deno@[\\d.]+ task stop --data ${data}\n`),
    );

    const stop = () =>
      runAsWritten(`npx -y deno@2.9.6 task --quiet stop --data '${data}'`, {
        cwd: repository,
      });
    assertEquals(await stop(), {
      code: 0,
      stdout:
        `Stopping the stack on ${data} (process ${stack.pid}) …\nStopped.\n`,
      stderr: "",
    });
    assertEquals(
      await alive([stack.pid, ...children.map(({ pid }) => pid)]),
      [],
    );
    assertEquals(await answersOn(url), false);
    await isRead;
    assert(output.stdout.endsWith("\nStopping …\n"), output.stdout);
    assertEquals(output.stderr, "");
    assertEquals((await stop()).stdout, `No stack is running on ${data}.\n`);
  },
});
