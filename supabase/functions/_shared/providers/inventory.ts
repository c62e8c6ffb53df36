/** What the janitor needs of every provider: to list what it holds for us, to ask for one thing, and to remove it. */
import type { AvatarVideos } from "./avatar-videos.ts";

/** Something that a provider lists. */
export interface ListedObject {
  /** The provider's own id. */
  id: string;
  type: "voice" | "avatar";
  /** The uuid of its marker `job:<uuid>`; null for what carries none. */
  jobId: string | null;
}

/** A page of a provider's list; `next` is the provider's word for the page after it, null after the last. */
export interface ObjectPage {
  objects: ListedObject[];
  next: string | null;
}

/** Something to be removed, as `private.provider_removals` has it. */
export interface RemovableObject {
  id: string;
  /** `voice`, `avatar`, or the operation of a journalled call. */
  objectType: string;
  /** About when it was made, where that is known. */
  madeAt: Date | null;
}

/** What one provider holds for us. Every method throws ProviderFailure and nothing else. */
export interface ProviderInventory {
  /** Its name in `ai_providers`. */
  readonly provider: string;
  /** A page of all that carries a marker of ours, and maybe of more. @param cursor `next` of the page before, or null. */
  list(cursor: string | null, signal: AbortSignal): Promise<ObjectPage>;
  /** Whether it is there, asked for by its id. */
  has(id: string, signal: AbortSignal): Promise<boolean>;
  /**
   * The id of what carries the marker, or null.
   * @throws ProviderFailure `outcome_unknown` when things of this type cannot be looked up.
   */
  find(
    objectType: string,
    marker: string,
    signal: AbortSignal,
  ): Promise<string | null>;
  /** Removes it. When this ends, the provider does not have it; what was gone already is fine. */
  remove(object: RemovableObject, signal: AbortSignal): Promise<void>;
}

/** The part of an inventory that the clients of avatar videos have besides {@link AvatarVideos}. */
export type VideoListing = Pick<ProviderInventory, "list" | "has">;

/** A uuid as a part of a regular expression. */
export const UUID =
  "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const MARKER = new RegExp(`^job:(${UUID})$`);

/** The uuid of a text that is a marker and nothing else, or null. */
export function markedJob(text: string | null | undefined): string | null {
  return MARKER.exec(text ?? "")?.[1] ?? null;
}

/** The inventory of a provider of avatar videos. */
export function videoInventory(
  provider: string,
  videos: AvatarVideos & VideoListing,
): ProviderInventory {
  return {
    provider,
    list: videos.list,
    has: videos.has,
    find: (_objectType, marker, signal) => videos.findByMarker(marker, signal),
    remove: ({ id }, signal) => videos.remove(id, signal),
  };
}
