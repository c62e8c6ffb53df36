/**
 * The shell commands of README and docs, and how each is tested. The unit ring checks that a rule covers each command,
 * and checks those that cannot run here; the ring e2e runs the others through npx.
 */
import { fromFileUrl, join } from "@std/path";

/** The root of the repository, without a slash at the end. */
export const repository = fromFileUrl(new URL("../../", import.meta.url))
  .replace(/\/$/, "");

/** A command, exactly as on a page. */
export interface DocumentedCommand {
  page: string;
  /** 1-based, of its first line. */
  line: number;
  /** Without the comment behind it, with the line breaks in it. */
  text: string;
  /** The expected output on the page: the comment lines right below the command. `…` matches anything. */
  answer: string[];
}

/** How a command is tested. */
export type Trial =
  /** Unchanged. */
  | { how: "run" }
  /** With an argument that selects a part of its work, because another test does the rest. */
  | { how: "part"; argument: string; why: string }
  /** Unchanged except for a port; it runs until it is stopped. */
  | { how: "serve"; port: string }
  /** With `--help`, which our programs print only after they have parsed the other arguments. */
  | { how: "help"; why: string }
  /** By a test file that contains the command and runs it. */
  | { how: "elsewhere"; file: string }
  /** By a test file that runs the whole block. */
  | { how: "block"; file: string }
  /** Not run, but `deno.json` has the task and its program exists. */
  | { how: "task"; why: string }
  /** Not run, but the Supabase CLI has the command and its options. */
  | { how: "supabase"; why: string }
  /** Not run, but the shell can read it. */
  | { how: "read"; why: string };

const minutes = "takes minutes";
const project = "needs a login and a hosted project, or Docker";

/** The first rule that matches says how a command is tested. `deno` stands for `npx -y deno@…` too. */
export const rules: readonly (readonly [command: RegExp, trial: Trial])[] = [
  [
    /^(\. \.\/\.env\.local$|field\b|post\b|(TOKEN|SIZE|UPLOAD|KEY|JOB)=|curl .*upload_url|while curl)/,
    { how: "block", file: "tests/e2e/documented-examples.test.ts" },
  ],
  [/^deno task demo( --all)?$/, {
    how: "elsewhere",
    file: "tests/e2e/demo.test.ts",
  }],
  [/^deno task new job-type sound_effect$/, {
    how: "elsewhere",
    file: "tests/database/new-job-type.test.ts",
  }],
  [/^npx edge-ai-jobs(@latest)? (init|upgrade)/, {
    how: "elsewhere",
    file: "tests/e2e/existing-project.test.ts",
  }],
  [/^deno task stop$/, { how: "run" }],
  [/^deno task sql\b/, {
    how: "elsewhere",
    file: "tests/e2e/sql.test.ts",
  }],
  [/^deno task start/, { how: "serve", port: " --port 0" }],
  [
    /^deno task (ok( --keep-going| --checks)?|test|test:(unit|database|functions|browser))$/,
    {
      how: "task",
      why: "would run this test",
    },
  ],
  [/^deno task web:screenshots$/, { how: "task", why: "needs a browser" }],
  [/^deno task build:web /, { how: "run" }],
  [/^deno$/, { how: "run" }],
  [
    /^deno (fmt|lint|check|task check:\w+|task db:\w+ --check|task build:client( --check)?|task openapi --check)$/,
    {
      how: "elsewhere",
      file: "dev/tools/gate.ts",
    },
  ],
  [/^deno task (bench|bench:ops|bench:rls|chaos|test:mutations)\b/, {
    how: "help",
    why: minutes,
  }],
  [/^deno task db:(baseline|release)$/, {
    how: "elsewhere",
    file: "tests/e2e/release.test.ts",
  }],
  [/^deno task model$/, {
    how: "part",
    argument: "noFaults",
    why: "tests/unit/model/model.test.ts explores all configurations",
  }],
  [/^deno task (db:\w+|fonts|lock|demo:picture|openapi)$/, {
    how: "run",
  }],
  [/^deno task test:database tests\/database\/claim\.test\.ts$/, {
    how: "part",
    argument: "--no-check",
    why: "the gate checks the types of all files",
  }],
  [/^deno task supabase( migration new subject)?$/, { how: "run" }],
  [/^deno run .*dev\/simulators\/main\.ts --port 4010$/, {
    how: "serve",
    port: "4010",
  }],
  [/^curl .*localhost:4010\//, { how: "run" }],
  [/^printf .*> supabase\/\.env$/, { how: "run" }],
  [/^\. supabase\/\.env$/, { how: "run" }],
  [/^npm install "\.\/\$\(npm pack /, {
    how: "read",
    why: "it is run in the folder of an app",
  }],
  [/^(npx )?supabase\b/, { how: "supabase", why: project }],
  [/^curl .*https:\/\/api\.heygen\.com\//, {
    how: "read",
    why: "registers a webhook at HeyGen",
  }],
];

/** How a command is tested; undefined for a command without a rule. */
export function trialOf({ text }: DocumentedCommand): Trial | undefined {
  const plain = text.replace(/^npx -y deno@[\d.]+/, "deno")
    .replace(/^npx supabase@[\d.]+/, "npx supabase").replaceAll(/\s+/g, " ");
  return rules.find(([pattern]) => pattern.test(plain))?.[1];
}

const blanks: Record<string, string> = {
  "<ref>": "abcdefghijklmnopqrst",
  "<key>": "a-key",
  "<region>": "eu-central-1",
  "<subject>": "subject",
  "<name>": "voice_clone",
  " …": "",
};

function fillIn(text: string): string {
  return Object.entries(blanks).reduce(
    (filled, [blank, value]) => filled.replaceAll(blank, value),
    text,
  );
}

interface Block {
  line: number;
  lines: string[];
}

function shellBlocks(markdown: string): Block[] {
  const blocks: Block[] = [];
  let open: (Block & { indent: number; isShell: boolean }) | undefined;
  for (const [index, row] of markdown.split("\n").entries()) {
    const [, indent = "", language] = /^( *)```(\w*)$/.exec(row) ?? [];
    if (language === undefined) open?.lines.push(row.slice(open.indent));
    else if (open === undefined) {
      open = {
        line: index + 2,
        lines: [],
        indent: indent.length,
        isShell: /^(sh|bash|shell|console)$/.test(language),
      };
    } else {
      if (open.isShell) blocks.push(open);
      open = undefined;
    }
  }
  return blocks;
}

/** The command without its trailing comment; undefined while it continues on the next line. */
function withoutComment(text: string): string | undefined {
  let quote = "";
  for (let at = 0; at < text.length; at++) {
    const sign = text.charAt(at);
    if (sign === "\\" && quote !== "'") at++;
    else if (quote !== "") quote = sign === quote ? "" : quote;
    else if (sign === "'" || sign === '"') quote = sign;
    else if (sign === "#" && /(^|\s)$/.test(text.slice(0, at))) {
      return text.slice(0, at).trimEnd();
    }
  }
  const isOpen = quote !== "" || text.endsWith("\\");
  return isOpen ? undefined : text.trimEnd();
}

function commandsOfBlock(page: string, block: Block): DocumentedCommand[] {
  const commands: DocumentedCommand[] = [];
  let text = "", line = 0;
  for (const [index, row] of block.lines.entries()) {
    if (text === "") line = block.line + index;
    text += text === "" ? row : `\n${row}`;
    const command = withoutComment(text);
    if (command === undefined) continue;
    const [, comment] = /^\s*# ?(.*)$/.exec(text) ?? [];
    if (command !== "") {
      commands.push({ page, line, text: fillIn(command), answer: [] });
    } else if (comment !== undefined && /^[{[]|^simulators /.test(comment)) {
      commands.at(-1)?.answer.push(comment);
    }
    text = "";
  }
  if (text !== "") commands.push({ page, line, text, answer: [] });
  return commands;
}

const inProse =
  /`((?:npx\s|deno\s+(?:(?:task|run|test|cache)\s|(?:fmt|lint|check)\b)|supabase\s(?!is\b))[^`]*)`/g;

function commandsInProse(page: string, markdown: string): DocumentedCommand[] {
  const prose = markdown.replaceAll(
    /^( *)```[^]*?^\1```$/gm,
    (block) => block.replaceAll(/[^\n]/g, " "),
  );
  return [...prose.matchAll(inProse)].map(({ index, 1: text = "" }) => ({
    page,
    line: prose.slice(0, index).split("\n").length,
    text: fillIn(text.replaceAll(/\s+/g, " ")).trim(),
    answer: [],
  }));
}

/** The commands of a page: those of its shell blocks in order, then those within the prose. */
export function commandsOf(
  page: string,
  markdown: string,
): DocumentedCommand[] {
  return [
    ...shellBlocks(markdown).flatMap((block) => commandsOfBlock(page, block)),
    ...commandsInProse(page, markdown),
  ];
}

/** The commands of README, AGENTS, CONTRIBUTING, docs, and the pages that they link to. */
export async function documentedCommands(): Promise<DocumentedCommand[]> {
  const pages = [
    "README.md",
    "AGENTS.md",
    "CONTRIBUTING.md",
    "client/README.md",
    "tests/functions/ownership/README.md",
  ];
  for await (const { name } of Deno.readDir(join(repository, "docs"))) {
    if (name.endsWith(".md")) pages.push(`docs/${name}`);
  }
  for await (const { name } of Deno.readDir(join(repository, "docs/adr"))) {
    if (name.endsWith(".md")) pages.push(`docs/adr/${name}`);
  }
  const found: DocumentedCommand[] = [];
  for (const page of pages.sort()) {
    const text = await Deno.readTextFile(join(repository, page));
    found.push(...commandsOf(page, text));
  }
  return found;
}
