/** The commands of README and docs, run in a clone exactly as they are written: through npx where they say so. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { parse } from "dotenv";
import {
  cloneRepository,
  hasNpx,
  runAsWritten,
  signalGroup,
  startAsWritten,
} from "../_support/as-written.ts";
import {
  type DocumentedCommand,
  documentedCommands,
  type Trial,
  trialOf,
} from "../_support/documented-commands.ts";
import { until } from "../_support/stack-fixture.ts";

const commands = await documentedCommands();

/** The distinct commands that are tested in this way, in the order of the pages. */
function commandsBy(
  how: Trial["how"],
  test: (command: DocumentedCommand) => boolean = () => true,
): DocumentedCommand[] {
  const found = commands.filter((command) =>
    trialOf(command)?.how === how && test(command)
  );
  return [...new Map(found.map((command) => [command.text, command])).values()];
}

const isOfSimulators = ({ page }: DocumentedCommand) =>
  page === "docs/simulators.md";

/** The command as it is run: whole, or with the argument that selects a part of its work. */
function asRun(command: DocumentedCommand): string {
  const trial = trialOf(command);
  return trial?.how === "part"
    ? `${command.text} ${trial.argument}`
    : command.text;
}

/** A free port, to replace the documented one, which may be in use. */
function anyPort(): string {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return String(listener.addr.port);
}

Deno.test({
  name: "documented commands: those that end by themselves exit with code 0",
  ignore: !hasNpx,
  async fn(t) {
    await using clone = await cloneRepository();
    for (
      const command of [
        ...commandsBy("run", (one) => !isOfSimulators(one)),
        ...commandsBy("part"),
      ]
    ) {
      const text = asRun(command);
      await t.step(`${command.page}:${command.line} ${text}`, async () => {
        const { code, stdout, stderr } = await runAsWritten(text, {
          cwd: clone.dir,
        });
        assertEquals(code, 0, stdout + stderr);
      });
    }
    const written = await Deno.readTextFile(join(clone.dir, "supabase/.env"));
    assertMatch(
      written,
      /^DISPATCH_SECRET=whsec_[\w+/]{43}=\nPROJECT_URL=https:\/\/\w+\.supabase\.co\n$/,
    );
  },
});

Deno.test({
  name:
    "documented commands: programs that run for minutes accept their arguments",
  ignore: !hasNpx,
  async fn(t) {
    for (const { page, line, text } of commandsBy("help")) {
      await t.step(`${page}:${line} ${text}`, async () => {
        const { code, stdout, stderr } = await runAsWritten(`${text} --help`, {
          cwd: ".",
        });
        assertEquals(code, 0, stderr);
        assertMatch(stdout, /^usage: deno task/i);
      });
    }
  },
});

Deno.test({
  name:
    "documented commands: the Supabase CLI has those that need a project, and their options",
  ignore: !hasNpx,
  async fn(t) {
    // Some commands differ only in their options.
    const helps = new Map<string, ReturnType<typeof runAsWritten>>();
    const helpOf = (names: string) => {
      const help = helps.get(names) ??
        runAsWritten(`deno task supabase ${names} --help`, {
          cwd: ".",
          env: { SUPABASE_TELEMETRY_DISABLED: "1" },
        });
      helps.set(names, help);
      return help;
    };
    for (const { page, line, text } of commandsBy("supabase")) {
      await t.step(`${page}:${line} ${text}`, async () => {
        const words = text.split(" ").slice(text.startsWith("npx") ? 2 : 1);
        const end = words.findIndex((word) => !/^[a-z][a-z-]*$/.test(word));
        const names = end < 0 ? words : words.slice(0, end);
        const { code, stdout, stderr } = await helpOf(names.join(" "));
        assertEquals(code, 0, stderr);
        const usage = /USAGE\n\s+supabase(.*)/.exec(stdout)?.[1] ?? "";
        for (const name of names) assert(usage.includes(` ${name}`), usage);
        for (const option of words.filter((word) => word.startsWith("--"))) {
          assertMatch(stdout, new RegExp(`^ +${option}\\b`, "m"));
        }
      });
    }
  },
});

Deno.test({
  name: "documented commands: the simulators answer as documented",
  ignore: !hasNpx,
  async fn(t) {
    const [start] = commandsBy("serve", isOfSimulators);
    assert(start !== undefined);
    const port = anyPort();
    const onPort = (text: string) => text.replaceAll("4010", port);
    const simulators = startAsWritten(onPort(start.text), {
      cwd: ".",
      stdout: "piped",
      stderr: "inherit",
    });
    const reader = simulators.stdout.pipeThrough(new TextDecoderStream())
      .getReader();
    const { value = "" } = await reader.read();
    assertEquals(value.trimEnd(), onPort(start.answer.join("\n")));
    for (const { line, text, answer } of commandsBy("run", isOfSimulators)) {
      await t.step(`line ${line}: ${text}`, async () => {
        const { code, stdout } = await runAsWritten(
          onPort(text).replace("curl", "curl --fail-with-body"),
          { cwd: "." },
        );
        const [expected] = answer;
        if (expected === undefined) assertEquals(code, 0, stdout);
        else {
          const parts = expected.split("…").map((part) =>
            part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")
          );
          assertMatch(stdout.trim(), new RegExp(`^${parts.join(".*")}$`, "s"));
        }
      });
    }
    signalGroup(simulators, "SIGINT");
    await reader.cancel();
    await simulators.status;
  },
});

Deno.test({
  name:
    "documented commands: task start writes its addresses into an app's env file, and keeps its other lines",
  ignore: !hasNpx,
  async fn() {
    const start = commandsBy("serve").find(({ text }) => text.includes(".env"));
    assert(start !== undefined);
    await using clone = await cloneRepository();
    const envFile = join(clone.dir, ".env.local");
    await Deno.writeTextFile(
      envFile,
      "# the app's own\nSTRIPE_KEY=sk_live_1\n",
    );
    // The documented port may be in use on the machine that runs the tests.
    const stack = startAsWritten(`${start.text} --port 0`, {
      cwd: clone.dir,
      stdout: "null",
      stderr: "inherit",
    });
    let hasEnded = false;
    const ended = stack.status.then(({ code }) => {
      hasEnded = true;
      return code;
    });
    await until("the env file is written", async () => {
      assert(!hasEnded, "the stack has ended");
      return (await Deno.readTextFile(envFile)).includes("SIMULATOR_URL=");
    }, 120);
    const text = await Deno.readTextFile(envFile);
    assertMatch(text, /^# the app's own\nSTRIPE_KEY=sk_live_1\nAPI_URL=/);
    const { API_URL, PUBLISHABLE_KEY = "" } = parse(text);
    const response = await fetch(`${API_URL}/rest/v1/ai_job_types`, {
      headers: { apikey: PUBLISHABLE_KEY },
    });
    await response.body?.cancel();
    assert(response.status < 500, `REST answers ${response.status}`);
    signalGroup(stack, "SIGINT");
    assert([0, 130].includes(await ended));
    await assertEnds(`${API_URL}/health`);
  },
});

/** At Ctrl-C, npm exits before the stack does. */
async function assertEnds(url: string): Promise<void> {
  await until("the stack has stopped", async () => {
    try {
      await (await fetch(url)).body?.cancel();
      return false;
    } catch {
      return true;
    }
  }, 30);
}
