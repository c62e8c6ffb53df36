/**
 * ElevenLabs. The calls of its job types (voices.ts, speech.ts, transcripts.ts) are opened by `process-ai-job` alone:
 * through voices.ts they need a large package.
 */
import type { Provider } from "../provider.ts";
import { elevenLabsAccess } from "./access.ts";
import { createElevenLabsInventory } from "./inventory.ts";
import { elevenLabsWebhook } from "./webhook.ts";

export const elevenLabs: Provider = {
  name: "elevenlabs",
  webhook: elevenLabsWebhook,
  openInventory: (deps) =>
    deps.env.ELEVENLABS_API_KEY === undefined
      ? null
      : createElevenLabsInventory(elevenLabsAccess(deps)),
};
