/** The texts of a keepsake in printable form. */
import type { PdfRenderMetadata } from "../../_shared/contracts/pdf-render.ts";
import { JobFailure } from "../../_shared/failures/job-failure.ts";
import type { Face, PrintableText } from "../keepsake/printable-text.ts";
import type { Contents } from "../plan.ts";

/** See {@link printTexts}. */
export interface Texts {
  title: PrintableText;
  /** As the owner wrote it. */
  plainTitle: string;
  author: PrintableText | null;
  date: PrintableText;
  foreword: PrintableText | null;
  /** One for each slide. */
  captions: readonly (PrintableText | null)[];
  /** Slides, from 1, whose caption lacks characters or is left out. */
  captionsIncomplete: number[];
  omittedPictureCount: number;
  omittedCharacterCount: number;
  omittedCharacterSample: string | null;
  /** Formats a day (`YYYY-MM-DD`) in the owner's locale. */
  day(day: string): PrintableText;
}

/**
 * Converts all texts of a keepsake to printable form, and counts what is left out. A text other than the title that loses
 * more than half of its letters is left out as a whole, because the rest could not be understood.
 *
 * @throws {JobFailure} `text_not_printable` (final) when nothing of the title can be printed (it has only emoji, say), or
 *   when the fonts lack more than half of the letters of the title or of all texts together: the slideshow is in a script
 *   that they do not cover.
 */
export async function printTexts(
  contents: Contents,
  metadata: PdfRenderMetadata,
): Promise<Texts> {
  // The fonts are a module of half a megabyte that nothing else in the isolate needs.
  const { countLetters, showCharacters, toPrintable } = await import(
    "../keepsake/printable-text.ts"
  );
  let omittedPictureCount = 0;
  const missing: string[] = [];
  const letters = { kept: 0, lost: 0 };
  const print = (text: string, face: Face) => {
    const printable = toPrintable(text, face);
    const { kept, lost } = countLetters(printable);
    omittedPictureCount += printable.pictures;
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

  const notPrintableText = (subject: string, characters: string[]) =>
    JobFailure.final("text_not_printable", {
      details: `most letters of ${subject} are in no font of the keepsake: ${
        showCharacters(characters)
      }`,
    });

  const plainTitle = metadata.title ?? contents.title;
  const title = print(plainTitle, "roman");
  if (title.isMostlyLost) {
    throw notPrintableText("the title", missing);
  }
  if (title.printable.text === "") {
    throw JobFailure.final("text_not_printable", {
      details:
        `the title "${plainTitle}" has no character that can be printed; add letters to it`,
    });
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
    throw notPrintableText("the slideshow's texts", missing);
  }
  return {
    ...texts,
    omittedPictureCount,
    omittedCharacterCount: missing.length,
    omittedCharacterSample: missing.length === 0
      ? null
      : showCharacters(missing),
  };
}

/** A day in the owner's locale, or in English where the runtime does not know the locale or the fonts lack its letters. */
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
        // The runtime does not know the locale or time zone; the next one is tried.
      }
    }
  }
  throw new TypeError("a date cannot be written in English");
}
