/**
 * The pages of a keepsake, as a PDF that is complete except for its photos: each is a white image of one pixel, whose object
 * is replaced when the photo is written (book-file.ts).
 */
import { decodeBase64 } from "@std/encoding";
import PDFDocument, { type PdfImage } from "pdfkit";
import { type FontData, ITALIC, ROMAN } from "./font-data.ts";
import { Page } from "./page.ts";
import { type Picture, Sheet } from "./sheet.ts";
import { PAGE_FORMATS, type PageSize } from "./page-size.ts";
import { paginate, type PhotosPerPage } from "./pagination.ts";
import type { PrintableText } from "./printable-text.ts";
import type { CharacterWidth } from "./typesetting.ts";

/** A stored photo. */
export interface BookPhoto {
  width: number;
  height: number;
  /** Exif orientation, 1 to 8. */
  orientation: number;
}

/** A slide of the book. Text is printable. */
export interface BookSlide {
  /** Index of the photo. */
  photo: number;
  caption: PrintableText | null;
  date: PrintableText | null;
  isFullPage: boolean;
}

/** The content of a book. */
export interface Book {
  pageSize: PageSize;
  photosPerPage: PhotosPerPage;
  title: PrintableText;
  author: PrintableText | null;
  date: PrintableText;
  foreword: PrintableText | null;
  photos: readonly BookPhoto[];
  /** At least one. */
  slides: readonly BookSlide[];
  /** Document properties, which need no font. */
  about: {
    title: string;
    author: string | null;
    createdAt: Date;
    locale: string;
  };
}

/** The pages, and what is needed to write the photos. */
export interface RenderedPages {
  pdf: Uint8Array;
  pageCount: number;
  /** The number of the object of each photo. */
  imageIds: readonly number[];
  /** For each slide, the pixels per inch of its photo at the largest size at which it is printed. */
  resolutions: readonly number[];
}

/**
 * Makes the pages: a cover, the foreword if there is one, the slides, and a back cover on an even page.
 *
 * Guarantees: each page has a TrimBox and a BleedBox around it; the glyphs that are used are embedded; text can be searched
 * and copied; every text of up to 2,000 characters fits.
 */
export async function renderPages(book: Book): Promise<RenderedPages> {
  const document = new PDFDocument({
    autoFirstPage: false,
    font: null,
    pdfVersion: "1.6",
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
  const format = PAGE_FORMATS[book.pageSize];
  const widthOf = widthsIn(document);
  const pictures = book.photos.map((photo, index) =>
    pictureOf(document, photo, index)
  );
  const resolutions = book.slides.map(() => Infinity);
  const newPage = () => new Page(new Sheet(document, format, widthOf));
  const slideOf = (index: number) => {
    const slide = book.slides[index];
    const picture = slide && pictures[slide.photo];
    if (!slide || !picture) throw new TypeError(`no slide ${index}`);
    return {
      ...slide,
      picture,
      note: (dpi: number) => {
        resolutions[index] = Math.min(resolutions[index] ?? Infinity, dpi);
      },
    };
  };

  const first = slideOf(0);
  newPage().cover(book, first);
  if (book.foreword !== null) newPage().foreword(book.foreword);
  const plans = paginate(
    book.slides.map((slide, index) => ({
      ...slideOf(index).picture.size,
      textLength: (slide.caption?.text.length ?? 0) +
        (slide.date?.text.length ?? 0),
      isFullPage: slide.isFullPage,
    })),
    format,
    book.photosPerPage,
  );
  let pageCount = book.foreword === null ? 1 : 2;
  for (const plan of plans) {
    pageCount++;
    if (plan.kind === "full") newPage().full(slideOf(plan.slide), pageCount);
    else newPage().photos(plan.slides.map(slideOf), pageCount);
  }
  if (pageCount % 2 === 0) {
    newPage();
    pageCount++;
  }
  newPage().back(
    book,
    book.slides.length > 1 ? slideOf(book.slides.length - 1) : null,
  );
  pageCount++;
  document.end();
  return {
    pdf: readAll(document),
    pageCount,
    imageIds: pictures.map(({ image }) => image.obj.id),
    resolutions,
  };
}

async function unpack({ gzipped }: FontData): Promise<Uint8Array> {
  const stream = new Blob([new Uint8Array(decodeBase64(gzipped))]).stream()
    .pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Measured once for each character. */
function widthsIn(document: PDFDocument): CharacterWidth {
  const known = { roman: new Map<string, number>(), italic: new Map() };
  return (character, face) => {
    let width = known[face].get(character);
    if (width === undefined) {
      document.font(face, 100);
      width = document.widthOfString(character) / 100;
      known[face].set(character, width);
    }
    return width;
  };
}

function pictureOf(
  document: PDFDocument,
  { width, height, orientation }: BookPhoto,
  index: number,
): Picture {
  const object = document.ref({
    Type: "XObject",
    Subtype: "Image",
    Width: 1,
    Height: 1,
    ColorSpace: "DeviceGray",
    BitsPerComponent: 8,
  });
  object.end(Uint8Array.of(255));
  const image: PdfImage = {
    label: `I${index + 1}`,
    width,
    height,
    orientation,
    obj: object,
  };
  const isOnItsSide = orientation >= 5;
  return {
    image,
    size: isOnItsSide ? { width: height, height: width } : { width, height },
  };
}

function readAll(document: PDFDocument): Uint8Array {
  const parts: Uint8Array[] = [];
  let size = 0;
  for (let part = document.read(); part !== null; part = document.read()) {
    parts.push(part);
    size += part.length;
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
