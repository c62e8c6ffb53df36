/** How far a keepsake has come: what is written down between the requests that make it. */
import { z } from "zod";
import { imageSchema, segmentSchema } from "./keepsake/book-file.ts";

/** A photo of the slideshow; slides that show the same one share it. */
const photoSchema = z.object({
  /** `<bucket>/<path>`. */
  object: z.string(),
  size: z.number(),
  /** Tells the file from another one that has taken its place. */
  version: z.string(),
  /** The first slide that shows it, from 1. */
  slide: z.number(),
  /** Set when it has been looked at; the day on which it was taken, as YYYY-MM-DD. */
  look: z.object({ takenOn: z.string().nullable() }).nullable(),
  /** A PNG that has still to be prepared: what that unpacks, in bytes. */
  png: z.object({ unpackedBytes: z.number() }).nullable(),
  /** Set when it can be written into the book. */
  image: imageSchema.nullable(),
});
/** See {@link planSchema}. */
export type PlannedPhoto = z.infer<typeof photoSchema>;

/** What `get_keepsake_contents` answers. */
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
/** The slideshow as it was when the keepsake was begun. */
export type Contents = NonNullable<z.infer<typeof contentsSchema>>;

/** The whole of it. */
export const planSchema = z.object({
  contents: contentsSchema.unwrap(),
  photos: z.array(photoSchema),
  /** Set when the pages are made: the file as it will be. */
  book: z.object({
    pageCount: z.number(),
    segments: z.array(segmentSchema),
    size: z.number(),
    /** Slides, from 1. */
    tooSmall: z.array(z.number()),
  }).nullable(),
});
/** See {@link planSchema}. */
export type Plan = z.infer<typeof planSchema>;

/** A plan of which nothing is done. Slides whose photo is not in Storage are not in it; see {@link missingSlide}. */
export function newPlan(contents: Contents): Plan {
  const photos = new Map<string, PlannedPhoto>();
  for (const [index, { object, size, version }] of contents.slides.entries()) {
    if (object === null || size === null || photos.has(object)) continue;
    photos.set(object, {
      object,
      size,
      version,
      slide: index + 1,
      look: null,
      png: null,
      image: null,
    });
  }
  return { contents, photos: [...photos.values()], book: null };
}

/** Whether the photos of the plan are still what they were. */
export function isCurrent(plan: Plan, contents: Contents): boolean {
  const versions = new Map(
    contents.slides.map(({ object, version }) => [object, version]),
  );
  return plan.photos.every(({ object, version }) =>
    (versions.get(object) ?? version) === version
  );
}
