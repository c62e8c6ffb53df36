/** The pages of a keepsake: the layout of each kind of page. */
import { cutBy, shapeOf } from "./pagination.ts";
import type { PrintableText } from "./printable-text.ts";
import {
  fitInto,
  MIN_RESOLUTION,
  type PlacedSlide,
  type Sheet,
  SOFT,
} from "./sheet.ts";
import type { Room } from "./typesetting.ts";

/** Where a block with room around it is placed: slightly above the middle, which looks centred. */
const OPTICAL_MIDDLE = 0.44;
/** Largest part of a photo that may be cropped to fill a page or the top of the cover; otherwise it keeps its shape. */
const MAX_CUT = { page: 0.25, cover: 0.2 };

/** The layouts, on a new sheet. */
export class Page {
  readonly #sheet: Sheet;

  constructor(sheet: Sheet) {
    this.#sheet = sheet;
  }

  /** The first photo, up to the edges where its shape allows it, with title, author and date. */
  cover(
    book: {
      title: PrintableText;
      author: PrintableText | null;
      date: PrintableText;
    },
    slide: PlacedSlide,
  ): void {
    const { width, height, bleed } = this.#sheet.format;
    const measure = width - 2 * this.#sheet.margin;
    const title = this.#sheet.set(book.title, {
      width: measure,
      height: height * 0.22,
      sizes: [40, 36, 32, 28, 24, 20, 17, 14, 11],
      leading: 1.14,
    });
    const byline = book.author && this.#sheet.set(book.author, {
      width: measure,
      height: 40,
      sizes: [16, 13, 11, 9],
      leading: 1.25,
    });
    const date = this.#sheet.set(book.date, {
      width: measure,
      height: 20,
      sizes: [11.5, 9],
      leading: 1.25,
    });
    const text = title.height + 58 + (byline ? byline.height + 6 : 0) +
      date.height;
    const most = height - text - 2.2 * this.#sheet.margin;
    const { size } = slide.picture;
    const across = width + 2 * bleed;
    const natural = across * size.height / size.width;
    const band = { width: across, height: Math.min(natural, most + bleed) };
    const isWide = shapeOf(size) !== "portrait" &&
      cutBy(size, band) <= MAX_CUT.cover &&
      72 * size.width / across >= MIN_RESOLUTION;
    let y: number;
    if (isWide) {
      this.#sheet.fill(slide, { x: -bleed, y: -bleed, ...band });
      const end = band.height - bleed;
      y = end + (height - end - text) * OPTICAL_MIDDLE;
    } else {
      const top = this.#sheet.margin * 1.25,
        bottom = height - this.#sheet.margin * 1.2;
      const frame = fitInto(size, {
        x: this.#sheet.margin,
        y: top,
        width: measure,
        height: bottom - top - text - 32,
      });
      const start = top +
        (bottom - top - text - 32 - frame.height) * OPTICAL_MIDDLE;
      this.#sheet.frame(slide, { ...frame, y: start });
      y = start + frame.height + 32;
    }
    let at = this.#sheet.write(title, y) + 16;
    this.#sheet.ornament(at);
    at += 42;
    if (byline) at = this.#sheet.write(byline, at) + 6;
    this.#sheet.write(date, at, SOFT);
  }

  /** A page with only a text. */
  foreword(content: PrintableText): void {
    const text = this.#sheet.set(content, {
      width: this.#sheet.format.width - 2.6 * this.#sheet.margin,
      height: this.#sheet.format.height - 3.4 * this.#sheet.margin,
      sizes: [15, 14, 13, 12, 11, 10, 9],
      leading: 1.5,
    });
    const y = (this.#sheet.format.height - text.height) * OPTICAL_MIDDLE;
    this.#sheet.ornament(y - 40);
    this.#sheet.write(text, y);
  }

  /** One photo up to the edges of the page, with a caption in a band below if there is one. */
  full(slide: PlacedSlide, number: number): void {
    const { width, height, bleed } = this.#sheet.format;
    const text = this.#sheet.legend(slide, {
      width: Math.min(width - 2 * this.#sheet.margin, 430),
      height: height * 0.3,
      sizes: [14, 13, 12, 11, 10, 9, 8],
      leading: 1.38,
    });
    const band = text === null ? 0 : text.height + 1.9 * this.#sheet.margin;
    const whole = {
      x: -bleed,
      y: -bleed,
      width: width + 2 * bleed,
      height: height + bleed + (text === null ? bleed : -band),
    };
    const { size } = slide.picture;
    if (cutBy(size, whole) <= MAX_CUT.page) {
      this.#sheet.fill(slide, whole);
      text?.write(height - band + 0.55 * this.#sheet.margin);
    } else if (size.width / size.height > whole.width / whole.height) {
      // As wide as the page, centred vertically.
      const tall = whole.width * size.height / size.width;
      const free = height - tall - (text?.height ?? 0) -
        1.25 * this.#sheet.margin;
      const y = Math.max(0, free * OPTICAL_MIDDLE);
      this.#sheet.fill(slide, { ...whole, y, height: tall });
      text?.write(y + tall + 20);
    } else {
      const wide = whole.height * size.width / size.height;
      this.#sheet.fill(slide, { ...whole, x: (width - wide) / 2, width: wide });
      text?.write(height - band + 0.55 * this.#sheet.margin);
    }
    if (text !== null) this.#sheet.number(number);
  }

  /** One, two or four photos, each with its caption. */
  photos(slides: readonly PlacedSlide[], number: number): void {
    const gap = slides.length === 1 ? 0 : this.#sheet.margin * 0.45;
    const tall = slides.every(({ picture }) =>
      shapeOf(picture.size) === "portrait"
    );
    const columns = slides.length === 4 || slides.length === 2 && tall ? 2 : 1;
    const rows = slides.length / columns;
    const area = {
      x: this.#sheet.margin,
      y: this.#sheet.margin,
      width: this.#sheet.format.width - 2 * this.#sheet.margin,
      height: this.#sheet.format.height - 2.25 * this.#sheet.margin,
    };
    const cell = {
      width: (area.width - gap * (columns - 1)) / columns,
      height: (area.height - gap * (rows - 1)) / rows,
    };
    const rooms: Record<number, Pick<Room, "sizes" | "height">> = {
      1: {
        sizes: [15, 14, 13, 12, 11, 10, 9, 8],
        height: cell.height * 0.42,
      },
      2: { sizes: [12.5, 12, 11, 10, 9, 8], height: cell.height * 0.3 },
      4: { sizes: [10.5, 10, 9, 8], height: cell.height * 0.3 },
    };
    const between = slides.length === 1 ? 22 : 11;
    const placed = slides.map((slide) => {
      const text = this.#sheet.legend(slide, {
        width: Math.min(cell.width, 430),
        leading: 1.34,
        ...rooms[slides.length] ?? { sizes: [8], height: 0 },
      });
      const below = text === null ? 0 : text.height + between;
      const frame = fitInto(slide.picture.size, {
        x: 0,
        y: 0,
        width: cell.width,
        height: cell.height - below,
      });
      return { slide, text, frame, height: frame.height + below };
    });
    // Rows are as high as their content, and the block is centred.
    const heights = Array.from({ length: rows }, (_, row) =>
      Math.max(
        ...placed.slice(row * columns, (row + 1) * columns)
          .map(({ height }) => height),
      ));
    const block = heights.reduce((sum, height) => sum + height, 0) +
      gap * (rows - 1);
    let y = area.y + (area.height - block) * OPTICAL_MIDDLE;
    for (const [row, height] of heights.entries()) {
      const inRow = placed.slice(row * columns, (row + 1) * columns);
      const tallest = Math.max(...inRow.map(({ frame }) => frame.height));
      for (const [column, { slide, text, frame }] of inRow.entries()) {
        const left = area.x + column * (cell.width + gap);
        // Photos of a row are aligned at the bottom, so that their captions start at the same height.
        this.#sheet.frame(slide, {
          ...frame,
          x: left + frame.x,
          y: y + tallest - frame.height,
        });
        text?.write(y + tallest + between, left + cell.width / 2);
      }
      y += height + gap;
    }
    this.#sheet.number(number);
  }

  /** The end of the book: its last photo again, small, and the title. */
  back(book: { title: PrintableText }, slide: PlacedSlide | null): void {
    const { width, height } = this.#sheet.format;
    const title = this.#sheet.set(book.title, {
      width: width * 0.5,
      height: 80,
      sizes: [13, 12, 11, 10, 9, 8],
      leading: 1.3,
    });
    const frame = slide && fitInto(slide.picture.size, {
      x: width * 0.32,
      y: 0,
      width: width * 0.36,
      height: height * 0.28,
    });
    const above = frame ? frame.height + 30 : 0;
    const block = above + 38 + title.height;
    let y = (height - block) * OPTICAL_MIDDLE;
    if (slide && frame) this.#sheet.frame(slide, { ...frame, y });
    y += above;
    this.#sheet.ornament(y);
    this.#sheet.write(title, y + 38, SOFT);
  }
}
