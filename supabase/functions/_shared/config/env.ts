/** The environment, read once and checked. Nothing else in the functions reads a variable. */
import { resolveEnv } from "@supabase/server/core";
import type { SupabaseEnv } from "@supabase/server";
import { z } from "zod";
import { check } from "../contracts/issue-words.ts";
import type { PlatformDeps } from "../platform/deps.ts";

const seconds = (fallback: number, max: number) =>
  z.coerce.number().int().min(1).max(max).default(fallback);
const url = z.url({
  protocol: /^https?$/,
  error: ({ code }) =>
    code === "invalid_format"
      ? "must be a URL that begins with http:// or https://"
      : undefined,
});

const keySet = z.string().transform((text, context) => {
  try {
    return z.object({ keys: z.array(z.looseObject({ kty: z.string() })) })
      .parse(JSON.parse(text));
  } catch {
    context.addIssue({
      code: "custom",
      message: 'must be a JSON key set, {"keys":[…]}',
    });
    return z.NEVER;
  }
});

/** Keys by name, as the platform provides them: a JSON object such as `{"default":"sb_secret_…"}`. */
const keyRing = z.string().transform((text, context) => {
  try {
    return z.record(z.string(), z.string().min(1))
      .refine((keys) => Object.keys(keys).length > 0).parse(JSON.parse(text));
  } catch {
    context.addIssue({
      code: "custom",
      message: 'must be a JSON object such as {"default":"sb_…"}',
    });
    return z.NEVER;
  }
});

/** In any case, and `warning` for `warn`: other functions of a project may share the variable. */
const logLevel = z.string().toLowerCase()
  .transform((level) => level === "warning" ? "warn" : level)
  .pipe(z.enum(["debug", "info", "warn", "error"]));

/** Every variable that the functions use, with its meaning. .env.example lists the same (a unit test compares them). */
export const envSchema = z.object({
  SUPABASE_URL: url.describe("URL of the project. Set by the platform."),
  SUPABASE_PUBLISHABLE_KEYS: keyRing.describe(
    "Publishable keys by name, JSON. Set by the platform.",
  ),
  SUPABASE_SECRET_KEYS: keyRing.describe(
    "Secret keys by name, JSON. Set by the platform.",
  ),
  SUPABASE_JWKS: keySet.optional().describe(
    "Public keys that verify user tokens, JSON. Set by the platform.",
  ),
  API_PUBLIC_URL: url.optional().describe(
    "Project URL as apps reach it, if it differs from SUPABASE_URL (supabase functions serve).",
  ),
  DISPATCH_SECRET: z.string().regex(
    /^whsec_([A-Za-z0-9+/]{4}){8,}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
    "must be whsec_ and at least 24 bytes in padded base64",
  )
    .describe(
      "Secret with which the database signs its calls to process-ai-job, render-ai-job and janitor; must equal the one in the Vault.",
    ),
  ELEVENLABS_API_KEY: z.string().min(1).optional().describe(
    "API key of ElevenLabs: voice clones, speech, transcripts.",
  ),
  ELEVENLABS_BASE_URL: url.default("https://api.elevenlabs.io").describe(
    "Base URL of the ElevenLabs API.",
  ),
  ELEVENLABS_WEBHOOK_SECRET: z.string().min(16).optional().describe(
    "Secret of the webhook registered at ElevenLabs. Without it, webhooks are refused and recordings over TRANSCRIPT_WAIT_MAX_BYTES fail.",
  ),
  DID_API_KEY: z.string().min(1).optional().describe(
    "API key of D-ID: talking photos.",
  ),
  DID_API_KEY_ENCODING: z.enum(["none", "base64"]).default("none").describe(
    "base64 if DID_API_KEY is a plain user:secret; none if it is copied from the D-ID dashboard.",
  ),
  DID_WEBHOOK_SECRET: z.string().min(32).optional().describe(
    "Random text from which the URL of each D-ID webhook is derived. Without it, jobs poll.",
  ),
  DID_BASE_URL: url.default("https://api.d-id.com").describe(
    "Base URL of the D-ID API.",
  ),
  HEYGEN_API_KEY: z.string().min(1).optional().describe(
    "API key of HeyGen: avatar videos.",
  ),
  HEYGEN_BASE_URL: url.default("https://api.heygen.com").describe(
    "Base URL of the HeyGen API.",
  ),
  HEYGEN_WEBHOOK_SECRET: z.string().min(16).optional().describe(
    "Secret of the webhook registered at HeyGen, including whsec_. Without it, webhooks are refused and jobs poll.",
  ),
  PROVIDER_WEBHOOK_URL: url.optional().describe(
    "URL at which providers reach provider-webhook. Default: the project's own URL, if it is https.",
  ),
  PROVIDER_STORAGE_URL: url.optional().describe(
    "Project URL from which providers fetch long recordings. Default: the project's own URL, if it is https.",
  ),
  TRANSCRIPT_WAIT_MAX_BYTES: z.coerce.number().int().min(1).max(5_368_709_120)
    .default(26_214_400).describe(
      "Largest recording, in bytes, transcribed while the worker waits; larger ones need ELEVENLABS_WEBHOOK_SECRET.",
    ),
  UPSTASH_REDIS_REST_URL: url.optional().describe(
    "REST URL of Upstash Redis for the result cache. Without it, the cache is in Postgres.",
  ),
  UPSTASH_REDIS_REST_TOKEN: z.string().min(1).optional().describe(
    "REST token of that Upstash Redis.",
  ),
  METRICS_TOKEN: z.string().min(16).optional().describe(
    "Bearer token with which Prometheus reads metrics. Without it, metrics returns 404.",
  ),
  DB_STATEMENT_TIMEOUT: seconds(30, 300).describe(
    "Timeout of a database call, in seconds.",
  ),
  AI_API_TIMEOUT: seconds(300, 300).describe(
    "Timeout of a call to an AI provider, in seconds.",
  ),
  REQUEST_TIMEOUT: seconds(10, 60).describe(
    "Seconds in which an endpoint must respond; after that it returns 504.",
  ),
  ISOLATE_WALL_CLOCK: seconds(150, 400).describe(
    "Maximum lifetime of an isolate, in seconds: 150 on the free plan, 400 on paid plans.",
  ),
  WORKER_CONCURRENCY: z.coerce.number().int().min(1).max(50).default(5)
    .describe(
      "Number of jobs that one isolate of process-ai-job runs at the same time.",
    ),
  DIRECT_DISPATCH: z.enum(["on", "off"]).default("on").describe(
    "Whether create-ai-job calls process-ai-job itself, in addition to the database.",
  ),
  WORKER_REGION: z.string().regex(
    /^[a-z]{2}-[a-z]+-[0-9]$/,
    "must be a region such as eu-central-1",
  ).optional().describe(
    "Region of the database, such as eu-central-1, in which create-ai-job starts process-ai-job. Default: that of its user.",
  ),
  LOG_LEVEL: logLevel.default("info").describe(
    "Lowest severity that is logged.",
  ),
}).refine(
  (env) =>
    (env.UPSTASH_REDIS_REST_URL === undefined) ===
      (env.UPSTASH_REDIS_REST_TOKEN === undefined),
  {
    path: ["UPSTASH_REDIS_REST_TOKEN"],
    message: "must be set together with UPSTASH_REDIS_REST_URL",
  },
);

/** The environment after checking; durations are whole seconds. */
export type Env = z.infer<typeof envSchema>;

/** An invalid environment. The message names each variable and its problem, never its value. */
export class EnvError extends Error {
  override readonly name = "EnvError";
}

/** Describes the problem with one variable, without its value. */
export interface EnvProblem {
  name: string;
  problem: string;
}

function checkVariables(variables: Record<string, string>) {
  return check(
    Object.fromEntries(
      Object.entries(variables).filter(([, value]) => value !== ""),
    ),
    envSchema,
  );
}

/** Every problem for which {@link readEnv} would reject these variables; empty when they are valid. */
export function findEnvProblems(
  variables: Record<string, string>,
): EnvProblem[] {
  return (checkVariables(variables).wrong ?? []).map(({ path, message }) => ({
    name: path.join("."),
    problem: message === "is required" ? "is not set" : message,
  }));
}

/**
 * Reads and checks the environment. An empty variable counts as unset; one that is set and malformed is an error,
 * never replaced by a default.
 *
 * @throws {EnvError} naming every variable that is missing or malformed.
 */
export function readEnv(platform: Pick<PlatformDeps, "env">): Env {
  const variables = platform.env();
  const { data } = checkVariables(variables);
  if (data !== undefined) return data;
  const problems = findEnvProblems(variables).map(({ name, problem }) =>
    `${name}: ${problem}`
  );
  throw new EnvError(
    `The environment is not complete. ${
      problems.join("; ")
    }. See .env.example.`,
  );
}

/** The secret key with which the functions call the project: the one named `default`, as in `@supabase/server`. */
export function ownSecretKey(env: Env): string {
  const { default: key } = env.SUPABASE_SECRET_KEYS;
  if (key !== undefined) return key;
  throw new EnvError("SUPABASE_SECRET_KEYS: has no key named default");
}

/** Values that must not appear in any log line or response. */
export function secretsOf(env: Env): string[] {
  return [
    ...Object.values(env.SUPABASE_SECRET_KEYS),
    env.DISPATCH_SECRET,
    env.ELEVENLABS_API_KEY,
    env.ELEVENLABS_WEBHOOK_SECRET,
    env.DID_API_KEY,
    env.DID_WEBHOOK_SECRET,
    env.HEYGEN_API_KEY,
    env.HEYGEN_WEBHOOK_SECRET,
    env.UPSTASH_REDIS_REST_TOKEN,
    env.METRICS_TOKEN,
  ].filter((secret) => secret !== undefined);
}

/**
 * The URL for provider webhooks: PROVIDER_WEBHOOK_URL, else the project's own provider-webhook if it is https (which
 * providers require), else undefined. Has no trailing slash.
 */
export function webhookUrl(env: Env): string | undefined {
  const own = new URL(
    "/functions/v1/provider-webhook",
    env.API_PUBLIC_URL ?? env.SUPABASE_URL,
  );
  return env.PROVIDER_WEBHOOK_URL?.replace(/\/+$/, "") ??
    (own.protocol === "https:" ? own.href : undefined);
}

/**
 * The project URL at which providers reach Storage: PROVIDER_STORAGE_URL, else the project's own URL if it is https,
 * else undefined. Has no trailing slash.
 */
export function providerStorageUrl(env: Env): string | undefined {
  const own = new URL(env.API_PUBLIC_URL ?? env.SUPABASE_URL);
  return env.PROVIDER_STORAGE_URL?.replace(/\/+$/, "") ??
    (own.protocol === "https:" ? own.origin : undefined);
}

/**
 * The settings that `@supabase/server` needs to verify user tokens and create clients. Without SUPABASE_JWKS, the keys
 * are fetched from the project's well-known URL.
 *
 * @throws {EnvError} if that package finds the environment unusable.
 */
export function supabaseEnv(env: Env): SupabaseEnv {
  const { data, error } = resolveEnv({
    url: env.SUPABASE_URL,
    publishableKeys: env.SUPABASE_PUBLISHABLE_KEYS,
    secretKeys: env.SUPABASE_SECRET_KEYS,
    ...(env.SUPABASE_JWKS === undefined ? {} : { jwks: env.SUPABASE_JWKS }),
  });
  if (error) throw new EnvError(error.message);
  return data;
}
