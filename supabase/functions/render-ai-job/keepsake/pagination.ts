/** Decides which photos share a page. */
import type { PageFormat } from "./page-size.ts";

/** The properties of a slide that pagination needs. */
export interface PaginatedSlide {
  /** In pixels, after rotation. */
  width: number;
  height: number;
  /** Characters below the photo. */
  textLength: number;
  /** The owner wants the photo to fill a page. */
  isFullPage: boolean;
}

/** A page inside the book; slides by their index. */
export type PagePlan =
  | { kind: "full"; slide: number }
  | { kind: "photos"; slides: readonly number[] };

/** How many photos a page may have; `auto` varies it. */
export type PhotosPerPage = "auto" | 1 | 2 | 4;

/** Longest text that fits below a photo on a page with two photos, and with four. */
const MAX_TEXT_LENGTH = { 1: Infinity, 2: 160, 4: 80 } as const;
/** Up to this many slides, each has its own page unless the owner chose otherwise. */
const SMALL_BOOK = 12;
/** Photos per page in a larger book, page by page, so that consecutive pages differ. */
const RHYTHM = [1, 2, 1, 4, 2, 2] as const;
/** By default, a photo fills a page if at most this part is cropped, at this resolution, once in this many pages. */
const FILLING = { maxCut: 0.1, minDpi: 200, every: 6 };

/**
 * Distributes the slides over pages, in order. Photos share a page if they have the same orientation and short captions, and
 * never more of them than `perPage`.
 */
export function paginate(
  slides: readonly PaginatedSlide[],
  format: PageFormat,
  perPage: PhotosPerPage,
): PagePlan[] {
  const pages: PagePlan[] = [];
  const isVaried = perPage === "auto" && slides.length > SMALL_BOOK;
  let lastFull = 0;
  let step = 0;
  for (let index = 0; index < slides.length;) {
    const slide = slides[index];
    if (slide === undefined) break;
    const mayFill = isVaried && pages.length - lastFull >= FILLING.every &&
      isFilling(slide, format);
    if (slide.isFullPage || mayFill) {
      lastFull = pages.length;
      pages.push({ kind: "full", slide: index++ });
      continue;
    }
    const wanted = perPage === "auto"
      ? isVaried ? RHYTHM[step++ % RHYTHM.length] ?? 1 : 1
      : perPage;
    const count = ([4, 2] as const).find((count) =>
      count <= wanted &&
      fitTogether(slides.slice(index, index + count), count, format, perPage)
    ) ?? 1;
    pages.push({
      kind: "photos",
      slides: Array.from({ length: count }, (_, offset) => index + offset),
    });
    index += count;
  }
  return pages;
}

/** Wide, tall, or neither, which combines with both. */
export function shapeOf(
  { width, height }: Pick<PaginatedSlide, "width" | "height">,
): "landscape" | "portrait" | "square" {
  const ratio = width / height;
  return ratio > 1.1 ? "landscape" : ratio < 0.9 ? "portrait" : "square";
}

/** The part of a photo that is cropped when it covers an area of this shape. */
export function cutBy(
  photo: Pick<PaginatedSlide, "width" | "height">,
  area: { width: number; height: number },
): number {
  const ratio = photo.width / photo.height / (area.width / area.height);
  return 1 - Math.min(ratio, 1 / ratio);
}

function isFilling(slide: PaginatedSlide, format: PageFormat): boolean {
  const inches = Math.max(
    format.width / slide.width,
    format.height / slide.height,
  ) / 72;
  return slide.textLength === 0 && cutBy(slide, format) <= FILLING.maxCut &&
    1 / inches >= FILLING.minDpi;
}

function fitTogether(
  slides: readonly PaginatedSlide[],
  count: 2 | 4,
  format: PageFormat,
  perPage: PhotosPerPage,
): boolean {
  const shapes = new Set(
    slides.map(shapeOf).filter((shape) => shape !== "square"),
  );
  // Four wide photos in two rows leave half of a tall page empty: only if the owner chose four per page.
  const isSparse = count === 4 && perPage === "auto" &&
    shapes.has("landscape") && format.height > format.width * 1.1;
  return slides.length === count && shapes.size <= 1 && !isSparse &&
    slides.every(({ isFullPage, textLength }) =>
      !isFullPage && textLength <= MAX_TEXT_LENGTH[count]
    );
}
