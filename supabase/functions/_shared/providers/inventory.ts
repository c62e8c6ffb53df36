/** The janitor's access to a provider: lists our objects, checks that one exists, and removes it. */
import type { AvatarVideos } from "./avatar-videos.ts";

/** An object that a provider lists. */
export interface ListedObject {
  /** The provider's own id. */
  id: string;
  type: "voice" | "avatar";
  /** The uuid of its marker `job:<uuid>`; null without a marker. */
  jobId: string | null;
}

/** A page of a provider's list; `next` is the provider's cursor of the next page, null after the last. */
export interface ObjectPage {
  objects: ListedObject[];
  next: string | null;
}

/** An object to be removed, a row of `private.provider_removals`. */
export interface RemovableObject {
  id: string;
  /** `voice`, `avatar`, or the operation of a journalled call. */
  objectType: string;
  /** About when it was created, if known. */
  madeAt: Date | null;
}

/** Our objects at one provider. Every method throws ProviderFailure and nothing else. */
export interface ProviderInventory {
  /** Its name in `ai_providers`. */
  readonly provider: string;
  /** A page of the objects with our markers, and possibly others. @param cursor `next` of the page before, or null. */
  list(cursor: string | null, signal: AbortSignal): Promise<ObjectPage>;
  /** Whether the object with this id exists. */
  has(id: string, signal: AbortSignal): Promise<boolean>;
  /**
   * The id of the object that carries the marker, or null.
   * @throws ProviderFailure `outcome_unknown` when objects of this type cannot be searched.
   */
  find(
    objectType: string,
    marker: string,
    signal: AbortSignal,
  ): Promise<string | null>;
  /** Removes it. Succeeds if it does not exist any more. */
  remove(object: RemovableObject, signal: AbortSignal): Promise<void>;
}

/** The part of an inventory that clients of avatar videos implement beside {@link AvatarVideos}. */
export type VideoListing = Pick<ProviderInventory, "list" | "has">;

/** The regular expression of a uuid, as a fragment. */
export const UUID =
  "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const MARKER = new RegExp(`^job:(${UUID})$`);

/** The uuid of a text that consists of a marker, or null. */
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
