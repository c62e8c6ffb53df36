/** The job type `pdf_render`, which renders a slideshow as a keepsake (a PDF): its parameters, request and result. */
import { z } from "zod";
import { jobOptions } from "./job-request.ts";
import { plainText } from "./plain-text.ts";

/** Maximum number of slides of a keepsake. The database enforces the same limits. */
export const MAX_SLIDES = 100;
/** Maximum number of bytes of all photos; leaves room for the pages within the bucket's limit. */
export const MAX_PHOTOS_BYTES = 503_316_480;
/** Maximum number of characters of all captions. */
export const MAX_CAPTION_CHARACTERS = 30_000;

export const pdfRenderMetadataSchema = z.strictObject({
  slideshow_id: z.uuid().describe("Id of one of your slideshows."),
  page_size: z.enum(["a4", "letter", "square"]).default("a4").describe(
    "square is 21 cm.",
  ),
  photos_per_page: z.literal(["auto", 1, 2, 4]).default("auto").describe(
    "Maximum number of photos on a page. Photos share a page if their orientation and captions allow it.",
  ),
  show_dates: z.boolean().default(false).describe(
    "Prints the date of each photo below it, as Exif has it.",
  ),
  title: plainText(200).optional().describe(
    "Title on the cover, instead of the slideshow's.",
  ),
});
export type PdfRenderMetadata = z.infer<typeof pdfRenderMetadataSchema>;

/** A request for a keepsake. It has no input object: the slideshow refers to its photos. */
export const pdfRenderRequestSchema = z.strictObject({
  ...jobOptions,
  job_type: z.literal("pdf_render"),
  metadata: pdfRenderMetadataSchema,
});

/** Result of `pdf_render`; the PDF is the job's output, and a row of `pdfs` is inserted with it. */
export const pdfRenderResultSchema = z.object({
  slideshow_id: z.uuid(),
  title: z.string().min(1),
  page_size: z.string(),
  page_count: z.number().int().positive(),
  size_bytes: z.number().int().positive(),
  omitted_picture_count: z.number().int().min(0).describe(
    "Number of emoji in title, name, description and captions; they are not printed.",
  ),
  omitted_character_count: z.number().int().min(0).describe(
    "Number of other characters that the fonts do not have.",
  ),
  omitted_character_sample: z.string().nullable().describe(
    "The first ten different characters that the fonts do not have.",
  ),
  captions_incomplete: z.array(z.number().int()).describe(
    "Slides, counted from 1, whose caption lacks characters or is left out because it would lose most of its letters.",
  ),
  photos_too_small: z.array(z.number().int()).describe(
    "Slides, counted from 1, whose photo has fewer than 150 pixels per inch in its largest print.",
  ),
  photos_without_end: z.array(z.number().int()).describe(
    "Slides, counted from 1, whose JPEG has no end marker: it may be truncated, or other data is appended.",
  ),
  content_type: z.string(),
});
export type PdfRenderResult = z.infer<typeof pdfRenderResultSchema>;
