/** Runs commands exactly as in the documentation: in a shell, and through npx where they say so. */
import { join } from "@std/path";
import { repository } from "./documented-commands.ts";

/** Whether this machine has npx. With the Deno executable alone, npx commands cannot be tried. */
export const hasNpx: boolean = await new Deno.Command("npx", {
  args: ["--version"],
  stdin: "null",
  stdout: "null",
  stderr: "null",
}).output().then(({ success }) => success, () => false);

/**
 * As CONTRIBUTING says, `deno` stands for an installed Deno, here the one that runs the tests; only npx downloads one.
 */
function spellOut(text: string): string {
  const installed = `'${Deno.execPath()}'`;
  const viaNpx = hasNpx ? `npx -y deno@${Deno.version.deno}` : installed;
  return text.replace(/^npx -y deno@[\d.]+(?= |$)/, viaNpx)
    .replace(/^deno(?= |$)/, installed);
}

/** Starts a command in its own process group, as a terminal does, so that a signal to the group is Ctrl-C. */
export function startAsWritten(
  text: string,
  options: {
    cwd: string;
    stdout: "piped" | "null";
    stderr: "piped" | "null" | "inherit";
    env?: Record<string, string>;
  },
): Deno.ChildProcess {
  return new Deno.Command("/bin/sh", {
    args: ["-c", spellOut(text)],
    cwd: options.cwd,
    env: { NO_COLOR: "1", ...options.env },
    stdin: "null",
    stdout: options.stdout,
    stderr: options.stderr,
    detached: true,
  }).spawn();
}

/** Sends a signal to every process of the group of {@link startAsWritten}. Does nothing when they have ended. */
export function signalGroup(
  process: Deno.ChildProcess,
  signal: Deno.Signal,
): void {
  try {
    Deno.kill(-process.pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** The output and exit code of a command that ends by itself. After `seconds` its group is killed. */
export async function runAsWritten(
  text: string,
  options: { cwd: string; env?: Record<string, string>; seconds?: number },
): Promise<{ code: number; stdout: string; stderr: string }> {
  const process = startAsWritten(text, {
    ...options,
    stdout: "piped",
    stderr: "piped",
  });
  const limit = setTimeout(
    () => signalGroup(process, "SIGKILL"),
    (options.seconds ?? 180) * 1000,
  );
  const { code, stdout, stderr } = await process.output();
  clearTimeout(limit);
  const decoder = new TextDecoder();
  return {
    code,
    stdout: decoder.decode(stdout),
    stderr: decoder.decode(stderr),
  };
}

/** Generated on this machine, and not part of a clone. */
const skipped = /^(\.git|\.data|\.env(\.local)?|node_modules|coverage|\.temp)$/;

async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory, isFile } of Deno.readDir(from)) {
    if (skipped.test(name)) continue;
    if (isDirectory) await copyFolder(join(from, name), join(to, name));
    else if (isFile) await Deno.copyFile(join(from, name), join(to, name));
  }
}

/** A clone of the repository in a temporary folder, deleted when disposed of. */
export async function cloneRepository(): Promise<
  { dir: string } & AsyncDisposable
> {
  const dir = await Deno.makeTempDir({ prefix: "clone-" });
  // Under root Postgres runs as another user, who must be able to reach its data.
  await Deno.chmod(dir, 0o755);
  await copyFolder(repository, dir);
  return {
    dir,
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}
