/** The third step: the pages, and with them the segments of the whole file. */
import { OUTPUTS, storeOutput } from "../../_shared/storage/outputs.ts";
import { COSTS } from "../budget.ts";
import { assembleBook, sizeOf } from "../keepsake/book-file.ts";
import { pause, type RenderDeps, type Rendering } from "../rendering.ts";
import type { Plan } from "../plan.ts";
import { printTexts } from "./texts.ts";

/** The file with the pages, in the job's folder. */
export const PAGES_FILE = "pages.pdf";

/** Below this many pixels per inch, a print looks soft. */
const SHARP_RESOLUTION = 150;
const MAX_PAGES_BYTES = 20_971_520;
/** A larger book is written by the next request: making the pages leaves much in memory, and so does writing many parts. */
const MAX_WRITTEN_WITH_PAGES = 50_331_648;

/**
 * Makes and stores the pages, unless that is done.
 *
 * @throws {Snooze} when too little processor time is left, or after the pages of a large book.
 */
export async function makePages(
  { supabase }: Pick<RenderDeps, "supabase">,
  { context, metadata, plan, budget, save }: Rendering,
): Promise<NonNullable<Plan["book"]>> {
  if (plan.book !== null) return plan.book;
  const { contents, photos } = plan;
  const texts = await printTexts(contents, metadata);
  const characters = texts.captions.reduce(
    (sum, caption) => sum + (caption?.text.length ?? 0),
    texts.title.text.length + (texts.foreword?.text.length ?? 0),
  );
  const cost = COSTS.pages + COSTS.slide * contents.slides.length +
    COSTS.character * characters;
  if (!budget.take(cost)) throw pause("making_pages");
  context.progress(36, "making_pages");
  // Imported here, because loading the fonts and the PDF writer takes a third of a second.
  const { renderPages } = await import("../keepsake/pages.ts");

  const images = photos.map(({ image, slide }) => {
    if (image === null) throw new TypeError(`slide ${slide} is not prepared`);
    return image;
  });
  const numbers = new Map(photos.map(({ object }, index) => [object, index]));
  const pages = await renderPages({
    pageSize: metadata.page_size,
    photosPerPage: metadata.photos_per_page,
    title: texts.title,
    author: texts.author,
    date: texts.date,
    foreword: texts.foreword,
    photos: images.map((image) => ({
      width: image.width,
      height: image.height,
      orientation: image.kind === "jpeg" ? image.orientation : 1,
    })),
    slides: contents.slides.map((slide, index) => {
      const photo = numbers.get(slide.object ?? "") ?? 0;
      const takenOn = photos[photo]?.inspected?.takenOn ?? null;
      return {
        photo,
        caption: texts.captions[index] ?? null,
        date: metadata.show_dates && takenOn !== null
          ? texts.day(takenOn)
          : null,
        isFullPage: slide.is_full_page,
      };
    }),
    about: {
      title: texts.plainTitle,
      author: contents.author,
      createdAt: new Date(contents.created_at),
      locale: contents.locale,
    },
  });
  const { outputUrl } = await storeOutput(supabase, {
    bucket: OUTPUTS,
    userId: context.job.user_id,
    jobId: context.job.id,
    fileName: PAGES_FILE,
    contentType: "application/pdf",
    body: pages.pdf,
    maxBytes: MAX_PAGES_BYTES,
    signal: context.signal,
  });
  const segments = assembleBook({ ...pages, object: outputUrl }, images);
  plan.book = {
    pageCount: pages.pageCount,
    segments,
    size: sizeOf(segments),
    tooSmall: pages.resolutions.flatMap((dpi, index) =>
      dpi < SHARP_RESOLUTION ? [index + 1] : []
    ),
  };
  await save();
  if (plan.book.size > MAX_WRITTEN_WITH_PAGES) throw pause("writing");
  return plan.book;
}
