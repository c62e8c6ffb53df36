/** The options of a stack, for `startStack` and, through `arguments.ts`, for `deno task start`. */
import type { FunctionsDeno } from "./functions/deno.ts";
import type { FunctionOptions } from "./functions/settings.ts";
import type { Printed } from "./console/terminal-log.ts";

/** The default port of a persistent stack, the same as that of `supabase start`. */
export const defaultPort = 54321;

/** Options of a stack. The defaults are those of `deno task start` in this repository. */
export interface StackOptions extends FunctionOptions {
  /** Folder with `supabase/`; this repository by default. */
  projectDir?: string;
  /** Port of the gateway; 0 for any free port. Default: 54321, or any free port with `ephemeral`. */
  port?: number;
  /**
   * An IPv4 address of this machine at which other devices on its network reach the API too, or 0.0.0.0 for all; none
   * by default. Functions then give apps the addresses of `Stack.appUrl`.
   */
  host?: string;
  /** The data folder; `.data/stack` in the project by default. Not allowed with `ephemeral`. */
  dataDir?: string;
  /** Deletes all data when the stack ends. */
  ephemeral?: boolean;
  /** Loads the project's seed data into a new database (default false). */
  seed?: boolean;
  /** Starts the simulated providers (default true). Without them only providers with a real key work. */
  simulators?: boolean;
  /** The Deno executable that runs the functions; that of this process by default. */
  functionsDeno?: FunctionsDeno;
  /** Which output of the parts is printed to standard error; none by default. */
  print?: Printed;
  /** Receives a description of each step of the start. */
  onProgress?: (waitingFor: string) => void;
  /** Time limit for a function to begin its response, in milliseconds; 150 s as hosted. */
  idleTimeoutMs?: number;
  /** Whether all functions start before the stack is ready (default), or each at its first request, as hosted. */
  bootFunctions?: "at-once" | "on-demand";
  /** Time limit for a function to accept requests at the start, in milliseconds; 30 s. */
  bootTimeoutMs?: number;
}
