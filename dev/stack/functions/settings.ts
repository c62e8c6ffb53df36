/**
 * The start options of a stack's functions: the variables of a hosted project, those of the developer, and the limits
 * of the plan.
 */
import type { StackKeys } from "../keys/keys.ts";
import type { LogBook } from "../console/log-book.ts";
import type { TokenExchange } from "../keys/tokens.ts";
import type { DenoCommand } from "./deno.ts";
import type { IsolateLimits } from "./supervisor.ts";

/** The common options of all processes of a stack's functions. */
export interface FunctionSettings {
  projectDir: string;
  /** The Deno that runs them. */
  deno: DenoCommand;
  env: Record<string, string>;
  limits: IsolateLimits;
  /** Time limit for a process to accept requests, in milliseconds. */
  bootTimeoutMs: number;
  logs: LogBook;
}

/** Options that a caller may set for the functions. */
export interface FunctionOptions {
  /** Whether the functions get a simulated Upstash Redis; false by default. */
  upstash?: "simulated" | "none";
  /** Additional variables, which override all others. */
  env?: Record<string, string>;
  /** Wall-clock limit of an isolate in milliseconds; 150 s, the shortest of the hosted plans. */
  wallClockMs?: number;
  /** Limit of processor time of an isolate in milliseconds; 2 s as hosted, half of which retires it. 0: no limit. */
  cpuMs?: number;
  /** Limit of resident memory of an isolate in mebibytes; 256 as hosted. 0: no limit. */
  memoryMb?: number;
}

/**
 * Variables and limits of the functions. `projectEnv` are the developer's variables, with those of simulated providers.
 */
export function functionSettings(
  { apiUrl, dbUrl, keys, tokens, projectEnv }: {
    apiUrl: string;
    dbUrl: string;
    keys: StackKeys;
    tokens: TokenExchange;
    projectEnv: Record<string, string>;
  },
  { env, wallClockMs = 150_000, cpuMs = 2000, memoryMb = 256 }: FunctionOptions,
): Pick<FunctionSettings, "env" | "limits"> {
  // That of the hosted project: isolates live as long as `wallClockMs` says here.
  const { ISOLATE_WALL_CLOCK: _, ...ownEnv } = projectEnv;
  return {
    env: {
      ...ownEnv,
      DISPATCH_SECRET: keys.dispatchSecret,
      // The stand-in of pg_net is as fast, and when it is paused nothing is dispatched.
      DIRECT_DISPATCH: "off",
      SUPABASE_URL: apiUrl,
      SUPABASE_DB_URL: dbUrl,
      SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({
        default: keys.publishableKey,
      }),
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
      SUPABASE_JWKS: JSON.stringify(tokens.jwks),
      ...env,
    },
    limits: { wallClockMs, cpuMs, memoryBytes: memoryMb * 1_048_576 },
  };
}
