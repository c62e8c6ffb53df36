/** The Deno that runs the functions: this process's own, or an older one with the API of the hosted runtime. */

/** A Deno other than the one that runs the stack. */
export interface FunctionsDeno {
  /** Path of its program. */
  program: string;
  /** Its cache. Two versions must not share one: each clears what the other has analysed. */
  cacheDir: string;
}

/** The program to start, what it must be given, and the environment in which it finds its cache. */
export interface DenoCommand {
  program: string;
  env: Record<string, string>;
  /** Whether it reads the project's lock file, whose format is that of this process's version. */
  readsLock: boolean;
}

/** How functions are run and their packages fetched: by `other`, or by the Deno of this process. */
export function denoCommand(other: FunctionsDeno | undefined): DenoCommand {
  if (other === undefined) {
    return { program: Deno.execPath(), env: {}, readsLock: true };
  }
  return {
    program: other.program,
    env: {
      DENO_DIR: other.cacheDir,
      // Before version 2.5 the machine's own certificates count only when they are named.
      DENO_TLS_CA_STORE: Deno.env.get("DENO_TLS_CA_STORE") ?? "mozilla,system",
    },
    readsLock: false,
  };
}
