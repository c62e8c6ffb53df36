/** The first step: what each photo is. */
import {
  readInputRange,
  STORAGE_TIMEOUT_SECONDS,
} from "../../_shared/storage/object-store.ts";
import { COSTS } from "../budget.ts";
import { final, photoFailure } from "../failures.ts";
import { lookAtPhoto, PhotoError } from "../keepsake/look.ts";
import { pause, type RenderDeps, type Rendering } from "../rendering.ts";
import type { PlannedPhoto } from "../plan.ts";

/** What the bucket for uploads takes. */
const MAX_PHOTO_BYTES = 52_428_800;
/** Photos that are looked at at the same time: most of the time passes in waiting for Storage. */
const AT_ONCE = 6;

/**
 * Reads the beginning and the end of each photo.
 *
 * @throws {JobFailure} `photo_not_printable` and `photo_not_found` (final), naming the slide. {Snooze} when some are left.
 */
export async function lookAtPhotos(
  { supabase }: Pick<RenderDeps, "supabase">,
  { context, plan, budget, save }: Rendering,
): Promise<void> {
  const left = plan.photos.filter(({ look }) => look === null);
  if (left.length === 0) return;
  for (let from = 0; from < left.length; from += AT_ONCE) {
    const lot = left.slice(from, from + AT_ONCE);
    if (!budget.take(lot.length * 2 * COSTS.read)) {
      await save();
      throw pause("reading_photos");
    }
    context.progress(
      20 - Math.round(15 * (left.length - from) / plan.photos.length),
      "reading_photos",
    );
    // All of them are waited for, so that the one that is named is the first, and not the quickest.
    const ends = await Promise.allSettled(lot.map(look));
    for (const end of ends) {
      if (end.status === "rejected") throw end.reason;
    }
  }
  await save();

  async function look(photo: PlannedPhoto): Promise<void> {
    const { object, size, slide } = photo;
    if (size === 0 || size > MAX_PHOTO_BYTES) {
      throw final(
        "photo_not_printable",
        `slide ${slide}: the photo is empty or larger than 50 MiB`,
      );
    }
    try {
      const found = await lookAtPhoto(
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
      photo.look = { takenOn: found.takenOn };
      if ("image" in found) photo.image = found.image;
      else photo.png = { unpackedBytes: found.png.unpackedBytes };
    } catch (error) {
      if (!(error instanceof PhotoError)) throw photoFailure(slide, error);
      throw final(
        "photo_not_printable",
        `slide ${slide}: the photo ${error.message}`,
        error,
      );
    }
  }
}
