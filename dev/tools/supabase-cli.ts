/**
 * Runs the real Supabase CLI. It is one native program per platform in the npm packages
 * `@supabase/cli-<os>-<arch>`, so that neither Docker nor an installation is needed.
 *
 * As a program: `deno task supabase <arguments of the CLI>`.
 */
import { locateNpmProgram } from "./npm-program.ts";

/** The version that README and docs state too. */
export const SUPABASE_CLI_VERSION = "3.1.0";

/** The output and exit code of the CLI. */
export interface CliResult {
  /** Exit code; 0 is success. */
  code: number;
  stdout: string;
  stderr: string;
}

const ARCHITECTURES: Partial<Record<typeof Deno.build.arch, string>> = {
  x86_64: "x64",
  aarch64: "arm64",
};

/**
 * The path of the CLI's executable in Deno's npm cache. Only this platform's package is downloaded.
 *
 * @throws {Error} with the package when there is none for this platform or the download fails.
 */
async function locateSupabaseCli(): Promise<string> {
  const arch = ARCHITECTURES[Deno.build.arch] ?? Deno.build.arch;
  return await locateNpmProgram(
    `@supabase/cli-${Deno.build.os}-${arch}@${SUPABASE_CLI_VERSION}`,
    "bin/supabase",
  );
}

/**
 * Environment of every run: no telemetry, no update check, no keyring, no TLS attempt with databases of this machine
 * (about which the CLI would print a notice to standard output).
 */
const QUIET = {
  DO_NOT_TRACK: "1",
  SUPABASE_TELEMETRY_DISABLED: "1",
  SUPABASE_NO_UPDATE_NOTIFIER: "1",
  SUPABASE_NO_KEYRING: "1",
  PGSSLMODE: "disable",
} satisfies Record<string, string>;

/**
 * Runs the CLI to its end in the folder `cwd` that contains `supabase/`. It gets none of this process's environment:
 * only `env`, an empty HOME that is deleted afterwards, and settings that prevent connections other than to the
 * command's target. Its standard input is empty.
 *
 * Does not throw when the CLI fails; check `code`.
 */
export async function runSupabaseCli(
  args: string[],
  options: { cwd: string; env?: Record<string, string> },
): Promise<CliResult> {
  const program = await locateSupabaseCli();
  const home = await Deno.makeTempDir({ prefix: "supabase-cli-home-" });
  try {
    const { code, stdout, stderr } = await new Deno.Command(program, {
      args,
      cwd: options.cwd,
      clearEnv: true,
      env: {
        ...QUIET,
        HOME: home,
        PATH: "/usr/local/bin:/usr/bin:/bin",
        ...options.env,
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).output();
    const decoder = new TextDecoder();
    return {
      code,
      stdout: decoder.decode(stdout),
      stderr: decoder.decode(stderr),
    };
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

if (import.meta.main) {
  // For a run by a person: with their environment, home and terminal.
  const { code } = await new Deno.Command(await locateSupabaseCli(), {
    args: Deno.args,
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
  }).spawn().status;
  Deno.exit(code);
}
