/** Keepsakes for tests: complete books in memory, and photos for them. */
import {
  assembleBook,
  type BookImage,
  encodePalette,
  readBook,
  type Segment,
  sizeOf,
} from "../../../supabase/functions/render-ai-job/keepsake/book-file.ts";
import { inspectPhoto } from "../../../supabase/functions/render-ai-job/keepsake/inspect-photo.ts";
import type { PageSize } from "../../../supabase/functions/render-ai-job/keepsake/page-size.ts";
import {
  type RenderedPages,
  renderPages,
} from "../../../supabase/functions/render-ai-job/keepsake/pages.ts";
import type { PhotosPerPage } from "../../../supabase/functions/render-ai-job/keepsake/pagination.ts";
import { preparePng } from "../../../supabase/functions/render-ai-job/keepsake/png.ts";
import { toPrintable } from "../../../supabase/functions/render-ai-job/keepsake/printable-text.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** The bytes of a file of tests/fixtures/photos. */
export function readPhoto(name: string): Promise<Bytes> {
  return Deno.readFile(
    new URL(`../../fixtures/photos/${name}`, import.meta.url),
  );
}

/** A slide of a book, as a test defines it. */
export interface TestSlide {
  photo: Uint8Array;
  caption?: string;
  isFullPage?: boolean;
  /** Declares another size for the photo; its bytes stay the same. */
  size?: { width: number; height: number };
}

/** A book and its segments. */
export interface TestBook {
  segments: Segment[];
  /** The objects that the segments refer to. */
  stored: ReadonlyMap<string, Uint8Array>;
  pages: RenderedPages;
  whole(): Promise<Bytes>;
}

/** The bytes of a part of the file. */
export async function readPart(
  { segments, stored }: Pick<TestBook, "segments" | "stored">,
  from: number,
  to: number,
): Promise<Bytes> {
  const parts: BlobPart[] = [];
  for await (
    const part of readBook(
      segments,
      from,
      to,
      ({ object, from, to }) =>
        Promise.resolve(ReadableStream.from([
          stored.get(object)?.subarray(from, to) ?? new Uint8Array(0),
        ])),
    )
  ) parts.push(new Uint8Array(part));
  return await new Blob(parts).bytes();
}

/** Everything that a stream yields, and its return value. */
export async function readAll<T>(
  stream: AsyncGenerator<Uint8Array, T>,
): Promise<{ bytes: Bytes; returned: T }> {
  const parts: BlobPart[] = [];
  for (;;) {
    const next = await stream.next();
    if (next.done) {
      return { bytes: await new Blob(parts).bytes(), returned: next.value };
    }
    parts.push(new Uint8Array(next.value));
  }
}

/** The file in pieces, as from a network. */
export async function* inPieces(
  file: Uint8Array,
  size = 1000,
): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < file.length; at += size) {
    yield await Promise.resolve(file.subarray(at, at + size));
  }
}

async function store(
  stored: Map<string, Uint8Array>,
  object: string,
  file: Uint8Array,
): Promise<{ image: BookImage; takenOn: string | null }> {
  stored.set(object, file);
  const look = await inspectPhoto(
    object,
    file.length,
    (from, to) => Promise.resolve(file.subarray(from, to)),
  );
  if ("image" in look) return look;
  const { bytes, returned } = await readAll(preparePng(inPieces(file)));
  stored.set(`${object}.color`, bytes);
  if (returned.alpha !== null) stored.set(`${object}.alpha`, returned.alpha);
  return {
    takenOn: null,
    image: {
      kind: "png",
      object: `${object}.color`,
      size: bytes.length,
      width: look.png.width,
      height: look.png.height,
      bits: returned.bits,
      colors: look.png.colors,
      palette: encodePalette(returned.palette),
      mask: returned.mask,
      profile: returned.profile && { object, ...returned.profile },
      alpha: returned.alpha &&
        { object: `${object}.alpha`, size: returned.alpha.length },
    },
  };
}

/** Renders a complete book. */
export async function makeBook(
  slides: readonly TestSlide[],
  texts: {
    title?: string;
    author?: string;
    foreword?: string;
    pageSize?: PageSize;
    photosPerPage?: PhotosPerPage;
    showDates?: boolean;
  } = {},
): Promise<TestBook> {
  const { title = "Eighty Summers", author = "Anna Berger", foreword } = texts;
  const stored = new Map<string, Uint8Array>();
  const photos = [...new Set(slides.map(({ photo }) => photo))];
  const found = await Promise.all(
    photos.map((photo, index) => store(stored, `photos/${index}`, photo)),
  );
  const pages = await renderPages({
    pageSize: texts.pageSize ?? "a4",
    photosPerPage: texts.photosPerPage ?? 1,
    title: toPrintable(title, "roman"),
    author: toPrintable(author, "italic"),
    date: toPrintable("23 November 2026", "roman"),
    foreword: foreword === undefined ? null : toPrintable(foreword, "roman"),
    photos: found.map(({ image }, index) => ({
      width: image.width,
      height: image.height,
      orientation: image.kind === "jpeg" ? image.orientation : 1,
      ...slides.find(({ photo }) => photo === photos[index])?.size,
    })),
    slides: slides.map(({ photo, caption, isFullPage }) => {
      const index = photos.indexOf(photo);
      const takenOn = found[index]?.takenOn ?? null;
      return {
        photo: index,
        caption: caption === undefined ? null : toPrintable(caption, "italic"),
        date: texts.showDates && takenOn !== null
          ? toPrintable(takenOn, "roman")
          : null,
        isFullPage: isFullPage ?? false,
      };
    }),
    about: {
      title,
      author,
      createdAt: new Date("2026-11-23T00:00:00Z"),
      locale: "en",
    },
  });
  stored.set("pages", pages.pdf);
  const segments = assembleBook(
    { ...pages, object: "pages" },
    found.map(({ image }) => image),
  );
  const book = { segments, stored, pages };
  return { ...book, whole: () => readPart(book, 0, sizeOf(segments)) };
}

/** TIFF with one directory of the image and one of Exif. */
export function tiff(
  options: {
    isLittle: boolean;
    orientation: number;
    takenAt?: string;
    tag?: number;
  },
): Uint8Array {
  const { isLittle, orientation, takenAt = "", tag = 0x9003 } = options;
  const bytes = new Uint8Array(100);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, isLittle ? 0x4949 : 0x4d4d);
  view.setUint16(2, 42, isLittle);
  view.setUint32(4, 8, isLittle);
  view.setUint16(8, 2, isLittle);
  view.setUint16(10, 0x0112, isLittle);
  view.setUint16(12, 3, isLittle);
  view.setUint32(14, 1, isLittle);
  view.setUint16(18, orientation, isLittle);
  view.setUint16(22, 0x8769, isLittle);
  view.setUint16(24, 4, isLittle);
  view.setUint32(26, 1, isLittle);
  view.setUint32(30, 40, isLittle);
  view.setUint16(40, 1, isLittle);
  view.setUint16(42, tag, isLittle);
  view.setUint16(44, 2, isLittle);
  view.setUint32(46, takenAt.length + 1, isLittle);
  view.setUint32(50, 60, isLittle);
  bytes.set(new TextEncoder().encode(takenAt), 60);
  return bytes;
}

/** The JPEG with this time in its Exif, as `YYYY:MM:DD hh:mm:ss`. */
export function takenAt(file: Uint8Array, time: string): Uint8Array {
  const exif = tiff({ isLittle: false, orientation: 1, takenAt: time });
  const length = exif.length + 8;
  return new Uint8Array([
    ...file.subarray(0, 2),
    ...[0xff, 0xe1, length >> 8, length & 255],
    ...new TextEncoder().encode("Exif\0\0"),
    ...exif,
    ...file.subarray(2),
  ]);
}
