/** create-download-url: a URL from which the caller can fetch one of their objects. */
import {
  createDownloadUrlRequestSchema,
  type CreateDownloadUrlResponse,
} from "../_shared/contracts/storage.ts";
import { AppError } from "../_shared/failures/app-error.ts";
import { readJson } from "../_shared/http/body.ts";
import { createUserEndpoint } from "../_shared/http/caller.ts";
import type { AppDeps } from "../_shared/http/endpoint.ts";
import { jsonResponse } from "../_shared/http/problem.ts";
import { BUCKETS, findBucket } from "../_shared/storage/buckets.ts";
import { publicUrl, signDownload } from "../_shared/storage/signed-url.ts";

/**
 * POST `{bucket, path, expires_in}`: a signed URL that is valid for `expires_in` seconds (at most 7 days), or the CDN
 * URL of an object in a public bucket, which does not expire. Storage's policies decide whether the caller may read it.
 */
export function createHandler(
  deps: AppDeps,
): (request: Request) => Promise<Response> {
  return createUserEndpoint(deps, {
    name: "create-download-url",
    method: "POST",
  }, async (context) => {
    const { bucket, path, expires_in } = await readJson(
      context.request,
      createDownloadUrlRequestSchema,
    );
    const policy = findBucket(bucket);
    if (policy === undefined) {
      const message = `must be one of ${Object.keys(BUCKETS).join(", ")}`;
      throw new AppError("bucket_not_allowed", {
        details: `bucket: ${message}`,
        fields: [{ field: "bucket", message }],
      });
    }
    if (policy.isPublic) {
      const { data } = context.supabase.storage.from(bucket).getPublicUrl(path);
      return answer({
        download_url: publicUrl(data.publicUrl, deps.env),
        expires_at: null,
      });
    }
    // A signed URL outlives the access token: none is created for the files of a deleted account.
    await context.requireAccount();
    const signed = await signDownload(context.supabase, deps.env, {
      bucket,
      path,
    }, expires_in);
    if (signed !== null) {
      return answer({ download_url: signed.url, expires_at: signed.expiresAt });
    }
    // Storage refused. Which error to return depends on the path alone, never on whether an object exists there.
    throw path.startsWith(`${context.userId}/`)
      ? new AppError("object_not_found", {
        fields: [{ field: "path", message: "names no object" }],
      })
      : new AppError("path_not_allowed", {
        fields: [{ field: "path", message: "is outside your own folder" }],
      });
  });
}

function answer(body: CreateDownloadUrlResponse): Response {
  return jsonResponse(body);
}
