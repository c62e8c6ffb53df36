/** Keepsakes for the tests: books made by the renderer, and photos to put into them. */
import { toPrintable } from "../../../../supabase/functions/process-ai-job/keepsake/printable-text.ts";
import {
  type Book,
  renderKeepsake,
  type Slide,
} from "../../../../supabase/functions/process-ai-job/keepsake/render.ts";

/** The bytes of a file of tests/fixtures/photos. */
export function readPhoto(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return Deno.readFile(
    new URL(`../../../fixtures/photos/${name}`, import.meta.url),
  );
}

/** A page of a book, as a test writes it down. */
export interface TestSlide {
  photo: Uint8Array;
  caption?: string;
}

/** Renders a book whole. */
export async function makeBook(
  slides: readonly TestSlide[],
  texts: {
    title?: string;
    author?: string;
    foreword?: string;
    pageSize?: Book["pageSize"];
  } = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const { title = "Eighty Summers", author = "Anna Berger", foreword } = texts;
  const book: Book = {
    pageSize: texts.pageSize ?? "a4",
    title: toPrintable(title, "roman"),
    author: toPrintable(author, "italic"),
    date: toPrintable("23 November 2026", "roman"),
    foreword: foreword === undefined ? null : toPrintable(foreword, "roman"),
    about: {
      title,
      author,
      createdAt: new Date("2026-11-23T00:00:00Z"),
      locale: "en",
    },
  };
  const pages: AsyncIterable<Slide> = ReadableStream.from(
    slides.map(({ photo, caption }) => ({
      photo,
      caption: caption === undefined ? null : toPrintable(caption, "italic"),
    })),
  );
  const parts: BlobPart[] = [];
  for await (const part of renderKeepsake(book, pages)) {
    parts.push(new Uint8Array(part));
  }
  return await new Blob(parts).bytes();
}
