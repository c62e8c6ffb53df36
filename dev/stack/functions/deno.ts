/** The Deno that runs the functions: that of this process, or an older one with the API of the hosted runtime. */

/** A Deno other than the one that runs the stack. */
export interface FunctionsDeno {
  /** Path of the executable. */
  program: string;
  /** Its cache. Two versions must not share one, because each deletes the other's analyses. */
  cacheDir: string;
}

/** The executable, its arguments, and the environment that contains its cache. */
export interface DenoCommand {
  program: string;
  env: Record<string, string>;
  /** Whether it can read the project's lock file, which this process's version has written. */
  readsLock: boolean;
}

/** The Deno that runs functions and fetches their packages: `other`, or that of this process. */
export function denoCommand(other: FunctionsDeno | undefined): DenoCommand {
  if (other === undefined) {
    return { program: Deno.execPath(), env: {}, readsLock: true };
  }
  return {
    program: other.program,
    env: {
      DENO_DIR: other.cacheDir,
      // Before version 2.5, system certificates must be requested.
      DENO_TLS_CA_STORE: Deno.env.get("DENO_TLS_CA_STORE") ?? "mozilla,system",
    },
    readsLock: false,
  };
}
