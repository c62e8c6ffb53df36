/**
 * ElevenLabs. The calls of its job types (voices.ts, speech.ts, transcripts.ts) are opened by `process-ai-job` alone:
 * through voices.ts they need a large package.
 */
import type { Provider, ProviderDeps } from "../provider.ts";
import type { ProviderAccess } from "../wire.ts";
import { createElevenLabsInventory } from "./inventory.ts";
import { elevenLabsWebhook } from "./webhook.ts";

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

export const elevenLabs: Provider = {
  name: "elevenlabs",
  webhook: elevenLabsWebhook,
  openInventory: (deps) =>
    deps.env.ELEVENLABS_API_KEY === undefined
      ? null
      : createElevenLabsInventory(elevenLabsAccess(deps)),
};
