/** The options of a stack, for `startStack` and, through `arguments.ts`, for `deno task start`. */
import type { FunctionsDeno } from "./functions/deno.ts";
import type { FunctionOptions } from "./functions/settings.ts";
import type { Printed } from "./console/terminal-log.ts";

/** The port of a persistent stack, as that of `supabase start`. */
export const defaultPort = 54321;

/** How a stack starts. Without options: this repository, with its data folder, as `deno task start`. */
export interface StackOptions extends FunctionOptions {
  /** Folder with `supabase/`; this repository when absent. */
  projectDir?: string;
  /** Of the gateway. 0 means any free one; so does none with `ephemeral`, else 54321. */
  port?: number;
  /**
   * An IPv4 address of this machine on which others on its network reach the API too, or 0.0.0.0 for all; none by default.
   * The addresses that functions give to apps are then those of `Stack.appUrl`.
   */
  host?: string;
  /** Where data is kept; `.data/stack` of the project when absent. Not together with `ephemeral`. */
  dataDir?: string;
  /** Keep nothing: the data goes when the stack ends. */
  ephemeral?: boolean;
  /** Give a new database the project's seed data (default false). */
  seed?: boolean;
  /** Start the simulated providers (default true); without them only providers with a real key work. */
  simulators?: boolean;
  /** The Deno that runs the functions; that of this process when absent. */
  functionsDeno?: FunctionsDeno;
  /** What is printed of what the parts say, line by line, to standard error; nothing by default. */
  print?: Printed;
  /** Hears what is being waited for, in words for a person. */
  onProgress?: (waitingFor: string) => void;
  /** How long a function may take to begin its answer, in milliseconds; 150 s as hosted. */
  idleTimeoutMs?: number;
  /** Whether all functions start before the stack is ready (default), or each with its first request, as hosted. */
  bootFunctions?: "at-once" | "on-demand";
  /** How long a function may take to accept requests at the start, in milliseconds; 30 s. */
  bootTimeoutMs?: number;
}
