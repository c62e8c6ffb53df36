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

/** Keys by name, as the platform gives them: a JSON object such as `{"default":"sb_secret_…"}`. */
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

/** Every variable the functions know, with its meaning. .env.example lists the same (a unit test compares them). */
export const envSchema = z.object({
  SUPABASE_URL: url.describe("Address of the project. Set by the platform."),
  SUPABASE_PUBLISHABLE_KEYS: keyRing.describe(
    "Publishable keys by name, JSON. Set by the platform.",
  ),
  SUPABASE_SECRET_KEYS: keyRing.describe(
    "Secret keys by name, JSON. Set by the platform.",
  ),
  SUPABASE_JWKS: keySet.optional().describe(
    "Keys that sign user tokens, JSON. Set by the platform.",
  ),
  API_PUBLIC_URL: url.optional().describe(
    "Address of the project as apps see it, when it differs from SUPABASE_URL (supabase functions serve).",
  ),
  DISPATCH_SECRET: z.string().regex(
    /^whsec_([A-Za-z0-9+/]{4}){8,}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
    "must be whsec_ and at least 24 bytes in padded base64",
  )
    .describe(
      "Secret by which the database signs its calls to process-ai-job, render-ai-job and janitor; the same as in the Vault.",
    ),
  ELEVENLABS_API_KEY: z.string().min(1).optional().describe(
    "Key of ElevenLabs: voice clones, speech, transcripts.",
  ),
  ELEVENLABS_BASE_URL: url.default("https://api.elevenlabs.io").describe(
    "Address of ElevenLabs.",
  ),
  ELEVENLABS_WEBHOOK_SECRET: z.string().min(16).optional().describe(
    "Secret of the webhook registered at ElevenLabs; without it its webhooks are refused, and jobs are polled.",
  ),
  DID_API_KEY: z.string().min(1).optional().describe(
    "Key of D-ID: talking photos.",
  ),
  DID_API_KEY_ENCODING: z.enum(["none", "base64"]).default("none").describe(
    "base64 if the D-ID key is user:secret in the clear; none for a key as its dashboard shows it.",
  ),
  DID_WEBHOOK_SECRET: z.string().min(32).optional().describe(
    "A random text of your own, from which the address of each D-ID webhook is made; without it talks are polled.",
  ),
  DID_BASE_URL: url.default("https://api.d-id.com").describe(
    "Address of D-ID.",
  ),
  HEYGEN_API_KEY: z.string().min(1).optional().describe(
    "Key of HeyGen: avatar videos.",
  ),
  HEYGEN_BASE_URL: url.default("https://api.heygen.com").describe(
    "Address of HeyGen.",
  ),
  HEYGEN_WEBHOOK_SECRET: z.string().min(16).optional().describe(
    "Secret of the webhook registered at HeyGen, whsec_ included; without it its webhooks are refused, and jobs are polled.",
  ),
  PROVIDER_WEBHOOK_URL: url.optional().describe(
    "Address of provider-webhook as providers reach it; without it, the project's own if that is https.",
  ),
  PROVIDER_STORAGE_URL: url.optional().describe(
    "Address of the project from which providers fetch long recordings; without it, the project's own if that is https.",
  ),
  TRANSCRIPT_WAIT_MAX_BYTES: z.coerce.number().int().min(1).max(5_368_709_120)
    .default(26_214_400).describe(
      "Recordings of up to so many bytes are transcribed while the worker waits; longer ones need ELEVENLABS_WEBHOOK_SECRET.",
    ),
  UPSTASH_REDIS_REST_URL: url.optional().describe(
    "Upstash Redis for the result cache; without it Postgres is used.",
  ),
  UPSTASH_REDIS_REST_TOKEN: z.string().min(1).optional().describe(
    "Token of that Upstash Redis.",
  ),
  METRICS_TOKEN: z.string().min(16).optional().describe(
    "Bearer token by which Prometheus reads metrics; without it metrics is switched off.",
  ),
  DB_STATEMENT_TIMEOUT: seconds(30, 300).describe(
    "Seconds after which a call to the database is given up.",
  ),
  AI_API_TIMEOUT: seconds(300, 300).describe(
    "Seconds after which a call to an AI provider is given up.",
  ),
  REQUEST_TIMEOUT: seconds(10, 60).describe(
    "Seconds an endpoint may take to answer; then it answers 504.",
  ),
  ISOLATE_WALL_CLOCK: seconds(150, 400).describe(
    "Seconds an isolate lives: 150 on the free plan, 400 on paid plans.",
  ),
  WORKER_CONCURRENCY: z.coerce.number().int().min(1).max(50).default(5)
    .describe(
      "Jobs that one isolate of process-ai-job works on at the same time.",
    ),
  LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info")
    .describe("Least severity that is logged."),
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

/** An environment that cannot work. The message names each variable and what is wrong with it, never its value. */
export class EnvError extends Error {
  override readonly name = "EnvError";
}

/** What is wrong with one variable, without its value. */
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

/** Everything that {@link readEnv} would object to in these variables; none when they can be used. */
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

/** The secret key by which the functions themselves call the project: the one named `default`, as `@supabase/server` takes it. */
export function ownSecretKey(env: Env): string {
  const { default: key } = env.SUPABASE_SECRET_KEYS;
  if (key !== undefined) return key;
  throw new EnvError("SUPABASE_SECRET_KEYS: has no key named default");
}

/** Values that may not appear in any log line or answer. */
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
 * Where providers call back: PROVIDER_WEBHOOK_URL, else the project's own provider-webhook when it has an address that
 * providers take (https), else undefined. Without a slash at the end.
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
 * The project as providers reach its Storage: PROVIDER_STORAGE_URL, else the project's own address when that is https,
 * else undefined. Without a slash at the end.
 */
export function providerStorageUrl(env: Env): string | undefined {
  const own = new URL(env.API_PUBLIC_URL ?? env.SUPABASE_URL);
  return env.PROVIDER_STORAGE_URL?.replace(/\/+$/, "") ??
    (own.protocol === "https:" ? own.origin : undefined);
}

/**
 * What `@supabase/server` needs to verify user tokens and make clients, from the checked environment. Without
 * SUPABASE_JWKS the keys are fetched from the project's well-known address.
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
