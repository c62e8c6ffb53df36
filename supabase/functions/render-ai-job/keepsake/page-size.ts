/** The formats of a keepsake. Lengths are points, 1/72 inch. */

const MM = 72 / 25.4;

/** The size of a page after trimming, and the bleed: what is printed beyond each edge so that no white shows. */
export interface PageFormat {
  width: number;
  height: number;
  bleed: number;
}

/** By the names that apps use. Printers require 3 mm or an eighth of an inch of bleed. */
export const PAGE_FORMATS = {
  a4: { width: 210 * MM, height: 297 * MM, bleed: 3 * MM },
  letter: { width: 612, height: 792, bleed: 9 },
  square: { width: 210 * MM, height: 210 * MM, bleed: 3 * MM },
} as const satisfies Record<string, PageFormat>;
/** The name of a page format. */
export type PageSize = keyof typeof PAGE_FORMATS;
