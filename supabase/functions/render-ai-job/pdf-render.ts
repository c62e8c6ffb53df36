/**
 * The job type `pdf_render`: renders a slideshow as a keepsake, a PDF, without a provider.
 *
 * A book of a hundred photos needs more processor time than a request has. So it is made in steps, and a step that does not
 * fit into one request is left to the next: inspect each photo; prepare photos that PDF cannot embed unchanged; make the
 * pages; write the file, photo by photo, into a resumable upload. The checkpoint holds the findings of the steps, and Storage
 * holds their files in the job's folder. The client can read everything, so each step reads only what the job's owner owns.
 */
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import {
  MAX_CAPTION_CHARACTERS,
  MAX_PHOTOS_BYTES,
  MAX_SLIDES,
  type PdfRenderMetadata,
  pdfRenderMetadataSchema,
  type PdfRenderResult,
} from "../_shared/contracts/pdf-render.ts";
import type { Database } from "../_shared/database.types.ts";
import { fromDatabaseError } from "../_shared/database/errors.ts";
import { JobFailure } from "../_shared/failures/job-failure.ts";
import { readMetadata } from "../_shared/jobs/metadata.ts";
import type { Completion } from "../_shared/jobs/outcome.ts";
import type { JobContext, Processor } from "../_shared/jobs/job-context.ts";
import { removeOutputs } from "../_shared/storage/outputs.ts";
import { Budget } from "./budget.ts";
import { photoMissing } from "./failures.ts";
import {
  type Contents,
  contentsSchema,
  isCurrent,
  newPlan,
  type Plan,
  planSchema,
} from "./plan.ts";
import type { RenderDeps, Rendering } from "./rendering.ts";
import { makePages, PAGES_FILE } from "./steps/pages.ts";
import { inspectPhotos } from "./steps/photos.ts";
import { preparedFiles, preparePhotos } from "./steps/prepare.ts";
import { printTexts } from "./steps/texts.ts";
import { writeBook } from "./steps/write.ts";

/**
 * Creates the processor. Progress: 5 when the slideshow is read, up to 20 while photos are inspected, up to 35 while they
 * are prepared, 40 with the pages, up to 99 while the book is written.
 */
export function createPdfRenderProcessor(deps: RenderDeps): Processor {
  return {
    jobType: "pdf_render",
    run: (context) => render(deps, context),
  };
}

async function render(
  deps: RenderDeps,
  context: JobContext,
): Promise<Completion> {
  const { job, progress } = context;
  const metadata = readMetadata(job, pdfRenderMetadataSchema);
  const rendering = await resume(deps, context, metadata);
  progress(5, "reading_slideshow");
  await inspectPhotos(deps, rendering);
  await preparePhotos(deps, rendering);
  const book = await makePages(deps, rendering);
  const outputUrl = await writeBook(deps, rendering, book);

  // If the completion is lost after this, these files are made again.
  await removeOutputs(deps.supabase, job.user_id, job.id, [
    PAGES_FILE,
    ...preparedFiles(rendering.plan),
  ]);
  const { contents, photos } = rendering.plan;
  const texts = await printTexts(contents, metadata);
  const slidesWith = (isMeant: (object: string | null) => boolean) =>
    contents.slides.flatMap(({ object }, index) =>
      isMeant(object) ? [index + 1] : []
    );
  const endless = new Set(
    photos.flatMap(({ object, image }) =>
      image?.kind === "jpeg" && !image.hasEnd ? [object] : []
    ),
  );
  return {
    outputUrl,
    resultData: {
      slideshow_id: contents.id,
      title: texts.plainTitle,
      page_size: metadata.page_size,
      page_count: book.pageCount,
      size_bytes: book.size,
      omitted_picture_count: texts.omittedPictureCount,
      omitted_character_count: texts.omittedCharacterCount,
      omitted_character_sample: texts.omittedCharacterSample,
      captions_incomplete: texts.captionsIncomplete,
      photos_too_small: book.tooSmall,
      photos_without_end: slidesWith((object) =>
        object !== null && endless.has(object)
      ),
      content_type: "application/pdf",
    } satisfies PdfRenderResult,
    product: {
      kind: "pdf",
      title: texts.plainTitle,
      slideshow_id: contents.id,
      page_count: book.pageCount,
      size_bytes: book.size,
    },
  };
}

/** Continues from the checkpoint; from the beginning when there is none, or when a photo has been replaced. */
async function resume(
  deps: RenderDeps,
  context: JobContext,
  metadata: PdfRenderMetadata,
): Promise<Rendering> {
  const { job, log } = context;
  const [contents, checkpoint] = await Promise.all([
    readContents(deps.supabase, job.user_id, metadata.slideshow_id),
    deps.checkpoints.read(job),
  ]);
  const known = planSchema.safeParse(checkpoint?.data);
  if (contents === null && !known.success) {
    throw JobFailure.final("slideshow_not_found");
  }
  const isUsable = known.success &&
    (contents === null || isCurrent(known.data, contents));
  if (checkpoint !== null && !isUsable) log.info("keepsake_restarted");
  let plan: Plan;
  if (isUsable) plan = known.data;
  else if (contents === null) throw JobFailure.final("slideshow_not_found");
  else {
    check(contents, job.user_id);
    // Texts that cannot be printed fail the job before any other work.
    await printTexts(contents, metadata);
    plan = newPlan(contents);
  }
  const rendering: Rendering = {
    context,
    metadata,
    plan,
    uploadId: isUsable ? checkpoint?.uploadId ?? null : null,
    budget: new Budget(job.attempt),
    save: () =>
      deps.checkpoints.save(job, {
        data: z.json().parse(rendering.plan),
        uploadId: rendering.uploadId,
      }),
  };
  return rendering;
}

async function readContents(
  supabase: SupabaseClient<Database>,
  userId: string,
  slideshowId: string,
): Promise<Contents | null> {
  const { data, error } = await supabase.rpc("get_keepsake_contents", {
    p_slideshow_id: slideshowId,
    p_user_id: userId,
  });
  if (error) throw fromDatabaseError(error);
  return contentsSchema.parse(data);
}

/** Checks again what was checked when the job was created: the slideshow may have changed since. */
function check({ slides }: Contents, owner: string): void {
  if (slides.length === 0) throw JobFailure.final("slideshow_empty");
  if (slides.length > MAX_SLIDES) throw JobFailure.final("slideshow_too_large");
  let bytes = 0, characters = 0;
  const seen = new Set<string>();
  for (const [index, { object, size, caption }] of slides.entries()) {
    if (object === null || size === null || object.split("/")[1] !== owner) {
      throw photoMissing(index + 1);
    }
    if (!seen.has(object)) bytes += size;
    seen.add(object);
    characters += [...caption ?? ""].length;
  }
  if (bytes > MAX_PHOTOS_BYTES || characters > MAX_CAPTION_CHARACTERS) {
    throw JobFailure.final("slideshow_too_large");
  }
}
