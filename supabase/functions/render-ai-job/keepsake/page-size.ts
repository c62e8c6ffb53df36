/** The formats of a keepsake. Lengths are points, 1/72 inch. */

const MM = 72 / 25.4;

/** A page as it is after the printer has cut it, and what is printed beyond each edge so that no white shows there. */
export interface PageFormat {
  width: number;
  height: number;
  bleed: number;
}

/** By the names that apps use. 3 mm and an eighth of an inch are what printers ask for. */
export const PAGE_FORMATS = {
  a4: { width: 210 * MM, height: 297 * MM, bleed: 3 * MM },
  letter: { width: 612, height: 792, bleed: 9 },
  square: { width: 210 * MM, height: 210 * MM, bleed: 3 * MM },
} as const satisfies Record<string, PageFormat>;
/** The sizes that there are. */
export type PageSize = keyof typeof PAGE_FORMATS;
