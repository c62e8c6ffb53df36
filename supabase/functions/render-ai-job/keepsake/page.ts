/** One page of a keepsake, and the layout of each kind of page. */
import type PDFDocument from "pdfkit";
import type { PdfImage } from "pdfkit";
import type { PageFormat } from "./page-size.ts";
import { cutBy, shapeOf } from "./pagination.ts";
import type { PrintableText } from "./printable-text.ts";
import {
  type CharacterWidth,
  type Room,
  setText,
  type Setting,
} from "./typesetting.ts";

/** A photo that can be placed on a page. */
export interface Picture {
  image: PdfImage;
  /** In pixels, after rotation. */
  size: { width: number; height: number };
}

/** A slide with its photo. */
export interface PlacedSlide {
  picture: Picture;
  caption: PrintableText | null;
  date: PrintableText | null;
  /** Called with the pixels per inch each time the photo is placed. */
  note: (dpi: number) => void;
}

interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

const INK = "#2b2724", SOFT = "#8a817a", HAIRLINE = "#cfc8c1";
const ORNAMENT = "\u2767";
/** A photo is not enlarged below this many pixels per inch. */
const LEAST_RESOLUTION = 100;
/** Where a block with room around it is placed: slightly above the middle, which looks centred. */
const OPTICAL_MIDDLE = 0.44;
/** Largest part of a photo that may be cropped to fill a page or the top of the cover; otherwise it keeps its shape. */
const MOST_CUT = { page: 0.25, cover: 0.2 };

/** A new page of the document, and what can be placed on it. Positions are relative to the corner after trimming. */
export class Page {
  private readonly margin: number;

  constructor(
    private readonly document: PDFDocument,
    private readonly format: PageFormat,
    private readonly widthOf: CharacterWidth,
  ) {
    const { width, height, bleed } = format;
    this.margin = Math.round(width * 0.105);
    const sheet: [number, number] = [width + 2 * bleed, height + 2 * bleed];
    document.addPage({ size: sheet, margin: 0 });
    document.page.dictionary.data["BleedBox"] = [0, 0, ...sheet];
    document.page.dictionary.data["TrimBox"] = [
      bleed,
      bleed,
      bleed + width,
      bleed + height,
    ];
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
    const { width, height, bleed } = this.format;
    const measure = width - 2 * this.margin;
    const title = this.set(book.title, {
      width: measure,
      height: height * 0.22,
      sizes: [40, 36, 32, 28, 24, 20, 17, 14, 11],
      leading: 1.14,
    });
    const byline = book.author && this.set(book.author, {
      width: measure,
      height: 40,
      sizes: [16, 13, 11, 9],
      leading: 1.25,
    });
    const date = this.set(book.date, {
      width: measure,
      height: 20,
      sizes: [11.5, 9],
      leading: 1.25,
    });
    const text = title.height + 58 + (byline ? byline.height + 6 : 0) +
      date.height;
    const most = height - text - 2.2 * this.margin;
    const { size } = slide.picture;
    const across = width + 2 * bleed;
    const natural = across * size.height / size.width;
    const band = { width: across, height: Math.min(natural, most + bleed) };
    const isWide = shapeOf(size) !== "portrait" &&
      cutBy(size, band) <= MOST_CUT.cover &&
      72 * size.width / across >= LEAST_RESOLUTION;
    let y: number;
    if (isWide) {
      this.fill(slide, { x: -bleed, y: -bleed, ...band });
      const end = band.height - bleed;
      y = end + (height - end - text) * OPTICAL_MIDDLE;
    } else {
      const top = this.margin * 1.25, bottom = height - this.margin * 1.2;
      const frame = fitInto(size, {
        x: this.margin,
        y: top,
        width: measure,
        height: bottom - top - text - 32,
      });
      const start = top +
        (bottom - top - text - 32 - frame.height) * OPTICAL_MIDDLE;
      this.frame(slide, { ...frame, y: start });
      y = start + frame.height + 32;
    }
    let at = this.write(title, y) + 16;
    this.ornament(at);
    at += 42;
    if (byline) at = this.write(byline, at) + 6;
    this.write(date, at, SOFT);
  }

  /** A page with only a text. */
  foreword(content: PrintableText): void {
    const text = this.set(content, {
      width: this.format.width - 2.6 * this.margin,
      height: this.format.height - 3.4 * this.margin,
      sizes: [15, 14, 13, 12, 11, 10, 9],
      leading: 1.5,
    });
    const y = (this.format.height - text.height) * OPTICAL_MIDDLE;
    this.ornament(y - 40);
    this.write(text, y);
  }

  /** One photo up to the edges of the page, with a caption in a band below if there is one. */
  full(slide: PlacedSlide, number: number): void {
    const { width, height, bleed } = this.format;
    const text = this.legend(slide, {
      width: Math.min(width - 2 * this.margin, 430),
      height: height * 0.3,
      sizes: [14, 13, 12, 11, 10, 9, 8],
      leading: 1.38,
    });
    const band = text === null ? 0 : text.height + 1.9 * this.margin;
    const whole = {
      x: -bleed,
      y: -bleed,
      width: width + 2 * bleed,
      height: height + bleed + (text === null ? bleed : -band),
    };
    const { size } = slide.picture;
    if (cutBy(size, whole) <= MOST_CUT.page) {
      this.fill(slide, whole);
      text?.write(height - band + 0.55 * this.margin);
    } else if (size.width / size.height > whole.width / whole.height) {
      // As wide as the page, centred vertically.
      const tall = whole.width * size.height / size.width;
      const free = height - tall - (text?.height ?? 0) - 1.25 * this.margin;
      const y = Math.max(0, free * OPTICAL_MIDDLE);
      this.fill(slide, { ...whole, y, height: tall });
      text?.write(y + tall + 20);
    } else {
      const wide = whole.height * size.width / size.height;
      this.fill(slide, { ...whole, x: (width - wide) / 2, width: wide });
      text?.write(height - band + 0.55 * this.margin);
    }
    if (text !== null) this.number(number);
  }

  /** One, two or four photos, each with its caption. */
  photos(slides: readonly PlacedSlide[], number: number): void {
    const gap = slides.length === 1 ? 0 : this.margin * 0.45;
    const tall = slides.every(({ picture }) =>
      shapeOf(picture.size) === "portrait"
    );
    const columns = slides.length === 4 || slides.length === 2 && tall ? 2 : 1;
    const rows = slides.length / columns;
    const area = {
      x: this.margin,
      y: this.margin,
      width: this.format.width - 2 * this.margin,
      height: this.format.height - 2.25 * this.margin,
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
      const text = this.legend(slide, {
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
        this.frame(slide, {
          ...frame,
          x: left + frame.x,
          y: y + tallest - frame.height,
        });
        text?.write(y + tallest + between, left + cell.width / 2);
      }
      y += height + gap;
    }
    this.number(number);
  }

  /** The end of the book: its last photo again, small, and the title. */
  back(book: { title: PrintableText }, slide: PlacedSlide | null): void {
    const { width, height } = this.format;
    const title = this.set(book.title, {
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
    if (slide && frame) this.frame(slide, { ...frame, y });
    y += above;
    this.ornament(y);
    this.write(title, y + 38, SOFT);
  }

  /** Caption and date of a slide, one above the other; null when it has neither. */
  private legend(
    { caption, date }: PlacedSlide,
    room: Room,
  ): { height: number; write: (y: number, middle?: number) => void } | null {
    const dated = date && this.set(date, {
      width: room.width,
      height: 14,
      sizes: [9, 8, 7],
      leading: 1.4,
    });
    const told = caption && this.set(caption, {
      ...room,
      height: room.height - (dated?.height ?? 0),
    });
    if (!told && !dated) return null;
    const between = told && dated ? 3 : 0;
    return {
      height: (told?.height ?? 0) + between + (dated?.height ?? 0),
      write: (y, middle) => {
        const end = told ? this.write(told, y, INK, middle) : y;
        if (dated) this.write(dated, end + between, SOFT, middle);
      },
    };
  }

  private set(content: PrintableText, room: Room): Setting {
    return setText(content, room, this.widthOf);
  }

  /** Writes the text centred on `middle`, from `y` down; returns where it ends. */
  private write(
    { content, size, leading, lines }: Setting,
    y: number,
    color = INK,
    middle = this.format.width / 2,
  ): number {
    this.document.font(content.face, size).fillColor(color);
    const { bleed } = this.format;
    // pdfkit aligns the top of the font's line box, which differs from the line height used here.
    const rise = (size * leading - this.document.currentLineHeight(true)) / 2;
    for (const line of lines) {
      if (line !== "") {
        const width = this.document.widthOfString(line);
        this.document.text(
          line,
          bleed + middle - width / 2,
          bleed + y + rise,
          { lineBreak: false },
        );
      }
      y += size * leading;
    }
    return y;
  }

  /** A photo with a hairline around it, so that a bright photo has an edge. */
  private frame(slide: PlacedSlide, box: Box): void {
    const { bleed } = this.format;
    slide.note(72 * slide.picture.size.width / box.width);
    const x = box.x + bleed, y = box.y + bleed;
    // pdfkit rotates the image by its orientation; this is the size after that.
    this.document.image(slide.picture.image, x, y, {
      width: box.width,
      height: box.height,
    });
    this.document.lineWidth(0.4).strokeColor(HAIRLINE)
      .rect(x, y, box.width, box.height).stroke();
  }

  /** A photo that covers the box, cropped equally on both sides. */
  private fill(slide: PlacedSlide, box: Box): void {
    const { bleed } = this.format;
    const { size, image } = slide.picture;
    const scale = Math.max(box.width / size.width, box.height / size.height);
    slide.note(72 / scale);
    const width = size.width * scale, height = size.height * scale;
    const x = box.x + bleed, y = box.y + bleed;
    this.document.save().rect(x, y, box.width, box.height).clip();
    this.document.image(
      image,
      x + (box.width - width) / 2,
      y + (box.height - height) / 2,
      { width, height },
    );
    this.document.restore();
  }

  private ornament(y: number): void {
    this.write(
      {
        content: { text: ORNAMENT, face: "roman", pictures: 0, missing: [] },
        size: 20,
        leading: 1.2,
        lines: [ORNAMENT],
        height: 24,
      },
      y,
      SOFT,
    );
  }

  private number(number: number): void {
    this.write(
      {
        content: { text: `${number}`, face: "roman", pictures: 0, missing: [] },
        size: 10.5,
        leading: 1.2,
        lines: [`${number}`],
        height: 12.6,
      },
      this.format.height - this.margin * 0.78,
      SOFT,
    );
  }
}

/** The largest place for the photo, centred in the box: it keeps its shape and is not enlarged too far. */
function fitInto(
  photo: { width: number; height: number },
  box: Box,
): Box {
  const scale = Math.min(
    box.width / photo.width,
    box.height / photo.height,
    72 / LEAST_RESOLUTION,
  );
  const width = photo.width * scale, height = photo.height * scale;
  return { x: box.x + (box.width - width) / 2, y: box.y, width, height };
}
