/** Access to the account at ElevenLabs. */
import type { ProviderDeps } from "../provider.ts";
import type { ProviderAccess } from "../wire.ts";

/** How the deployment's ElevenLabs account is reached. */
export function elevenLabsAccess(
  { env, fetch, timeoutSeconds }: ProviderDeps,
): ProviderAccess {
  return {
    apiKey: env.ELEVENLABS_API_KEY,
    baseUrl: env.ELEVENLABS_BASE_URL,
    timeoutSeconds,
    fetch,
  };
}
