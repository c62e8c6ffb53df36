/** The job type `pdf_render`, as apps ask for it and as they get it back: a slideshow as a book in PDF. */
import { z } from "zod";
import { plainText } from "./plain-text.ts";

/** Most slides of one keepsake; the database refuses more as well. */
export const MAX_SLIDES = 100;

export const pdfRenderMetadataSchema = z.strictObject({
  slideshow_id: z.uuid().describe("A slideshow of one's own."),
  page_size: z.enum(["a4", "letter", "square"]).default("a4").describe(
    "square is 21 cm.",
  ),
  title: plainText(200).optional().describe(
    "For the cover, instead of the slideshow's own.",
  ),
});
export type PdfRenderMetadata = z.infer<typeof pdfRenderMetadataSchema>;

/** Result of a keepsake; the file is the job's output, and a row of `pdfs` is made with it. */
export const pdfRenderResultSchema = z.object({
  slideshow_id: z.uuid(),
  title: z.string().min(1),
  page_size: z.string(),
  page_count: z.number().int().positive(),
  size_bytes: z.number().int().positive(),
  pictures_left_out: z.number().int().min(0).describe(
    "Emoji in title, foreword and captions, which are not printed.",
  ),
  content_type: z.literal("application/pdf"),
});
export type PdfRenderResult = z.infer<typeof pdfRenderResultSchema>;
