/** The job type `pdf_render`, which renders a slideshow as a keepsake (a PDF): its parameters, request and result. */
import { z } from "zod";
import { jobOptions } from "./job-request.ts";
import { plainText } from "./plain-text.ts";

/** What one keepsake takes at most; the database refuses more as well. */
export const MAX_SLIDES = 100;
/** All photos together; leaves room for the pages in what the bucket takes. */
export const MAX_PHOTOS_BYTES = 503_316_480;
/** All captions together. */
export const MAX_CAPTION_CHARACTERS = 30_000;

export const pdfRenderMetadataSchema = z.strictObject({
  slideshow_id: z.uuid().describe("A slideshow of one's own."),
  page_size: z.enum(["a4", "letter", "square"]).default("a4").describe(
    "square is 21 cm.",
  ),
  photos_per_page: z.literal(["auto", 1, 2, 4]).default("auto").describe(
    "Most photos on a page; they share one when their orientation and captions allow it.",
  ),
  show_dates: z.boolean().default(false).describe(
    "Below each photo the day on which it was taken, as Exif has it.",
  ),
  title: plainText(200).optional().describe(
    "For the cover, instead of the slideshow's own.",
  ),
});
export type PdfRenderMetadata = z.infer<typeof pdfRenderMetadataSchema>;

/** A request for a keepsake. It has no input object: the slideshow refers to its photos. */
export const pdfRenderRequestSchema = z.strictObject({
  ...jobOptions,
  job_type: z.literal("pdf_render"),
  metadata: pdfRenderMetadataSchema,
});

/** Result of a keepsake; the file is the job's output, and a row of `pdfs` is made with it. */
export const pdfRenderResultSchema = z.object({
  slideshow_id: z.uuid(),
  title: z.string().min(1),
  page_size: z.string(),
  page_count: z.number().int().positive(),
  size_bytes: z.number().int().positive(),
  pictures_left_out: z.number().int().min(0).describe(
    "Emoji in title, name, foreword and captions, which are not printed.",
  ),
  characters_left_out: z.number().int().min(0).describe(
    "Other characters in them that the fonts do not have.",
  ),
  characters_left_out_sample: z.string().nullable().describe(
    "The first ten different ones of those.",
  ),
  captions_incomplete: z.array(z.number().int()).describe(
    "Slides, from 1, whose caption lacks such characters, or is left out because it would lose most of its letters.",
  ),
  photos_too_small: z.array(z.number().int()).describe(
    "Slides, from 1, whose photo has fewer than 150 pixels to the inch where it is printed largest.",
  ),
  photos_without_end: z.array(z.number().int()).describe(
    "Slides, from 1, whose JPEG has no end marker: it may be cut, or have other data appended to it.",
  ),
  content_type: z.literal("application/pdf"),
});
export type PdfRenderResult = z.infer<typeof pdfRenderResultSchema>;
