/** The first step: inspects each photo. */
import {
  readInputRange,
  STORAGE_TIMEOUT_SECONDS,
} from "../../_shared/storage/object-store.ts";
import { COSTS } from "../budget.ts";
import { notPrintable, photoFailure } from "../failures.ts";
import { inspectPhoto, PhotoError } from "../keepsake/inspect-photo.ts";
import { pause, type RenderDeps, type Rendering } from "../rendering.ts";
import type { PlannedPhoto } from "../plan.ts";

/** The limit of the bucket for uploads. */
const MAX_PHOTO_BYTES = 52_428_800;
/** Photos that are read at the same time: most of the time is spent waiting for Storage. */
const AT_ONCE = 6;

/**
 * Reads the beginning and the end of each photo.
 *
 * @throws {JobFailure} `photo_not_printable` and `photo_not_found` (final), naming the slide.
 * @throws {Snooze} when photos are left for the next request.
 */
export async function inspectPhotos(
  { supabase }: Pick<RenderDeps, "supabase">,
  { context, plan, budget, save }: Rendering,
): Promise<void> {
  const left = plan.photos.filter(({ inspected }) => inspected === null);
  if (left.length === 0) return;
  for (let from = 0; from < left.length; from += AT_ONCE) {
    const batch = left.slice(from, from + AT_ONCE);
    if (!budget.take(batch.length * 2 * COSTS.read)) {
      await save();
      throw pause("reading_photos");
    }
    context.progress(
      20 - Math.round(15 * (left.length - from) / plan.photos.length),
      "reading_photos",
    );
    // Waits for all, so that the error names the first slide and not the one that failed first.
    const ends = await Promise.allSettled(batch.map(inspect));
    for (const end of ends) {
      if (end.status === "rejected") throw end.reason;
    }
  }
  await save();

  async function inspect(photo: PlannedPhoto): Promise<void> {
    const { object, size, slide } = photo;
    if (size === 0 || size > MAX_PHOTO_BYTES) {
      throw notPrintable(slide, "is empty or larger than 50 MiB");
    }
    try {
      const found = await inspectPhoto(
        object,
        size,
        (from, to) =>
          readInputRange(
            supabase,
            object,
            { from, to },
            AbortSignal.any([
              context.signal,
              AbortSignal.timeout(STORAGE_TIMEOUT_SECONDS * 1000),
            ]),
          ),
      );
      photo.inspected = { takenOn: found.takenOn };
      if ("image" in found) photo.image = found.image;
      else photo.png = { unpackedBytes: found.png.unpackedBytes };
    } catch (error) {
      if (!(error instanceof PhotoError)) throw photoFailure(slide, error);
      throw notPrintable(slide, error.message, error);
    }
  }
}
