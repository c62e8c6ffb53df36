/** The third step: the pages, and with them the plan of the whole file. */
import { OUTPUTS, storeOutput } from "../../_shared/storage/outputs.ts";
import { COSTS } from "../budget.ts";
import { assembleBook, sizeOf } from "../keepsake/book-file.ts";
import { pause, type RenderDeps, type Rendering } from "../rendering.ts";
import type { Plan } from "../plan.ts";
import { printTexts } from "./texts.ts";

/** The file in the job's folder that holds the pages. */
export const PAGES_FILE = "pages.pdf";

/** Below so many pixels to the inch a print looks soft. */
const SHARP_RESOLUTION = 150;
const MAX_PAGES_BYTES = 20_971_520;
/** A larger book is written by the next request: the pages leave much behind in memory, and so do many parts of a file. */
const MAX_WRITTEN_WITH_PAGES = 50_331_648;

/**
 * Makes the pages and stores them, unless that is done.
 *
 * @throws {Snooze} when the request has not enough processor time left for them, or has made those of a large book.
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
  // Only now: the fonts and the writer of PDF are a third of a second that no other step should pay for.
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
      const takenOn = photos[photo]?.look?.takenOn ?? null;
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
