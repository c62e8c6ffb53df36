import { SUPABASE_CLI_VERSION } from "../../dev/tools/supabase-cli.ts";
import { assert, assertEquals } from "@std/assert";
import {
  commandsOf,
  documentedCommands,
  repository,
  rules,
  trialOf,
} from "../_support/documented-commands.ts";

const commands = await documentedCommands();
const at = ({ page, line, text }: (typeof commands)[number]) =>
  `${page}:${line} ${text}`;

async function readFile(path: string): Promise<string> {
  return await Deno.readTextFile(`${repository}/${path}`);
}

Deno.test("documented commands: each is tested in some way, and every way is used", () => {
  assert(commands.length > 80, `${commands.length} are found`);
  assertEquals(commands.filter((one) => !trialOf(one)).map(at), []);
  const used = new Set(commands.map(trialOf));
  assertEquals(
    rules.filter(([, trial]) => !used.has(trial)).map(([pattern]) => pattern),
    [],
  );
});

Deno.test("documented commands: the shell can parse each", async () => {
  for (const command of commands) {
    const { success, stderr } = await new Deno.Command("/bin/sh", {
      args: ["-n", "-c", command.text],
    }).output();
    assert(success, `${at(command)}: ${new TextDecoder().decode(stderr)}`);
  }
});

Deno.test("documented commands: those that another file runs are in its text", async () => {
  for (const command of commands) {
    const trial = trialOf(command);
    if (trial?.how !== "elsewhere") continue;
    const words = command.text.replace(/^npx -y deno@[\d.]+/, "deno");
    const text = (await readFile(trial.file)).replaceAll(
      /npx -y deno@[\d.]+/g,
      "deno",
    );
    assert(text.includes(words), `${at(command)}: not in ${trial.file}`);
  }
});

Deno.test("documented commands: those of a block that another file runs are on a page that it names", async () => {
  for (const command of commands) {
    const trial = trialOf(command);
    if (trial?.how !== "block") continue;
    const text = await readFile(trial.file);
    assert(text.includes(`"${command.page}"`), `${at(command)}: ${trial.file}`);
  }
});

Deno.test("documented commands: each task is one of deno.json, and its program exists", async () => {
  const { tasks }: { tasks: Record<string, string> } = JSON.parse(
    await readFile("deno.json"),
  );
  for (const command of commands) {
    const [, name] = /^(?:npx -y deno@[\d.]+|deno) task (\S+)/.exec(
      command.text,
    ) ?? [];
    if (name === undefined) continue;
    const program = /[\w/-]+\.ts/.exec(tasks[name] ?? "")?.[0];
    assert(program !== undefined, `${at(command)}: there is no such task`);
    await readFile(program);
  }
});

Deno.test("documented commands: npx is used with the versions of the project", () => {
  const versions = commands.flatMap(({ text }) =>
    /^npx (?:-y )?(\S+@[\d.]+)/.exec(text)?.[1] ?? []
  );
  assertEquals(
    [...new Set(versions)].sort(),
    [`deno@${Deno.version.deno}`, `supabase@${SUPABASE_CLI_VERSION}`],
  );
});

Deno.test("documented commands: no npx command has an option that Node consumes itself", () => {
  assertEquals(
    commands.filter(({ text }) => /^npx .* --env-file/.test(text)).map(at),
    [],
  );
});

Deno.test("documented commands: finds the commands in shell blocks and in prose", () => {
  const page = [
    "Run `deno task",
    "ok`, not `deno.json`, then with <ref>:",
    "",
    "  ```sh",
    "  npx a   # why",
    "  # a comment",
    "  printf '%s #1' \\",
    '    "b # c" > d',
    '  curl x -d \'{"a":',
    "    1}'",
    '  # {"a":…}',
    "  ```",
    "",
    "```ts",
    "deno task no;",
    "```",
  ].join("\n");
  assertEquals(commandsOf("page.md", page), [
    { page: "page.md", line: 5, text: "npx a", answer: [] },
    {
      page: "page.md",
      line: 7,
      text: "printf '%s #1' \\\n  \"b # c\" > d",
      answer: [],
    },
    {
      page: "page.md",
      line: 9,
      text: "curl x -d '{\"a\":\n  1}'",
      answer: ['{"a":…}'],
    },
    { page: "page.md", line: 1, text: "deno task ok", answer: [] },
  ]);
});
