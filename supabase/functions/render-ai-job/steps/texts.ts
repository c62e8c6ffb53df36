/** The texts of a keepsake as they are printed. */
import type { PdfRenderMetadata } from "../../_shared/contracts/keepsake.ts";
import { final } from "../failures.ts";
import type { Face, PrintableText } from "../keepsake/printable-text.ts";
import type { Contents } from "../plan.ts";

/** See {@link printTexts}. */
export interface Texts {
  title: PrintableText;
  /** As it was written. */
  plainTitle: string;
  author: PrintableText | null;
  date: PrintableText;
  foreword: PrintableText | null;
  /** By slide. */
  captions: readonly (PrintableText | null)[];
  picturesLeftOut: number;
  charactersLeftOut: number;
  charactersLeftOutSample: string | null;
  /** A day, written `YYYY-MM-DD`, in the owner's way of writing. */
  day(day: string): PrintableText;
}

/**
 * Brings all texts of a keepsake into the form that is printed, and counts what is left out of them.
 *
 * @throws {JobFailure} `text_not_printable` (final) when a text is in a script that no font has.
 */
export async function printTexts(
  contents: Contents,
  metadata: PdfRenderMetadata,
): Promise<Texts> {
  // The fonts are half a megabyte of module, which nothing else in the isolate needs.
  const { showCharacters, toPrintable, UnprintableText } = await import(
    "../keepsake/printable-text.ts"
  );
  let picturesLeftOut = 0;
  const missing: string[] = [];
  const print = (text: string, face: Face, where: string): PrintableText => {
    try {
      const printable = toPrintable(text, face);
      picturesLeftOut += printable.pictures;
      missing.push(...printable.missing);
      return printable;
    } catch (error) {
      if (!(error instanceof UnprintableText)) throw error;
      throw final(
        "text_not_printable",
        `${where} has letters that no font of the keepsake has: ${error.characters}`,
        error,
      );
    }
  };
  const printSome = (
    text: string | null,
    face: Face,
    where: string,
  ): PrintableText | null => {
    const printable = text === null ? null : print(text, face, where);
    return printable?.text === "" ? null : printable;
  };
  const write = (date: Date, timeZone: string) =>
    writeDay(date, contents.locale, timeZone, (text) => {
      const printable = toPrintable(text, "roman");
      return printable.missing.length === 0 ? printable : null;
    });

  const plainTitle = metadata.title ?? contents.title;
  const texts = {
    title: print(plainTitle, "roman", "the title"),
    plainTitle,
    author: printSome(contents.author, "italic", "your name"),
    date: write(new Date(contents.created_at), contents.time_zone),
    foreword: printSome(contents.description, "roman", "the description"),
    captions: contents.slides.map(({ caption }, index) =>
      printSome(caption, "italic", `slide ${index + 1}: the caption`)
    ),
    day: (day: string) => write(new Date(`${day}T00:00:00Z`), "UTC"),
  };
  return {
    ...texts,
    picturesLeftOut,
    charactersLeftOut: missing.length,
    charactersLeftOutSample: missing.length === 0
      ? null
      : showCharacters(missing),
  };
}

/** A day in the owner's way of writing, or in English where the fonts lack its letters or nobody knows the locale. */
function writeDay(
  date: Date,
  locale: string,
  timeZone: string,
  print: (text: string) => PrintableText | null,
): PrintableText {
  for (const language of [locale, "en-GB"]) {
    for (const zone of [timeZone, "UTC"]) {
      try {
        const printed = print(
          new Intl.DateTimeFormat(language, {
            dateStyle: "long",
            timeZone: zone,
          }).format(date),
        );
        if (printed !== null) return printed;
      } catch {
        // A locale or zone that this runtime does not know, or a script that no font has.
      }
    }
  }
  throw new TypeError("a date cannot be written in English");
}
