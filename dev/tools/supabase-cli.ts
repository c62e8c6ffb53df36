/**
 * Runs the real Supabase CLI. It is one native program per platform in the npm packages
 * `@supabase/cli-<os>-<arch>`, so that neither Docker nor an installation is needed.
 *
 * As a program: `deno task supabase <arguments of the CLI>`.
 */
import { locateNpmProgram } from "./npm-program.ts";

/** The version that README and docs name as well. */
export const SUPABASE_CLI_VERSION = "3.1.0";

/** What the CLI printed, and how it ended. */
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
 * The path of the CLI's program in Deno's npm cache, for this platform. Only that platform's package is downloaded.
 *
 * @throws {Error} naming the package when there is none for this platform or it cannot be fetched.
 */
export async function locateSupabaseCli(): Promise<string> {
  const arch = ARCHITECTURES[Deno.build.arch] ?? Deno.build.arch;
  return await locateNpmProgram(
    `@supabase/cli-${Deno.build.os}-${arch}@${SUPABASE_CLI_VERSION}`,
    "bin/supabase",
  );
}

/**
 * Environment of every run: no telemetry, no look for updates, no keyring, no attempt at TLS with the databases of
 * this machine (the CLI writes a notice about that into its standard output).
 */
const QUIET = {
  DO_NOT_TRACK: "1",
  SUPABASE_TELEMETRY_DISABLED: "1",
  SUPABASE_NO_UPDATE_NOTIFIER: "1",
  SUPABASE_NO_KEYRING: "1",
  PGSSLMODE: "disable",
} satisfies Record<string, string>;

/**
 * Runs the CLI to its end, in the folder `cwd` that holds `supabase/`. It sees none of this process's environment:
 * only `env`, a HOME that is empty and thrown away afterwards, and settings that keep it from calling anybody but
 * the target of the command. It cannot ask: its standard input is empty.
 *
 * Never throws because the CLI failed; look at `code`.
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
  // A person's own run: their environment, home and terminal.
  const { code } = await new Deno.Command(await locateSupabaseCli(), {
    args: Deno.args,
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
  }).spawn().status;
  Deno.exit(code);
}
