/** D-ID. */
import { videoInventory } from "../inventory.ts";
import type { ProviderDeps, VideoProvider } from "../provider.ts";
import { createDIdTalks } from "./talks.ts";
import { dIdCallbackUrl, dIdWebhook } from "./webhook.ts";

function openTalks({ env, fetch, timeoutSeconds }: ProviderDeps) {
  return createDIdTalks({
    apiKey: env.DID_API_KEY,
    keyEncoding: env.DID_API_KEY_ENCODING,
    baseUrl: env.DID_BASE_URL,
    timeoutSeconds,
    fetch,
    callbackUrl: (jobId) => dIdCallbackUrl(env, jobId),
  });
}

export const dId: VideoProvider = {
  name: "d-id",
  webhook: dIdWebhook,
  openInventory: (deps) =>
    deps.env.DID_API_KEY === undefined
      ? null
      : videoInventory("d-id", openTalks(deps)),
  openVideos: openTalks,
  baseUrl: (env) => env.DID_BASE_URL,
};
