/**
 * Every AI provider: a line here, and its folder. The janitor lists and removes objects of these, `provider-webhook`
 * accepts their webhooks, and `process-ai-job` finds here those that make avatar videos.
 */
import type { AvatarProvider } from "../contracts/avatar-video.ts";
import type { PlatformDeps } from "../platform/deps.ts";
import type { AvatarVideos } from "./avatar-videos.ts";
import { dId } from "./d-id/index.ts";
import { elevenLabs } from "./elevenlabs/index.ts";
import { heyGen } from "./heygen/index.ts";
import type { ProviderInventory } from "./inventory.ts";
import type { Provider, ProviderDeps, VideoProvider } from "./provider.ts";
import {
  createResultDownload,
  type ResultDownload,
} from "./result-download.ts";
import type { ProviderWebhook } from "./webhook.ts";

/** Calls `open` for each provider that makes avatar videos. */
function ofVideoProviders<T>(
  open: (provider: VideoProvider) => T,
): Readonly<Record<AvatarProvider, T>> {
  return {
    "d-id": open(dId),
    heygen: open(heyGen),
  };
}

/** Every provider. */
export const PROVIDERS: readonly Provider[] = [
  elevenLabs,
  ...Object.values(ofVideoProviders((provider) => provider)),
];

/** The calls of each provider that renders avatar videos, and the download of its results. */
export function openAvatarVideos(
  deps: ProviderDeps & Pick<PlatformDeps, "resolveHost">,
): {
  providers: Readonly<Record<AvatarProvider, AvatarVideos>>;
  results: Readonly<Record<AvatarProvider, ResultDownload>>;
} {
  return {
    providers: ofVideoProviders((provider) => provider.openVideos(deps)),
    results: ofVideoProviders((provider) =>
      createResultDownload(deps, provider.baseUrl(deps.env))
    ),
  };
}

/** The inventories of the providers for which the deployment has a key. */
export function openInventories(deps: ProviderDeps): ProviderInventory[] {
  return PROVIDERS.map((provider) => provider.openInventory(deps))
    .filter((inventory) => inventory !== null);
}

/** The webhooks of the provider with this name; undefined when there is no such provider. */
export function webhookOf(name: string): ProviderWebhook | undefined {
  return PROVIDERS.find((provider) => provider.name === name)?.webhook;
}
