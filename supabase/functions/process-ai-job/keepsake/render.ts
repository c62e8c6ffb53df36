/**
 * A keepsake: a slideshow as a book in PDF, made page by page. Nothing of it is kept but the page that is being made, so
 * that its size is no matter of memory.
 */
import { decodeBase64 } from "@std/encoding";
import PDFDocument from "pdfkit";
import type { FontData } from "./font-data.ts";
import { ITALIC, ROMAN } from "./font-data.ts";
import { embedPhoto, type Photo, PhotoError } from "./photo.ts";
import type { Face, PrintableText } from "./printable-text.ts";

/** Width and height of a page in points (1/72 inch). */
export const PAGE_SIZES = {
  a4: [595.28, 841.89],
  letter: [612, 792],
  square: [595.28, 595.28],
} as const satisfies Record<string, readonly [number, number]>;
/** The sizes that there are. */
export type PageSize = keyof typeof PAGE_SIZES;

/** What stands on the cover, and on the page after it when there is a foreword. All text is printable. */
export interface Book {
  pageSize: PageSize;
  title: PrintableText;
  author: PrintableText | null;
  date: PrintableText;
  foreword: PrintableText | null;
  /** What a reader's program says about the file, which needs no font. */
  about: {
    title: string;
    author: string | null;
    createdAt: Date;
    locale: string;
  };
}

/** A page of the book. */
export interface Slide {
  caption: PrintableText | null;
  /** A JPEG or PNG file. */
  photo: Uint8Array;
}

/** Most pixels with transparency that are unpacked for one keepsake: about 0.7 s of processor time, of 2 s in all. */
export const MAX_UNPACKED_PIXELS = 6_000_000;

const INK = "#2b2724", SOFT = "#8a817a", HAIRLINE = "#cfc8c1";
const ORNAMENT = "\u2767";
/** A photo is not shown coarser than this many pixels to the inch. */
const LEAST_RESOLUTION = 100;
/** Where a block stands that has room left: a little above the middle looks like the middle. */
const OPTICAL_MIDDLE = 0.44;

/** How many pages the book has. */
export function countPages(book: Book, slides: number): number {
  return 1 + (book.foreword === null ? 0 : 1) + slides;
}

/**
 * Makes the book, giving out its bytes as each page is done. The cover shows the first photo, which lies in the file
 * once.
 *
 * Guarantees: fonts are embedded, as far as they are used; text can be searched and copied; a text that is too long
 * for its place is set smaller, and every text of up to 2,000 characters has place.
 *
 * @param slides at least one.
 * @throws {SlideError} when a photo cannot be printed; whatever `slides` throws.
 */
export async function* renderKeepsake(
  book: Book,
  slides: AsyncIterable<Slide>,
): AsyncGenerator<Uint8Array, void> {
  const document = new PDFDocument({
    autoFirstPage: false,
    font: null,
    displayTitle: true,
    lang: book.about.locale,
    info: {
      Title: book.about.title,
      ...(book.about.author === null ? {} : { Author: book.about.author }),
      CreationDate: book.about.createdAt,
    },
  });
  document.registerFont("roman", await unpack(ROMAN));
  document.registerFont("italic", await unpack(ITALIC));
  const made = function* () {
    for (let bytes = document.read(); bytes !== null; bytes = document.read()) {
      yield bytes;
    }
  };

  let number = 0;
  let unpacked = 0;
  for await (const { caption, photo: bytes } of slides) {
    number++;
    let photo: Photo;
    try {
      photo = embedPhoto(
        document,
        bytes,
        number,
        MAX_UNPACKED_PIXELS - unpacked,
      );
    } catch (error) {
      throw error instanceof PhotoError ? new SlideError(number, error) : error;
    }
    unpacked += photo.unpacked;
    if (number === 1) {
      new Page(document, book.pageSize).cover(book, photo);
      if (book.foreword !== null) {
        new Page(document, book.pageSize).foreword(book.foreword);
      }
    }
    new Page(document, book.pageSize).slide(
      photo,
      caption,
      countPages(book, number),
    );
    yield* made();
  }
  document.end();
  yield* made();
}

/** A slide that cannot be printed, and which one: the first is 1. */
export class SlideError extends Error {
  override readonly name = "SlideError";
  constructor(readonly number: number, override readonly cause: PhotoError) {
    super(`slide ${number} cannot be printed`, { cause });
  }
}

async function unpack({ gzipped }: FontData): Promise<Uint8Array> {
  const stream = new Blob([new Uint8Array(decodeBase64(gzipped))]).stream()
    .pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Text with its place: centred, in lines of about the same length. */
interface Setting {
  content: PrintableText;
  size: number;
  /** Height of a line, in sizes. */
  leading: number;
  width: number;
  height: number;
}

/** A new page of the document, and what can be put on it. */
class Page {
  private readonly width: number;
  private readonly height: number;
  private readonly margin: number;

  constructor(private readonly document: PDFDocument, size: PageSize) {
    [this.width, this.height] = PAGE_SIZES[size];
    this.margin = Math.round(this.width * 0.115);
    document.addPage({ size: [this.width, this.height], margin: 0 });
  }

  cover(book: Book, photo: Photo): void {
    const width = this.width - 2 * this.margin;
    const title = this.set(book.title, {
      width,
      height: this.height * 0.22,
      sizes: [38, 34, 30, 26, 22, 19, 16, 13, 11],
      leading: 1.16,
    });
    const byline = book.author === null ? null : this.set(book.author, {
      width,
      height: 40,
      sizes: [16, 13, 11, 9],
      leading: 1.25,
    });
    const date = this.set(book.date, {
      width,
      height: 20,
      sizes: [11.5, 9],
      leading: 1.25,
    });
    const below = 32 + title.height + 58 +
      (byline === null ? 0 : byline.height + 6) + date.height;
    const top = this.margin * 1.25;
    const bottom = this.height - this.margin * 1.2;
    const frame = fitInto(photo, {
      x: this.margin,
      y: top,
      width,
      height: bottom - top - below,
    });
    const y = top + (bottom - top - below - frame.height) * OPTICAL_MIDDLE;
    this.put(photo, { ...frame, y });
    let at = this.write(title, y + frame.height + 32) + 16;
    this.ornament(at);
    at += 42;
    if (byline !== null) at = this.write(byline, at) + 6;
    this.write(date, at, SOFT);
  }

  foreword(content: PrintableText): void {
    const room = {
      width: this.width - 2.6 * this.margin,
      height: this.height - 3.4 * this.margin,
      sizes: [15, 14, 13, 12, 11, 10, 9],
      leading: 1.5,
    };
    const asWritten = this.set(content, room);
    const text = asWritten.height <= room.height ? asWritten : this.set(
      // More lines than a page has: they run on.
      { ...content, text: content.text.replaceAll(/\s+/g, " ") },
      room,
    );
    const y = (this.height - text.height) * OPTICAL_MIDDLE;
    this.ornament(y - 40);
    this.write(text, y);
  }

  slide(photo: Photo, content: PrintableText | null, number: number): void {
    const width = this.width - 2 * this.margin;
    const top = this.margin, bottom = this.height - this.margin * 1.25;
    const gap = content === null ? 0 : 22;
    const caption = content === null ? null : this.caption(content, {
      width: Math.min(width, 430),
      height: (bottom - top) * 0.42,
      sizes: [15, 14, 13, 12, 11, 10, 9, 8],
      leading: 1.38,
    });
    const below = gap + (caption?.height ?? 0);
    const frame = fitInto(photo, {
      x: this.margin,
      y: top,
      width,
      height: bottom - top - below,
    });
    const y = top + (bottom - top - below - frame.height) * OPTICAL_MIDDLE;
    this.put(photo, { ...frame, y });
    if (caption !== null) this.write(caption, y + frame.height + gap);
    this.number(number);
  }

  private caption(content: PrintableText, room: Room): Setting {
    const asWritten = this.set(content, room);
    return asWritten.height <= room.height ? asWritten : this.set(
      { ...content, text: content.text.replaceAll(/\s+/g, " ") },
      room,
    );
  }

  /** The text in the largest of the sizes that has place, else in the smallest; in lines of about the same length. */
  private set(content: PrintableText, room: Room): Setting {
    let setting: Setting | undefined;
    for (const size of room.sizes) {
      setting = this.measure(content, size, room.leading, room.width);
      if (setting.height <= room.height) break;
    }
    if (setting === undefined) throw new TypeError("no size to set text in");
    // The narrowest measure that needs no more lines.
    let low = room.width * 0.3, high = room.width;
    for (let step = 0; step < 6; step++) {
      const middle = (low + high) / 2;
      const narrow = this.measure(content, setting.size, room.leading, middle);
      if (narrow.height > setting.height + 0.01) low = middle;
      else high = middle;
    }
    return { ...setting, width: high };
  }

  private measure(
    content: PrintableText,
    size: number,
    leading: number,
    width: number,
  ): Setting {
    this.use(content.face, size);
    const height = this.document.heightOfString(content.text, {
      width,
      lineGap: this.lineGap(size, leading),
    });
    return { content, size, leading, width, height };
  }

  /** Writes the text in the middle of the page from `y` down, and answers where it ends. */
  private write(setting: Setting, y: number, color = INK): number {
    const { content, size, leading, width, height } = setting;
    this.use(content.face, size);
    this.document.fillColor(color).text(
      content.text,
      (this.width - width) / 2,
      y,
      { width, align: "center", lineGap: this.lineGap(size, leading) },
    );
    return y + height;
  }

  private use(face: Face, size: number): void {
    this.document.font(face, size);
  }

  /** What is added to the font's own height of a line so that lines are `leading` sizes apart. */
  private lineGap(size: number, leading: number): number {
    return size * leading - this.document.currentLineHeight(false);
  }

  private put(photo: Photo, { x, y, width, height }: Box): void {
    // pdfkit turns the image by its orientation; this is the size afterwards.
    this.document.image(photo.image, x, y, { width, height });
    this.document.lineWidth(0.4).strokeColor(HAIRLINE)
      .rect(x, y, width, height).stroke();
  }

  private ornament(y: number): void {
    this.document.font("roman", 20).fillColor(SOFT).text(ORNAMENT, 0, y, {
      width: this.width,
      align: "center",
    });
  }

  private number(number: number): void {
    this.document.font("roman", 10.5).fillColor(SOFT).text(
      `${number}`,
      0,
      this.height - this.margin * 0.78,
      { width: this.width, align: "center" },
    );
  }
}

interface Room {
  width: number;
  height: number;
  sizes: readonly number[];
  leading: number;
}

/** The largest place for the photo in the middle of the box: its shape is kept, and it is not blown up. */
function fitInto(photo: Photo, box: Box): Box {
  const scale = Math.min(
    box.width / photo.width,
    box.height / photo.height,
    72 / LEAST_RESOLUTION,
  );
  const width = photo.width * scale, height = photo.height * scale;
  return {
    x: box.x + (box.width - width) / 2,
    y: box.y,
    width,
    height,
  };
}
