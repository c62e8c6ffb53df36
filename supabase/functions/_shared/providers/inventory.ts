/** Our objects at a provider, for the janitor and for operators: lists, inspects, finds and removes them. */
import type { AvatarVideos } from "./avatar-videos.ts";
import { isGone } from "./wire.ts";

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

/** An object to be removed or inspected. */
export interface RemovableObject {
  id: string;
  /** `voice`, `avatar`, or the operation of a journalled call. */
  objectType: string;
  /** About when it was created, if known. */
  madeAt: Date | null;
}

/** What a provider says about an object. */
export interface InspectedObject {
  /** The id by which the journal knows it: a speech has two. */
  id: string;
  /** The uuid of its marker, null when it has none of ours, undefined where the provider shows no marker. */
  jobId: string | null | undefined;
  /** What it speaks, where the provider keeps that. */
  text?: string | undefined;
}

/** Our objects at one provider. Every method throws ProviderFailure and nothing else. */
export interface ProviderInventory {
  /** Its name in `ai_providers`. */
  readonly provider: string;
  /** A page of the objects with our markers, and possibly others. @param cursor `next` of the page before, or null. */
  list(cursor: string | null, signal: AbortSignal): Promise<ObjectPage>;
  /** Whether the object with this id exists. */
  has(id: string, signal: AbortSignal): Promise<boolean>;
  /** What the object with this id is, or null when it does not exist. */
  inspect(
    object: RemovableObject,
    signal: AbortSignal,
  ): Promise<InspectedObject | null>;
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

/** The part of an inventory that clients of avatar videos implement besides {@link AvatarVideos}. */
export interface VideoListing extends Pick<ProviderInventory, "list" | "has"> {
  /** The uuid of the video's marker, as in {@link InspectedObject}. Throws when it does not exist. */
  jobOf(id: string, signal: AbortSignal): Promise<string | null | undefined>;
}

/** The regular expression of a uuid, as a fragment. */
export const UUID =
  "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const MARKER = new RegExp(`^job:(${UUID})$`);

/** Reads an object; null when the provider says that it does not exist. */
export async function unlessGone<T>(
  read: () => Promise<T>,
): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

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
    inspect: ({ id }, signal) =>
      unlessGone(async () => ({ id, jobId: await videos.jobOf(id, signal) })),
    find: (_objectType, marker, signal) => videos.findByMarker(marker, signal),
    remove: ({ id }, signal) => videos.remove(id, signal),
  };
}
