/** create-upload-url: a signed URL for one upload straight into Storage. */
import { adviceOnUnknownType } from "../_shared/contracts/mime-type.ts";
import {
  createUploadUrlRequestSchema,
  type CreateUploadUrlResponse,
} from "../_shared/contracts/storage.ts";
import { fromDatabaseError } from "../_shared/database/errors.ts";
import { AppError } from "../_shared/failures/app-error.ts";
import { readJson } from "../_shared/http/body.ts";
import { createUserEndpoint } from "../_shared/http/caller.ts";
import type { AppDeps } from "../_shared/http/endpoint.ts";
import { jsonResponse } from "../_shared/http/problem.ts";
import { BUCKETS, findBucket } from "../_shared/storage/buckets.ts";
import {
  publicUrl,
  storageFailure,
  tokenExpiry,
} from "../_shared/storage/signed-url.ts";

/**
 * POST `{bucket, file_name, content_type, size_bytes}`: a signed URL for one upload to a new path in the caller's
 * folder. `expires_at` is read from the token. Storage checks type and size again at the upload. Until it is used or
 * expires, the URL counts towards the caller's limits on unused uploads; beyond them the response is 429.
 */
export function createHandler(
  deps: AppDeps,
): (request: Request) => Promise<Response> {
  return createUserEndpoint(
    deps,
    { name: "create-upload-url", method: "POST" },
    async (context) => {
      const request = await readJson(
        context.request,
        createUploadUrlRequestSchema,
      );
      const bucket = findBucket(request.bucket);
      if (bucket === undefined || !bucket.isUploadable) {
        const names = Object.keys(BUCKETS).filter((name) =>
          BUCKETS[name]?.isUploadable
        );
        throw wrong(
          "bucket_not_allowed",
          "bucket",
          `must be one of ${names.join(", ")}`,
        );
      }
      if (!bucket.mimeTypes.includes(request.content_type)) {
        throw wrong(
          "file_type_not_allowed",
          "content_type",
          adviceOnUnknownType(
            request.content_type,
            request.file_name,
            bucket.mimeTypes,
          ) ??
            `is ${request.content_type}, which ${request.bucket} does not accept; it accepts ${
              bucket.mimeTypes.join(", ")
            }`,
        );
      }
      if (request.size_bytes > bucket.maxBytes) {
        throw wrong(
          "file_size_not_allowed",
          "size_bytes",
          `is ${request.size_bytes}; ${request.bucket} accepts at most ${bucket.maxBytes} bytes`,
        );
      }

      const path = `${context.userId}/${deps.platform.uuid()}/${
        safeFileName(request.file_name)
      }`;
      // Before signing, which Storage allows only for a reserved path.
      const reserved = await context.supabase.from("pending_uploads").insert({
        object_path: `${request.bucket}/${path}`,
        size_bytes: request.size_bytes,
      });
      if (reserved.error) throw fromDatabaseError(reserved.error);
      const { data, error } = await context.supabase.storage.from(
        request.bucket,
      ).createSignedUploadUrl(path);
      if (error) {
        // Nobody has a URL to use, so it must not count: the caller would soon be refused. Best effort: it expires.
        await context.supabase.from("pending_uploads").delete()
          .eq("object_path", `${request.bucket}/${path}`);
        throw storageFailure(error);
      }
      const body: CreateUploadUrlResponse = {
        upload_url: publicUrl(data.signedUrl, deps.env),
        token: data.token,
        bucket: request.bucket,
        path,
        input_url: `${request.bucket}/${path}`,
        content_type: request.content_type,
        expires_at: tokenExpiry(data.token),
      };
      return jsonResponse(body, { status: 201 });
    },
  );
}

/**
 * Storage accepts only some characters in names; the others become dashes. The extension is kept, since providers
 * detect the format by it, even when nothing else of the name is left.
 */
function safeFileName(name: string): string {
  const [, base = "", extension = ""] =
    /^(.*?)(\.[A-Za-z0-9]{1,10})?$/s.exec(name) ?? [];
  const safe = base.normalize("NFKD").replace(/[^A-Za-z0-9._-]+/g, "-").replace(
    /^[.-]+|[.-]+$/g,
    "",
  ).slice(-100);
  return (safe === "" ? "file" : safe) + extension;
}

function wrong(
  code:
    | "bucket_not_allowed"
    | "file_type_not_allowed"
    | "file_size_not_allowed",
  field: string,
  message: string,
): AppError {
  return new AppError(code, {
    details: `${field}: ${message}`,
    fields: [{ field, message }],
  });
}
