/** A sheet of a keepsake, and what can be drawn on it. */
import type PDFDocument from "pdfkit";
import type { PdfImage } from "pdfkit";
import type { PageFormat } from "./page-size.ts";
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

/** An area of a sheet. */
export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

const INK = "#2b2724", HAIRLINE = "#cfc8c1";
/** The colour of secondary text. */
export const SOFT = "#8a817a";
const ORNAMENT = "\u2767";
/** A photo is not enlarged below this many pixels per inch. */
export const MIN_RESOLUTION = 100;

/** A new sheet of the document. Positions are points from the corner that remains after trimming. */
export class Sheet {
  readonly format: PageFormat;
  readonly margin: number;
  readonly #document: PDFDocument;
  readonly #widthOf: CharacterWidth;

  constructor(
    document: PDFDocument,
    format: PageFormat,
    widthOf: CharacterWidth,
  ) {
    this.#document = document;
    this.#widthOf = widthOf;
    this.format = format;
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

  /** Caption and date of a slide, one above the other; null when it has neither. */
  legend(
    { caption, date }: PlacedSlide,
    room: Room,
  ): { height: number; write: (y: number, middle?: number) => void } | null {
    const day = date && this.set(date, {
      width: room.width,
      height: 14,
      sizes: [9, 8, 7],
      leading: 1.4,
    });
    const text = caption && this.set(caption, {
      ...room,
      height: room.height - (day?.height ?? 0),
    });
    if (!text && !day) return null;
    const between = text && day ? 3 : 0;
    return {
      height: (text?.height ?? 0) + between + (day?.height ?? 0),
      write: (y, middle) => {
        const end = text ? this.write(text, y, INK, middle) : y;
        if (day) this.write(day, end + between, SOFT, middle);
      },
    };
  }

  /** Sets a text for {@link Sheet.write}. */
  set(content: PrintableText, room: Room): Setting {
    return setText(content, room, this.#widthOf);
  }

  /** Writes the text centred on `middle`, from `y` down; returns where it ends. */
  write(
    { content, size, leading, lines }: Setting,
    y: number,
    color = INK,
    middle = this.format.width / 2,
  ): number {
    this.#document.font(content.face, size).fillColor(color);
    const { bleed } = this.format;
    // pdfkit aligns the top of the font's line box, which differs from the line height used here.
    const rise = (size * leading - this.#document.currentLineHeight(true)) / 2;
    for (const line of lines) {
      if (line !== "") {
        const width = this.#document.widthOfString(line);
        this.#document.text(
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
  frame(slide: PlacedSlide, box: Box): void {
    const { bleed } = this.format;
    slide.note(72 * slide.picture.size.width / box.width);
    const x = box.x + bleed, y = box.y + bleed;
    // pdfkit rotates the image by its orientation; this is the size after that.
    this.#document.image(slide.picture.image, x, y, {
      width: box.width,
      height: box.height,
    });
    this.#document.lineWidth(0.4).strokeColor(HAIRLINE)
      .rect(x, y, box.width, box.height).stroke();
  }

  /** A photo that covers the box, cropped equally on both sides. */
  fill(slide: PlacedSlide, box: Box): void {
    const { bleed } = this.format;
    const { size, image } = slide.picture;
    const scale = Math.max(box.width / size.width, box.height / size.height);
    slide.note(72 / scale);
    const width = size.width * scale, height = size.height * scale;
    const x = box.x + bleed, y = box.y + bleed;
    this.#document.save().rect(x, y, box.width, box.height).clip();
    this.#document.image(
      image,
      x + (box.width - width) / 2,
      y + (box.height - height) / 2,
      { width, height },
    );
    this.#document.restore();
  }

  /** An ornament, centred on the sheet. */
  ornament(y: number): void {
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

  /** The page number, below everything else. */
  number(number: number): void {
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
export function fitInto(
  photo: { width: number; height: number },
  box: Box,
): Box {
  const scale = Math.min(
    box.width / photo.width,
    box.height / photo.height,
    72 / MIN_RESOLUTION,
  );
  const width = photo.width * scale, height = photo.height * scale;
  return { x: box.x + (box.width - width) / 2, y: box.y, width, height };
}
