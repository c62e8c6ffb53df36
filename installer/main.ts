/** `npx edge-ai-jobs`: installs edge-ai-jobs into an existing Supabase project, and upgrades it. */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { resolve } from "node:path";
import { ConfigInvalid } from "./config-sections.ts";
import {
  type Plan,
  planInit,
  planUpgrade,
  readModules,
  Refusal,
  type Step,
} from "./plan.ts";
import { applyPlan, NotAProject, readProject } from "./project.ts";
import { readTemplate } from "./template.ts";

const USAGE = `Usage: npx edge-ai-jobs <command> [options]

  init      copy functions, migrations and config sections into a Supabase project; overwrites nothing
  upgrade   upgrade a project that has an earlier version; keeps your changes

  --modules LIST   for init: core, core,people or core,people,shop (default: all, or the installed ones)
  --dry-run        print the changes without making them
  --project DIR    the folder with supabase/ (default: the current folder)
  --version        print the version of this package
  --help           show this
`;

const VERBS: Record<Step["action"], string> = {
  add: "add",
  replace: "replace",
  offer: "new version",
  append: "append to",
  remove: "remove",
};

const NEXT = `Next:
  1. Add supabase/.env to your .gitignore.
  2. Commit the changes, with supabase/.edge-ai-jobs.json.
  3. Set the secrets, push the migrations and deploy the functions: see docs/deploy.md in the repository of edge-ai-jobs.
`;
const NEXT_OF_UPGRADE = `Next:
  1. Read the changelog, commit the changes, and merge files that end with .new.
  2. Push the migrations, then deploy the functions.
`;

function describe(plan: Plan, isDryRun: boolean): string {
  const lines = plan.steps.map(({ action, path }) =>
    `  ${VERBS[action]} ${path}\n`
  );
  const count = (action: Step["action"]) =>
    plan.steps.filter((step) => step.action === action).length;
  const notes = plan.notes.map((note) => `Note: ${note}\n`).join("");
  if (plan.steps.length === 0) return `Nothing to do.\n${notes}`;
  if (isDryRun) return `Would do:\n${lines.join("")}${notes}`;
  return `Done: ${count("add")} files added, ${count("replace")} replaced, ${
    count("offer")
  } written next to yours, ${count("remove")} removed; config.toml ${
    count("append") === 0 ? "unchanged" : "extended"
  }.\n${notes}`;
}

function readArguments(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        modules: { type: "string" },
        project: { type: "string", default: "." },
        "dry-run": { type: "boolean", default: false },
        version: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    // The advice about positional arguments, which Node adds, does not apply.
    const [reason = message] = message.split(/\. To specify /);
    throw new Refusal(`${reason.replace(/\.$/, "")}.\n\n${USAGE}`, { cause });
  }
}

/**
 * Runs one command line; resolves with what it prints. When it throws {@link Refusal} or a similar error, nothing was
 * changed.
 */
async function run(args: string[]): Promise<string> {
  const { values, positionals: [command, ...rest] } = readArguments(args);
  if (values.help) return USAGE;
  const packageDir = fileURLToPath(new URL("..", import.meta.url));
  if (values.version) return `${(await readTemplate(packageDir)).version}\n`;
  const [extra] = rest;
  if (command !== "init" && command !== "upgrade") {
    const reason = command === undefined
      ? ""
      : `Unknown command ${command}.\n\n`;
    throw new Refusal(reason + USAGE);
  }
  if (extra !== undefined) {
    throw new Refusal(`Unknown argument ${extra}.\n\n${USAGE}`);
  }
  if (command === "upgrade" && values.modules !== undefined) {
    throw new Refusal(
      "upgrade keeps the modules that are installed; add one with init --modules.",
    );
  }
  const modules = values.modules === undefined
    ? undefined
    : readModules(values.modules);
  const template = await readTemplate(packageDir);
  const dir = resolve(values.project);
  const project = await readProject(
    dir,
    template.files.map(({ path }) => path),
  );
  const plan = command === "init"
    ? planInit(template, project, modules)
    : planUpgrade(template, project);
  if (plan.conflicts.length > 0) {
    const list = plan.conflicts.map((conflict) => `  ${conflict}\n`).join("");
    throw new Refusal(
      `Nothing was changed. Resolve these conflicts first:\n${list}`,
    );
  }
  if (values["dry-run"]) return describe(plan, true);
  await applyPlan(dir, plan);
  if (plan.steps.length === 0) return describe(plan, false);
  return describe(plan, false) + (command === "init" ? NEXT : NEXT_OF_UPGRADE);
}

try {
  process.stdout.write(await run(process.argv.slice(2)));
} catch (error) {
  const isExpected = [Refusal, NotAProject, ConfigInvalid].some((kind) =>
    error instanceof kind
  );
  // Errors of the system, such as a file that may not be written, have a code; another run completes what this one
  // began.
  const isSystem = error instanceof Error && "syscall" in error;
  if (!(error instanceof Error) || !(isExpected || isSystem)) throw error;
  process.stderr.write(`${error.message.trimEnd()}\n`);
  process.exitCode = 1;
}
