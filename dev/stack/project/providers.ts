/** Decides which AI providers are real and which are simulated, and sets their variables for the functions. */

/** A provider with its variables and the path of its simulator. */
export interface ProviderChoice {
  name: string;
  keyVariable: string;
  /** Real when the developer has set its key; off when there is neither a key nor a simulator. */
  mode: "real" | "simulated" | "off";
}

/** The providers that job types use and the simulators implement. A new job type may add one. */
const providers = [
  {
    name: "ElevenLabs",
    keyVariable: "ELEVENLABS_API_KEY",
    urlVariable: "ELEVENLABS_BASE_URL",
    webhookSecretVariable: "ELEVENLABS_WEBHOOK_SECRET",
    path: "/elevenlabs",
  },
  {
    name: "D-ID",
    keyVariable: "DID_API_KEY",
    urlVariable: "DID_BASE_URL",
    webhookSecretVariable: "DID_WEBHOOK_SECRET",
    path: "/d-id",
  },
  {
    name: "HeyGen",
    keyVariable: "HEYGEN_API_KEY",
    urlVariable: "HEYGEN_BASE_URL",
    webhookSecretVariable: "HEYGEN_WEBHOOK_SECRET",
    path: "/heygen",
  },
] as const;

/** The key for simulators; no provider would accept it. */
const simulatedKey = "simulated-by-the-embedded-stack";
/** The secret with which simulators sign webhooks and recognize webhook URLs. It protects nothing. */
export const simulatedWebhookSecret = "whsec_simulated-by-the-embedded-stack";

/**
 * Completes the developer's variables: a provider without a key gets the address of its simulator and a key that works
 * only there. With `upstash` the result cache is simulated too, unless a real one is configured.
 *
 * @param apiUrl the callback URL of the simulators. Real providers cannot reach this machine, except through
 *   PROVIDER_WEBHOOK_URL.
 */
export function chooseProviders(
  given: Record<string, string>,
  simulatorUrl: string | undefined,
  upstash: "simulated" | "none",
  apiUrl?: string,
): { env: Record<string, string>; choices: ProviderChoice[] } {
  const env = { ...given };
  const choices = providers.map(
    (
      { name, keyVariable, urlVariable, webhookSecretVariable, path },
    ): ProviderChoice => {
      if (given[keyVariable]) return { name, keyVariable, mode: "real" };
      if (simulatorUrl === undefined) {
        return { name, keyVariable, mode: "off" };
      }
      env[keyVariable] = simulatedKey;
      env[urlVariable] = given[urlVariable] || `${simulatorUrl}${path}`;
      env[webhookSecretVariable] = given[webhookSecretVariable] ||
        simulatedWebhookSecret;
      return { name, keyVariable, mode: "simulated" };
    },
  );
  // For D-ID, which receives the address with each talk and refuses an unreachable one.
  if (
    apiUrl !== undefined &&
    choices.some(({ name, mode }) => name === "D-ID" && mode === "simulated")
  ) {
    env["PROVIDER_WEBHOOK_URL"] ||= `${apiUrl}/functions/v1/provider-webhook`;
  }
  // A simulated provider can download long recordings from this machine; a real one could not.
  if (
    apiUrl !== undefined &&
    choices.some(({ name, mode }) =>
      name === "ElevenLabs" && mode === "simulated"
    )
  ) env["PROVIDER_STORAGE_URL"] ||= apiUrl;
  const redis = { name: "Upstash", keyVariable: "UPSTASH_REDIS_REST_URL" };
  if (given["UPSTASH_REDIS_REST_URL"]) {
    choices.push({ ...redis, mode: "real" });
  } else if (upstash === "simulated" && simulatorUrl !== undefined) {
    env["UPSTASH_REDIS_REST_URL"] = `${simulatorUrl}/upstash`;
    env["UPSTASH_REDIS_REST_TOKEN"] = simulatedKey;
    choices.push({ ...redis, mode: "simulated" });
  } else choices.push({ ...redis, mode: "off" });
  return { env, choices };
}
