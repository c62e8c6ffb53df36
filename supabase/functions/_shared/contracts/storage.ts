/** Requests and responses of create-upload-url and create-download-url. */
import { z } from "zod";
import { canonicalMimeType } from "./mime-type.ts";
import { objectPathSchema } from "./object-path.ts";

/** Longest lifetime of a download URL: seven days, in seconds. */
export const MAX_DOWNLOAD_SECONDS = 7 * 24 * 60 * 60;

// deno-lint-ignore no-control-regex -- control characters are exactly what is refused
const FILE_NAME = /^[^\u0000-\u001f\u007f/\\]*$/;

const bucket = z.string().regex(
  /^[a-z0-9][a-z0-9_-]{0,62}$/,
  "must be the name of a bucket",
);

export const createUploadUrlRequestSchema = z.strictObject({
  bucket,
  file_name: z.string().trim().min(1).max(200).regex(
    FILE_NAME,
    "must be a plain file name",
  ),
  content_type: z.string().max(255).transform(canonicalMimeType).pipe(
    z.string().regex(
      /^$|^[a-z]+\/[a-z0-9.+-]+$/,
      "must be a MIME type such as audio/mpeg",
    ),
  ).describe(
    "As the browser reports it: parameters are dropped, synonyms replaced. If it is empty, the error names the type to send.",
  ),
  size_bytes: z.number().int().min(1),
});

export const createUploadUrlResponseSchema = z.object({
  upload_url: z.url(),
  token: z.string().min(1),
  bucket: z.string(),
  /** Path inside the bucket, for `uploadToSignedUrl(path, token, file)`. */
  path: z.string(),
  /** The object as a job's `input_url`. */
  input_url: z.string(),
  /** The canonical content type with which to upload the file. */
  content_type: z.string(),
  expires_at: z.string(),
});
export type CreateUploadUrlResponse = z.infer<
  typeof createUploadUrlResponseSchema
>;

export const createDownloadUrlRequestSchema = z.strictObject({
  bucket,
  path: objectPathSchema,
  expires_in: z.number().int().min(1).max(MAX_DOWNLOAD_SECONDS).default(3600),
});

export const createDownloadUrlResponseSchema = z.object({
  download_url: z.url(),
  /** Null for an object of a public bucket, whose URL does not expire. */
  expires_at: z.string().nullable(),
});
export type CreateDownloadUrlResponse = z.infer<
  typeof createDownloadUrlResponseSchema
>;
