// deno-lint-ignore-file no-console -- a program whose purpose is to show something
/**
 * `deno task demo`: the main job on an ephemeral stack, from a recording to a cloned voice, as an app does it with the
 * client. With `--all` every job type, with files to open.
 *
 * Exit codes: 0 on success, 1 when a step failed, 2 for invalid arguments.
 */
import { parseArgs } from "@std/cli/parse-args";
import { resolve } from "@std/path";
import { z } from "zod";
import { exitWithLaunchers } from "../stack/process/launchers.ts";
import { denoCommandName } from "../stack/console/own-command.ts";
import { StackError } from "../stack/stack.ts";
import { type EveryJobOptions, showEveryJob } from "./every-job.ts";
import { showVoiceClone } from "./voice-clone.ts";
import { say } from "./words.ts";

const usage = `Usage: deno task demo [options]

  without options    one voice clone, step by step
  --all              every job type; writes the files that they create
  --out DIR          with --all: the folder for the files (default .data/demo)
  --recording FILE   with --all: a recording of a voice: mp3, wav, m4a or flac, at most 10 MiB
  --portrait FILE    with --all: a photo of a face: jpg or png; required if D-ID or HeyGen is real
  --help             show this

Providers are simulated and cost nothing, except those whose key is set (ELEVENLABS_API_KEY, DID_API_KEY, HEYGEN_API_KEY)
in the environment or in supabase/functions/.env.
`;

/** Invalid arguments; the message is for the terminal. */
class UsageError extends Error {}

const path = z.string().min(1, "needs a value").transform((text) =>
  resolve(text)
).optional();
const argumentsSchema = z.object({
  all: z.boolean(),
  help: z.boolean(),
  out: path,
  recording: path,
  portrait: path,
});

function readArguments(
  args: readonly string[],
): { help: boolean; everyJob: EveryJobOptions | undefined } {
  const unknown: string[] = [];
  const parsed = parseArgs([...args], {
    boolean: ["all", "help"],
    string: ["out", "recording", "portrait"],
    unknown: (arg) => {
      unknown.push(arg);
      return false;
    },
  });
  if (unknown[0] !== undefined) {
    throw new UsageError(`Unknown argument ${unknown[0]}.`);
  }
  const checked = argumentsSchema.safeParse(parsed);
  if (!checked.success) {
    const [issue] = checked.error.issues;
    throw new UsageError(`--${issue?.path.join(".")} ${issue?.message}.`);
  }
  const { help, all, ...files } = checked.data;
  const stray = Object.entries(files).find(([, value]) => value !== undefined);
  if (!all && stray !== undefined) {
    throw new UsageError(`--${stray[0]} requires --all.`);
  }
  return { help, everyJob: all ? files : undefined };
}

async function run(args: readonly string[]): Promise<number> {
  try {
    const { help, everyJob } = readArguments(args);
    if (help) {
      say(usage.trimEnd());
      return 0;
    }
    await (everyJob === undefined ? showVoiceClone() : showEveryJob(everyJob));
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`${error.message}\n\n${usage.trimEnd()}`);
      return 2;
    }
    console.error(
      `\nThe demo failed. ${
        error instanceof StackError
          ? error.message
          : error instanceof Error
          ? error.stack
          : error
      }`,
    );
    return 1;
  }
  say(`Done. Start a stack of your own with: ${denoCommandName()} task start`);
  return 0;
}

exitWithLaunchers();
Deno.exit(await run(Deno.args));
