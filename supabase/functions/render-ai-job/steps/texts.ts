/** The texts of a keepsake as they are printed. */
import type { PdfRenderMetadata } from "../../_shared/contracts/pdf-render.ts";
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
  /** Slides, from 1, whose caption lacks characters, or is left out. */
  captionsIncomplete: number[];
  picturesLeftOut: number;
  charactersLeftOut: number;
  charactersLeftOutSample: string | null;
  /** A day, written `YYYY-MM-DD`, in the owner's way of writing. */
  day(day: string): PrintableText;
}

/**
 * Brings all texts of a keepsake into the form that is printed, and counts what is left out of them. A text other than
 * the title that loses more than half of its letters is left out as a whole: what would remain says nothing.
 *
 * @throws {JobFailure} `text_not_printable` (final) when more than half of the letters of the title, or of all texts
 *   together, are in no font: the slideshow is in a script that cannot be printed.
 */
export async function printTexts(
  contents: Contents,
  metadata: PdfRenderMetadata,
): Promise<Texts> {
  // The fonts are half a megabyte of module, which nothing else in the isolate needs.
  const { countLetters, showCharacters, toPrintable } = await import(
    "../keepsake/printable-text.ts"
  );
  let picturesLeftOut = 0;
  const missing: string[] = [];
  const letters = { kept: 0, lost: 0 };
  const print = (text: string, face: Face) => {
    const printable = toPrintable(text, face);
    const { kept, lost } = countLetters(printable);
    picturesLeftOut += printable.pictures;
    missing.push(...printable.missing);
    letters.kept += kept;
    letters.lost += lost;
    return { printable, isMostlyLost: lost > kept };
  };
  const printSome = (text: string | null, face: Face): PrintableText | null => {
    if (text === null) return null;
    const { printable, isMostlyLost } = print(text, face);
    return printable.text === "" || isMostlyLost ? null : printable;
  };
  const write = (date: Date, timeZone: string) =>
    writeDay(date, contents.locale, timeZone, (text) => {
      const printable = toPrintable(text, "roman");
      return printable.missing.length === 0 ? printable : null;
    });

  const plainTitle = metadata.title ?? contents.title;
  const title = print(plainTitle, "roman");
  if (title.isMostlyLost) {
    throw final(
      "text_not_printable",
      `the title has letters that no font of the keepsake has: ${
        showCharacters(missing)
      }`,
    );
  }
  const captionsIncomplete: number[] = [];
  const texts = {
    title: title.printable,
    plainTitle,
    author: printSome(contents.author, "italic"),
    date: write(new Date(contents.created_at), contents.time_zone),
    foreword: printSome(contents.description, "roman"),
    captions: contents.slides.map(({ caption }, index) => {
      const before = missing.length;
      const printable = printSome(caption, "italic");
      if (missing.length > before) captionsIncomplete.push(index + 1);
      return printable;
    }),
    captionsIncomplete,
    day: (day: string) => write(new Date(`${day}T00:00:00Z`), "UTC"),
  };
  if (letters.lost > letters.kept) {
    throw final(
      "text_not_printable",
      `most letters of the slideshow's texts are in no font of the keepsake: ${
        showCharacters(missing)
      }`,
    );
  }
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
