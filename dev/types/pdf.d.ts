/** Types of the parts of two packages that this project uses; neither ships declarations. */

declare module "pdfkit" {
  /** An object of the file. `end` writes it out immediately. */
  export interface PdfReference {
    readonly id: number;
    data: Record<string, unknown>;
    end(chunk?: Uint8Array): void;
  }

  /** What `image` accepts instead of the bytes of a file: an image whose object is already written. */
  export interface PdfImage {
    label: string;
    width: number;
    height: number;
    /** 1 to 8, as Exif counts. */
    orientation: number;
    obj: PdfReference;
  }

  /** Options of `text` and `heightOfString`; lengths in points. */
  export interface TextOptions {
    width?: number;
    height?: number;
    align?: "left" | "center" | "right";
    lineGap?: number;
    characterSpacing?: number;
    lineBreak?: boolean;
  }

  /** A document that can be read in pieces while it is created. */
  export default class PDFDocument {
    constructor(options: {
      autoFirstPage: boolean;
      font: null;
      compress?: boolean;
      lang?: string;
      displayTitle?: boolean;
      pdfVersion?: string;
      info?: Record<string, string | Date>;
    });
    addPage(options: {
      size: [number, number];
      margin: number;
    }): this;
    registerFont(name: string, source: Uint8Array): this;
    font(name: string, size?: number): this;
    /** The page that was added last. */
    readonly page: { dictionary: { data: Record<string, unknown> } };
    save(): this;
    restore(): this;
    /** Clips drawing to the path, until `restore`. */
    clip(): this;
    fillColor(color: string): this;
    strokeColor(color: string): this;
    lineWidth(width: number): this;
    rect(x: number, y: number, width: number, height: number): this;
    moveTo(x: number, y: number): this;
    lineTo(x: number, y: number): this;
    stroke(): this;
    text(text: string, x: number, y: number, options?: TextOptions): this;
    heightOfString(text: string, options?: TextOptions): number;
    currentLineHeight(includeGap: boolean): number;
    widthOfString(text: string, options?: TextOptions): number;
    image(
      image: PdfImage,
      x: number,
      y: number,
      options?: { width?: number; height?: number },
    ): this;
    ref(data: Record<string, unknown>): PdfReference;
    /** The bytes created since the last call, or null. */
    read(): Uint8Array | null;
    end(): void;
  }
}

declare module "linebreak" {
  /** The places at which a line of the text may end, by UAX 14. */
  export default class LineBreaker {
    constructor(text: string);
    /** The next place, or null after the end of the text. `required`: the line has to end there. */
    nextBreak(): { position: number; required?: boolean } | null;
  }
}
