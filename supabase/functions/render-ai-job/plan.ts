/** The progress of a keepsake, as it is saved between the requests that make it. */
import { z } from "zod";
import { imageSchema, segmentSchema } from "./keepsake/book-file.ts";

/** A photo of the slideshow. Slides that show the same photo share it. */
const photoSchema = z.object({
  /** `<bucket>/<path>`. */
  object: z.string(),
  size: z.number(),
  /** Changes when the file is replaced. */
  version: z.string(),
  /** The first slide that shows it, from 1. */
  slide: z.number(),
  /** Set when it has been inspected: the day on which it was taken, as YYYY-MM-DD. */
  inspected: z.object({ takenOn: z.string().nullable() }).nullable(),
  /** Set for a PNG that has to be prepared: its decompressed size. */
  png: z.object({ unpackedBytes: z.number() }).nullable(),
  /** Set when it can be embedded in the book. */
  image: imageSchema.nullable(),
});
/** See {@link planSchema}. */
export type PlannedPhoto = z.infer<typeof photoSchema>;

/** What `get_keepsake_contents` returns. */
export const contentsSchema = z.object({
  id: z.uuid(),
  title: z.string(),
  description: z.string().nullable(),
  created_at: z.string(),
  author: z.string().nullable(),
  locale: z.string(),
  time_zone: z.string(),
  slides: z.array(z.object({
    caption: z.string().nullable(),
    is_full_page: z.boolean(),
    object: z.string().nullable(),
    size: z.number().nullable(),
    version: z.string(),
  })),
}).nullable();
/** The slideshow as it was when the keepsake was started. */
export type Contents = NonNullable<z.infer<typeof contentsSchema>>;

/** The plan of a keepsake. */
export const planSchema = z.object({
  contents: contentsSchema.unwrap(),
  photos: z.array(photoSchema),
  /** Set when the pages are made: the segments of the final file. */
  book: z.object({
    pageCount: z.number(),
    segments: z.array(segmentSchema),
    size: z.number(),
    /** Slides, from 1, whose photo is too small to print sharply. */
    tooSmall: z.array(z.number()),
  }).nullable(),
});
/** See {@link planSchema}. */
export type Plan = z.infer<typeof planSchema>;

/** A new plan. Slides whose photo is not in Storage have no photo in it. */
export function newPlan(contents: Contents): Plan {
  const photos = new Map<string, PlannedPhoto>();
  for (const [index, { object, size, version }] of contents.slides.entries()) {
    if (object === null || size === null || photos.has(object)) continue;
    photos.set(object, {
      object,
      size,
      version,
      slide: index + 1,
      inspected: null,
      png: null,
      image: null,
    });
  }
  return { contents, photos: [...photos.values()], book: null };
}

/** Whether no photo of the plan has been replaced. */
export function isCurrent(plan: Plan, contents: Contents): boolean {
  const versions = new Map(
    contents.slides.map(({ object, version }) => [object, version]),
  );
  return plan.photos.every(({ object, version }) =>
    (versions.get(object) ?? version) === version
  );
}
