/** The secrets of a data folder: created once, and readable by their owner only. */
import { encodeBase64, encodeBase64Url } from "@std/encoding";
import { join } from "@std/path";
import { z } from "zod";
import { StackError } from "../console/stack-error.ts";

const privateJwk = z.object({
  kty: z.literal("EC"),
  crv: z.literal("P-256"),
  x: z.string(),
  y: z.string(),
  d: z.string(),
  kid: z.string(),
  alg: z.literal("ES256"),
});

const keysSchema = z.object({
  /** API key of apps, `sb_publishable_…`: the role `anon`, or the user whose token is sent with it. */
  publishableKey: z.string(),
  /** API key of trusted servers, `sb_secret_…`: the role `service_role`. */
  secretKey: z.string(),
  /** Shared between the gateway and the embedded Auth and Storage; never leaves this process. */
  internalJwtSecret: z.string(),
  /** Signs the user tokens of apps. */
  signingKey: privateJwk,
  /** Signs dispatches of the database to functions; a Standard Webhooks secret (`whsec_` and base64). */
  dispatchSecret: z.string(),
});

/** The secrets of a stack. */
export type StackKeys = z.infer<typeof keysSchema>;

function random(bytes: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(bytes));
}

function apiKey(kind: "publishable" | "secret"): string {
  const text = encodeBase64Url(random(24)).replace(/[-_]/g, "x");
  return `sb_${kind}_${text.slice(0, 22)}_${text.slice(22, 30)}`;
}

/** Generates secrets in the formats of a hosted project. */
export async function generateKeys(): Promise<StackKeys> {
  const pair = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    true,
    ["sign", "verify"],
  );
  const jwk = await crypto.subtle.exportKey("jwk", pair.privateKey);
  return keysSchema.parse({
    publishableKey: apiKey("publishable"),
    secretKey: apiKey("secret"),
    internalJwtSecret: encodeBase64Url(random(48)),
    signingKey: { ...jwk, kid: crypto.randomUUID(), alg: "ES256" },
    dispatchSecret: `whsec_${encodeBase64(random(32))}`,
  });
}

/**
 * The secrets of a data folder. The first call creates them and writes the file (mode 600). Throws {@link StackError}
 * when the file exists but is not valid.
 */
export async function loadKeys(dataDir: string): Promise<StackKeys> {
  const file = join(dataDir, "keys.json");
  let text: string;
  try {
    text = await Deno.readTextFile(file);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    const keys = await generateKeys();
    const draft = `${file}.draft`;
    await Deno.writeTextFile(draft, JSON.stringify(keys, null, 2), {
      mode: 0o600,
    });
    await Deno.rename(draft, file);
    return keys;
  }
  try {
    return keysSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new StackError(
      `${file} is damaged. Remove ${dataDir} to start with new keys.`,
      { cause },
    );
  }
}
