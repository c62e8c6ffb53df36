/**
 * The job type `pdf_render`: a slideshow becomes a keepsake, made here, without a provider.
 *
 * The book is written to Storage while it is made, a photo at a time. What is read is always asked for by the job's
 * owner as well: this client may read everything.
 */
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { ClaimedJob } from "../../_shared/contracts/jobs.ts";
import {
  MAX_SLIDES,
  type PdfRenderMetadata,
  pdfRenderMetadataSchema,
  type PdfRenderResult,
} from "../../_shared/contracts/keepsake.ts";
import type { Database } from "../../_shared/database.types.ts";
import type { ErrorCode } from "../../_shared/errors.ts";
import { JobFailure } from "../../_shared/jobs/outcome.ts";
import type { JobContext, Processor } from "../../_shared/jobs/runner.ts";
import {
  openInput,
  STORAGE_TIMEOUT_SECONDS,
} from "../../_shared/storage/object-store.ts";
import { storeOutput } from "../../_shared/storage/outputs.ts";
import type { Face, PrintableText } from "../keepsake/printable-text.ts";
import type { Book, Slide } from "../keepsake/render.ts";
import { readMetadata } from "./metadata.ts";

const BUCKET = "pdfs";
const FILE_NAME = "keepsake.pdf";
/** What the bucket takes. */
const MAX_FILE_BYTES = 104_857_600;
/** All photos together; leaves place for pages and fonts. The database refuses more as well. */
const MAX_PHOTOS_BYTES = 94_371_840;
/** A photo is held in memory while its page is made. */
const MAX_PHOTO_BYTES = 20_971_520;

/**
 * The processor. Progress: 5 while the slideshow is read, 10 to 90 with the slides, 95 when the last page is made, 100
 * with the row of `pdfs`.
 *
 * An isolate makes one keepsake at a time, since its memory is enough for a few photos only; others wait their turn.
 */
export function createPdfRenderProcessor(
  deps: { supabase: SupabaseClient<Database> },
): Processor {
  const takeTurn = createTurns();
  return {
    jobType: "pdf_render",
    async run(context) {
      const metadata = readMetadata(context.job, pdfRenderMetadataSchema);
      const endTurn = await takeTurn(context.signal);
      try {
        return await render(deps.supabase, context, metadata);
      } finally {
        endTurn();
      }
    },
  };
}

/** One holder at a time, in the order of asking. */
function createTurns(): (signal: AbortSignal) => Promise<() => void> {
  let last: Promise<void> = Promise.resolve();
  return async (signal) => {
    const before = last;
    const mine = Promise.withResolvers<void>();
    last = before.then(() => mine.promise);
    const aborted = Promise.withResolvers<never>();
    const stop = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    try {
      signal.throwIfAborted();
      await Promise.race([before, aborted.promise]);
    } catch (error) {
      mine.resolve();
      throw error;
    } finally {
      signal.removeEventListener("abort", stop);
    }
    return mine.resolve;
  };
}

async function render(
  supabase: SupabaseClient<Database>,
  context: JobContext,
  metadata: PdfRenderMetadata,
) {
  const { job, signal, progress } = context;
  progress(5, "reading_slideshow");
  // Only now, and only here: the fonts and the writer of PDF are a third of a second that no other job should wait for.
  const [printing, { countPages, renderKeepsake, SlideError }] = await Promise
    .all([
      import("../keepsake/printable-text.ts"),
      import("../keepsake/render.ts"),
    ]);
  const slideshow = await readSlideshow(supabase, job, metadata.slideshow_id);
  const title = metadata.title ?? slideshow.title;

  let picturesLeftOut = 0;
  const print = (text: string, face: Face, where: string): PrintableText => {
    try {
      const printable = printing.toPrintable(text, face);
      picturesLeftOut += printable.leftOut;
      return printable;
    } catch (error) {
      if (!(error instanceof printing.UnprintableText)) throw error;
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
  const book: Book = {
    pageSize: metadata.page_size,
    title: print(title, "roman", "the title"),
    author: printSome(slideshow.author, "italic", "your name"),
    date: printDate(slideshow, (text) => print(text, "roman", "the date")),
    foreword: printSome(slideshow.description, "roman", "the description"),
    about: {
      title,
      author: slideshow.author,
      createdAt: slideshow.createdAt,
      locale: slideshow.locale,
    },
  };
  const captions = slideshow.slides.map(({ caption }, index) =>
    printSome(caption, "italic", `slide ${index + 1}: the caption`)
  );

  async function* slides(): AsyncGenerator<Slide> {
    let bytes = 0;
    for (const [index, { photoPath }] of slideshow.slides.entries()) {
      progress(
        Math.round(10 + 80 * index / slideshow.slides.length),
        "printing",
      );
      const photo = await readPhoto(supabase, photoPath, index + 1, signal);
      bytes += photo.length;
      if (bytes > MAX_PHOTOS_BYTES) throw final("slideshow_too_large");
      yield { caption: captions[index] ?? null, photo };
    }
    progress(95, "storing");
  }
  async function* pages(): AsyncGenerator<Uint8Array> {
    try {
      yield* renderKeepsake(book, slides());
    } catch (error) {
      if (!(error instanceof SlideError)) throw error;
      throw final(
        "photo_not_printable",
        `slide ${error.number}: the photo ${error.cause.message}`,
        error,
      );
    }
  }
  const { outputUrl, bytes } = await storeOutput(supabase, {
    bucket: BUCKET,
    userId: job.user_id,
    jobId: job.id,
    fileName: FILE_NAME,
    contentType: "application/pdf",
    body: ReadableStream.from(pages()),
    maxBytes: MAX_FILE_BYTES,
    signal,
  });
  const pageCount = countPages(book, slideshow.slides.length);
  return {
    outputUrl,
    resultData: {
      slideshow_id: slideshow.id,
      title,
      page_size: metadata.page_size,
      page_count: pageCount,
      size_bytes: bytes,
      pictures_left_out: picturesLeftOut,
      content_type: "application/pdf",
    } satisfies PdfRenderResult,
    product: {
      kind: "pdf" as const,
      title,
      slideshow_id: slideshow.id,
      page_count: pageCount,
      size_bytes: bytes,
    },
  };
}

function final(code: ErrorCode, details?: string, cause?: unknown): JobFailure {
  return new JobFailure(code, {
    isRetryable: false,
    ...(details === undefined ? {} : { details }),
    cause,
  });
}

/** The day of the slideshow in the owner's way of writing, or in English where the fonts lack its letters. */
function printDate(
  { createdAt, locale }: Slideshow,
  print: (text: string) => PrintableText,
): PrintableText {
  const write = (locale: string) =>
    new Intl.DateTimeFormat(locale, { dateStyle: "long", timeZone: "UTC" })
      .format(createdAt);
  try {
    return print(write(locale));
  } catch {
    return print(write("en-GB"));
  }
}

const slideshowSchema = z.object({
  id: z.uuid(),
  title: z.string(),
  description: z.string().nullable(),
  created_at: z.string().transform((text) => new Date(text)),
});
const itemsSchema = z.array(
  z.object({ media_id: z.string(), caption: z.string().nullable() }),
);
const mediaSchema = z.array(
  z.object({ id: z.string(), storage_path: z.string() }),
);
const profileSchema = z.object({
  display_name: z.string(),
  locale: z.string(),
}).nullable();

interface Slideshow {
  id: string;
  title: string;
  description: string | null;
  createdAt: Date;
  author: string | null;
  locale: string;
  slides: { caption: string | null; photoPath: string }[];
}

/** The slideshow and all that belongs to it, as long as it is the owner's. A job outlives its intake. */
async function readSlideshow(
  supabase: SupabaseClient<Database>,
  job: ClaimedJob,
  slideshowId: string,
): Promise<Slideshow> {
  const owner = job.user_id;
  const slideshow = slideshowSchema.nullable().parse(
    await answer(
      supabase.from("slideshows").select("id,title,description,created_at")
        .eq("id", slideshowId).eq("user_id", owner).maybeSingle(),
    ),
  );
  if (slideshow === null) throw final("slideshow_not_found");
  const items = itemsSchema.parse(
    await answer(
      supabase.from("slideshow_items").select("media_id,caption")
        .eq("slideshow_id", slideshow.id).eq("user_id", owner)
        .order("position").limit(MAX_SLIDES + 1),
    ),
  );
  if (items.length === 0) throw final("slideshow_empty");
  if (items.length > MAX_SLIDES) throw final("slideshow_too_large");
  const media = mediaSchema.parse(
    await answer(
      supabase.from("media").select("id,storage_path")
        .in("id", [...new Set(items.map(({ media_id }) => media_id))])
        .eq("user_id", owner),
    ),
  );
  const profile = profileSchema.parse(
    await answer(
      supabase.from("profiles").select("display_name,locale")
        .eq("user_id", owner).maybeSingle(),
    ),
  );
  const pathOf = new Map(
    media.map(({ id, storage_path }) => [id, storage_path]),
  );
  return {
    id: slideshow.id,
    title: slideshow.title,
    description: slideshow.description,
    createdAt: slideshow.created_at,
    author: profile?.display_name ?? null,
    locale: profile?.locale ?? "en",
    slides: items.map(({ media_id, caption }, index) => {
      const photoPath = pathOf.get(media_id);
      if (photoPath?.split("/")[1] !== owner) throw notFound(index + 1);
      return { caption, photoPath };
    }),
  };
}

async function answer<T>(
  request: PromiseLike<{ data: T; error: unknown }>,
): Promise<T> {
  const { data, error } = await request;
  if (error) {
    throw new JobFailure("service_unavailable", {
      isRetryable: true,
      cause: error,
    });
  }
  return data;
}

/** The file of a photo, in one piece and with no more copies than that takes. */
async function readPhoto(
  supabase: SupabaseClient<Database>,
  path: string,
  number: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    const stream = await openInput(supabase, path, {
      signal: AbortSignal.any([
        signal,
        AbortSignal.timeout(STORAGE_TIMEOUT_SECONDS * 1000),
      ]),
    });
    for await (const chunk of stream) {
      size += chunk.length;
      if (size > MAX_PHOTO_BYTES) break;
      chunks.push(chunk);
    }
  } catch (cause) {
    if (!(cause instanceof JobFailure)) {
      throw new JobFailure("storage_unavailable", { isRetryable: true, cause });
    }
    throw cause.code === "input_not_found" || cause.code === "input_url_invalid"
      ? notFound(number, cause)
      : cause;
  }
  if (size === 0 || size > MAX_PHOTO_BYTES) {
    throw final(
      "photo_not_printable",
      `slide ${number}: the photo is empty or larger than 20 MiB`,
    );
  }
  const photo = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    photo.set(chunk, at);
    at += chunk.length;
  }
  return photo;
}

function notFound(number: number, cause?: unknown): JobFailure {
  return final(
    "photo_not_found",
    `slide ${number}: its photo is not there`,
    cause,
  );
}
