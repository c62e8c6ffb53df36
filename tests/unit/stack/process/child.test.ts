import { assertEquals, assertMatch } from "@std/assert";
import { alive } from "../../../_support/processes.ts";
import {
  type GuardedCommand,
  spawnGuarded,
} from "../../../../dev/stack/process/child.ts";

function shell(
  script: string,
  lines: string[] = [],
  more: Partial<GuardedCommand> = {},
): GuardedCommand {
  return {
    command: ["/bin/sh", "-c", script],
    env: { PATH: "/usr/bin:/bin" },
    endSignal: "TERM",
    graceSeconds: 60,
    onLine: (stream, line) => lines.push(`${stream} ${line}`),
    ...more,
  };
}

/** Starts a script that says "ready" when its traps are set, and waits for that. */
async function started(
  script: string,
  lines: string[] = [],
  more: Partial<GuardedCommand> = {},
) {
  const ready = Promise.withResolvers<void>();
  const child = await spawnGuarded(
    shell(script, [], {
      ...more,
      onLine(_stream, line) {
        if (line === "ready") ready.resolve();
        else lines.push(line);
      },
    }),
  );
  await ready.promise;
  return child;
}

const forever = "echo ready; while :; do sleep 0.02; done";

async function isAlive(pid: number): Promise<boolean> {
  return (await alive([pid])).length > 0;
}

Deno.test("spawnGuarded: returns the output line by line and the exit code", async () => {
  const lines: string[] = [];
  const child = await spawnGuarded(
    shell("echo one; echo two >&2; printf three; exit 7", lines),
  );
  assertEquals(await child.exited, 7);
  assertEquals(lines.sort(), ["stderr two", "stdout one", "stdout three"]);
});

Deno.test("spawnGuarded: the first output of the command is never mistaken for its process id", async () => {
  const children = Array.from({ length: 40 }, async () => {
    const lines: string[] = [];
    const child = await spawnGuarded(shell("echo $$; exit 0", lines));
    await child.exited;
    assertEquals(lines, [`stdout ${child.pid}`]);
  });
  await Promise.all(children);
});

Deno.test("spawnGuarded: the command does not inherit this process's environment", async () => {
  const lines: string[] = [];
  const child = await spawnGuarded(
    shell('echo "${HOME-none} $EXTRA"', lines, { env: { EXTRA: "1" } }),
  );
  await child.exited;
  assertEquals(lines, ["stdout none 1"]);
});

Deno.test("end: sends the end signal, which the command may handle", async () => {
  const lines: string[] = [];
  const child = await started(
    `trap 'echo bye; exit 3' TERM; ${forever}`,
    lines,
  );
  assertEquals(await child.end(), 3);
  assertEquals(lines, ["bye"]);
  assertEquals(await child.end(), 3);
});

Deno.test("end: a command that does not end is killed after the grace period", async () => {
  const lines: string[] = [];
  const child = await started(`trap '' TERM; ${forever}`, lines, {
    graceSeconds: 1,
  });
  const before = performance.now();
  assertEquals(await child.end(), 137);
  assertEquals(performance.now() - before > 900, true);
  assertEquals(await isAlive(child.pid), false);
  assertEquals(lines, [], "the watchdog itself prints nothing");
});

Deno.test("signal: reaches the command itself", async () => {
  const lines: string[] = [];
  const child = await started(`trap 'echo hup; exit 5' HUP; ${forever}`, lines);
  await child.signal("HUP");
  assertEquals(await child.exited, 5);
  assertEquals(lines, ["hup"]);
});

Deno.test("spawnGuarded: the command ends when its owner is killed, and its folder is removed", async () => {
  const dir = await Deno.makeTempDir();
  const owner = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      `import { spawnGuarded } from ${
        JSON.stringify(
          import.meta.resolve("../../../../dev/stack/process/child.ts"),
        )
      };
      const child = await spawnGuarded({
        command: ["/bin/sh", "-c", "trap '' INT; while :; do sleep 0.02; done"],
        env: {}, endSignal: "TERM", graceSeconds: 1, removeDir: ${
        JSON.stringify(dir)
      }, onLine() {},
      });
      console.log(child.pid);`,
    ],
    cwd: new URL("../../../../", import.meta.url),
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = owner.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await reader.read();
  assertMatch(value, /^\d+\n$/);
  const pid = Number(value);
  assertEquals(await isAlive(pid), true);
  owner.kill("SIGKILL");
  await owner.status;
  await reader.cancel();
  while (await isAlive(pid)) await new Promise((r) => setTimeout(r, 20));
  while (await Deno.stat(dir).then(() => true, () => false)) {
    await new Promise((r) => setTimeout(r, 20));
  }
});
