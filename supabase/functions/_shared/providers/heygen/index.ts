/** HeyGen. */
import { videoInventory } from "../inventory.ts";
import type { ProviderDeps, VideoProvider } from "../provider.ts";
import { createHeyGenVideos } from "./videos.ts";
import { heyGenWebhook } from "./webhook.ts";

function openVideos({ env, fetch, timeoutSeconds }: ProviderDeps) {
  return createHeyGenVideos({
    apiKey: env.HEYGEN_API_KEY,
    baseUrl: env.HEYGEN_BASE_URL,
    timeoutSeconds,
    fetch,
  });
}

export const heyGen: VideoProvider = {
  name: "heygen",
  webhook: heyGenWebhook,
  openInventory: (deps) =>
    deps.env.HEYGEN_API_KEY === undefined
      ? null
      : videoInventory("heygen", openVideos(deps)),
  openVideos,
  baseUrl: (env) => env.HEYGEN_BASE_URL,
};
