import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  type Env,
  EnvError,
  envSchema,
  providerStorageUrl,
  readEnv,
  secretsOf,
  supabaseEnv,
  webhookUrl,
} from "../../../../supabase/functions/_shared/config/env.ts";
import { COMPLETE_ENV } from "../../../_support/fake-platform.ts";

function read(variables: Record<string, string>): Env {
  return readEnv({ env: () => ({ ...COMPLETE_ENV, ...variables }) });
}

function refusal(variables: Record<string, string>): string {
  return assertThrows(() => read(variables), EnvError).message;
}

Deno.test("readEnv: only some variables are required, and the others have these defaults", () => {
  const required: Partial<Env> = {
    SUPABASE_URL: "https://project.test",
    SUPABASE_PUBLISHABLE_KEYS: { default: "sb_publishable_0123456789" },
    SUPABASE_SECRET_KEYS: { default: "sb_secret_0123456789" },
    DISPATCH_SECRET: COMPLETE_ENV.DISPATCH_SECRET,
  };
  const defaults: Partial<Env> = {
    DB_STATEMENT_TIMEOUT: 30,
    AI_API_TIMEOUT: 300,
    REQUEST_TIMEOUT: 10,
    ISOLATE_WALL_CLOCK: 150,
    WORKER_CONCURRENCY: 5,
    TRANSCRIPT_WAIT_MAX_BYTES: 26_214_400,
    DIRECT_DISPATCH: "on",
    LOG_LEVEL: "info",
  };
  // The variables of the providers, which may get more.
  const ofProviders = Object.entries(read({})).filter(([name]) =>
    !(name in required) && !(name in defaults)
  );
  for (const [name, value] of ofProviders) {
    assertMatch(name, /_(BASE_URL|API_KEY_ENCODING)$/);
    if (name.endsWith("_URL")) assertMatch(String(value), /^https:\/\//);
  }
  assertEquals(read({}), { ...read({}), ...required, ...defaults });
});

for (const name of Object.keys(COMPLETE_ENV)) {
  Deno.test(`readEnv: without ${name} nothing starts, and the error names only it`, () => {
    const given = Object.entries(COMPLETE_ENV).filter(([key]) => key !== name);
    const { message } = assertThrows(
      () => readEnv({ env: () => Object.fromEntries(given) }),
      EnvError,
    );
    assertStringIncludes(message, `${name}: is not set`);
    assertEquals(message.match(/[A-Z_]{6,}:/g), [`${name}:`]);
  });
}

for (const name of Object.keys(envSchema.shape)) {
  Deno.test(`readEnv: an empty ${name} counts as not set`, () => {
    const isRequired = name in COMPLETE_ENV;
    if (isRequired) {
      assertStringIncludes(refusal({ [name]: "" }), `${name}: is not set`);
    } else assertEquals(read({ [name]: "" }), read({}));
  });
}

Deno.test("readEnv: LOG_LEVEL is accepted in any case, and warning is warn", () => {
  const level = (text: string) => read({ LOG_LEVEL: text }).LOG_LEVEL;
  assertEquals(level("DEBUG"), "debug");
  assertEquals(level("Info"), "info");
  assertEquals(["WARN", "warning", "Warning"].map(level), [
    "warn",
    "warn",
    "warn",
  ]);
  assertEquals(level("ERROR"), "error");
});

const marker = "hunter2-not-to-be-seen";
for (
  const [name, wrong, right] of [
    ["SUPABASE_URL", marker, "http://127.0.0.1:54321"],
    ["SUPABASE_URL", `ftp://${marker}`, "https://abc.supabase.co"],
    ["SUPABASE_PUBLISHABLE_KEYS", marker, '{"default":"k"}'],
    ["SUPABASE_PUBLISHABLE_KEYS", "{}", '{"web":"k"}'],
    ["SUPABASE_SECRET_KEYS", `["${marker}"]`, '{"default":"k"}'],
    ["SUPABASE_SECRET_KEYS", "{}", '{"jobs":"k"}'],
    ["SUPABASE_SECRET_KEYS", '{"default":""}', '{"default":"k"}'],
    ["SUPABASE_JWKS", `{"keys":["${marker}"]}`, '{"keys":[{"kty":"EC"}]}'],
    ["SUPABASE_JWKS", "{}", '{"keys":[]}'],
    ["API_PUBLIC_URL", marker, "http://127.0.0.1:54321"],
    ["DISPATCH_SECRET", marker, COMPLETE_ENV.DISPATCH_SECRET],
    // 23 bytes are too few, 24 are enough.
    [
      "DISPATCH_SECRET",
      `whsec_${btoa("b".repeat(23))}`,
      `whsec_${btoa("b".repeat(24))}`,
    ],
    // Not base64: Postgres could not sign with it, and the functions could not verify.
    [
      "DISPATCH_SECRET",
      `whsec_${"A".repeat(33)}`,
      `whsec_${"A".repeat(36)}`,
    ],
    [
      "DISPATCH_SECRET",
      `whsec_${"A".repeat(34)}`,
      `whsec_${"A".repeat(34)}==`,
    ],
    ["ELEVENLABS_BASE_URL", marker, "http://127.0.0.1:9000/elevenlabs"],
    ["DID_BASE_URL", marker, "http://127.0.0.1:9000/d-id"],
    ["HEYGEN_BASE_URL", marker, "http://127.0.0.1:9000/heygen"],
    ["DB_STATEMENT_TIMEOUT", marker, "1"],
    ["DB_STATEMENT_TIMEOUT", "0", "300"],
    ["DB_STATEMENT_TIMEOUT", "301", "300"],
    ["DB_STATEMENT_TIMEOUT", "1.5", "2"],
    ["AI_API_TIMEOUT", "301", "300"],
    ["AI_API_TIMEOUT", "-1", "1"],
    ["REQUEST_TIMEOUT", "61", "60"],
    ["REQUEST_TIMEOUT", "10s", "10"],
    ["ISOLATE_WALL_CLOCK", "401", "400"],
    ["WORKER_CONCURRENCY", "51", "50"],
    ["WORKER_CONCURRENCY", "0", "1"],
    ["LOG_LEVEL", marker, "debug"],
    ["LOG_LEVEL", "warnings", "error"],
  ] as const
) {
  Deno.test(`readEnv: ${name}=${wrong} is refused by name and never replaced or quoted; ${right} is accepted`, () => {
    const message = refusal({ [name]: wrong });
    assertMatch(message, new RegExp(`\\b${name}: (?!is not set)\\S`));
    assert(!message.includes(marker), message);
    assert(!message.includes(wrong) || wrong.length < 3, message);
    read({ [name]: right });
  });
}

Deno.test("readEnv: the error has every wrong variable and the file that explains them", () => {
  assertMatch(
    refusal({ SUPABASE_URL: "", LOG_LEVEL: "loud" }),
    /SUPABASE_URL: .*LOG_LEVEL: .*\.env\.example/,
  );
});

for (
  const [given, missing] of [
    ["UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"],
    ["UPSTASH_REDIS_REST_TOKEN", "UPSTASH_REDIS_REST_URL"],
  ] as const
) {
  Deno.test(`readEnv: ${given} without ${missing} is refused, both together are accepted`, () => {
    const value = "https://redis.test";
    assertStringIncludes(refusal({ [given]: value }), missing);
    assertEquals(read({ [given]: value, [missing]: value })[given], value);
  });
}

Deno.test("readEnv: unknown variables are ignored", () => {
  assertEquals(read({ PATH: "/bin", SB_REGION: "eu" }), read({}));
});

Deno.test("secretsOf: every key, token and secret is included; a URL is not", () => {
  const keys = Object.keys(envSchema.shape).filter((name) =>
    /_(API_KEY|TOKEN|SECRET)$/.test(name)
  );
  for (const provider of ["ELEVENLABS", "DID", "HEYGEN"]) {
    assert(keys.includes(`${provider}_API_KEY`), provider);
  }
  const valueOf = (name: string) => `value-of-${name}`.padEnd(40, "-");
  const env = read({
    ...Object.fromEntries(keys.map((name) => [name, valueOf(name)])),
    DISPATCH_SECRET: COMPLETE_ENV.DISPATCH_SECRET,
    UPSTASH_REDIS_REST_URL: "https://redis.test",
    SUPABASE_SECRET_KEYS: '{"default":"sb_secret_1","other":"sb_secret_2"}',
  });
  assertEquals(
    secretsOf(env).sort(),
    [
      "sb_secret_1",
      "sb_secret_2",
      COMPLETE_ENV.DISPATCH_SECRET,
      ...keys.filter((name) => name !== "DISPATCH_SECRET").map(valueOf),
    ].sort(),
  );
});

Deno.test("webhookUrl: the configured URL, else the project's if providers accept it, else none", () => {
  const path = "/functions/v1/provider-webhook";
  assertEquals(webhookUrl(read({})), `https://project.test${path}`);
  assertEquals(
    webhookUrl(read({ API_PUBLIC_URL: "https://apps.test" })),
    `https://apps.test${path}`,
  );
  assertEquals(
    webhookUrl(read({ SUPABASE_URL: "http://127.0.0.1:54321" })),
    undefined,
  );
  assertEquals(
    webhookUrl(read({ PROVIDER_WEBHOOK_URL: "http://127.0.0.1:9/hook/" })),
    "http://127.0.0.1:9/hook",
  );
});

Deno.test("providerStorageUrl: the configured URL, else the project's if providers accept it, else none", () => {
  assertEquals(providerStorageUrl(read({})), "https://project.test");
  assertEquals(
    providerStorageUrl(read({ API_PUBLIC_URL: "https://apps.test/" })),
    "https://apps.test",
  );
  assertEquals(
    providerStorageUrl(read({ SUPABASE_URL: "http://127.0.0.1:54321" })),
    undefined,
  );
  assertEquals(
    providerStorageUrl(read({ PROVIDER_STORAGE_URL: "http://127.0.0.1:9/" })),
    "http://127.0.0.1:9",
  );
});

Deno.test("supabaseEnv: passes on the checked values, without reading the process's environment", () => {
  const env = read({ SUPABASE_JWKS: '{"keys":[{"kty":"EC","kid":"a"}]}' });
  assertEquals(supabaseEnv(env), {
    url: "https://project.test",
    publishableKeys: { default: "sb_publishable_0123456789" },
    secretKeys: { default: "sb_secret_0123456789" },
    jwks: { keys: [{ kty: "EC", kid: "a" }] },
  });
});
