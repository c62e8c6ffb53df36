/** The interface of a provider. A new one is a folder and a line in index.ts. */
import type { Env } from "../config/env.ts";
import type { AvatarVideos } from "./avatar-videos.ts";
import type { ProviderInventory } from "./inventory.ts";
import type { ProviderWebhook } from "./webhook.ts";

/** The dependencies of a provider's clients. */
export interface ProviderDeps {
  env: Env;
  fetch: typeof fetch;
  /** Bound of a request, body included. */
  timeoutSeconds: number;
}

/** A provider of AI services. */
export interface Provider {
  /** Its name in `ai_providers`, and in the address of its webhooks. */
  readonly name: string;
  readonly webhook: ProviderWebhook;
  /** Our objects in its account; null without a key. */
  openInventory(deps: ProviderDeps): ProviderInventory | null;
}

/** A provider that makes avatar videos. */
export interface VideoProvider extends Provider {
  openVideos(deps: ProviderDeps): AvatarVideos;
  /** The address of its API. */
  baseUrl(env: Env): string;
}
