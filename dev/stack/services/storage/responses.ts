/** Rewrites responses of the embedded Storage to those of hosted Storage. */
import { z } from "zod";
import type { StorageTarget } from "./target.ts";

const signedUploadResponse = z.object({
  signedUrl: z.string(),
  token: z.string(),
});

/** The embedded Storage's response for a signed URL. */
export const signedResponse = z.object({ signedUrl: z.string() });
const infoResponse = z.object({
  id: z.string(),
  name: z.string(),
  bucket_id: z.string(),
  version: z.string().nullable(),
  created_at: z.string(),
  user_metadata: z.record(z.string(), z.unknown()).nullish(),
  httpMetadata: z.object({
    cacheControl: z.string(),
    size: z.number(),
    mimetype: z.string(),
    eTag: z.string(),
    lastModified: z.string().optional(),
  }),
});

/** Codes of hosted Storage (`src/internal/errors/codes.ts`) by the embedded Storage's messages. */
const errorCodes: Record<string, string> = {
  "Bucket not found": "NoSuchBucket",
  not_found: "NoSuchKey",
  Duplicate: "KeyAlreadyExists",
  ResourceNotEmpty: "BucketNotEmpty",
  invalid_mime_type: "InvalidMimeType",
  "Payload too large": "EntityTooLarge",
  Unauthorized: "AccessDenied",
  InvalidJWT: "InvalidJWT",
  InvalidKey: "InvalidKey",
  "Invalid key": "InvalidKey",
  InvalidSignature: "InvalidSignature",
  InvalidRequest: "InvalidRequest",
  InvalidParameter: "InvalidParameter",
  RelatedResourceNotFound: "RelatedResourceNotFound",
  FeatureNotEnabled: "FeatureNotEnabled",
};

/** Hosted Storage mentions neither the limit nor the allowed types. */
const messages: Record<string, (given: string) => string> = {
  "Payload too large": () => "The object exceeded the maximum allowed size",
  invalid_mime_type: (given) =>
    given.replace(/ Supported: .*$/s, "").replace(/\.$/, ""),
};

const errorResponse = z.looseObject({
  error: z.string(),
  message: z.string().optional(),
});

/**
 * A refusal with hosted Storage's message and `code`, by which storage-js distinguishes a missing object from other
 * failures.
 */
export async function asHostedRefusal(response: Response): Promise<Response> {
  const isJson = response.headers.get("content-type")?.includes("json");
  if (response.ok || !isJson || response.body === null) return response;
  const text = await response.text();
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  const parsed = errorResponse.safeParse(parseJson(text));
  const code = parsed.success ? errorCodes[parsed.data.error] : undefined;
  const body = parsed.success && code !== undefined
    ? JSON.stringify({
      ...parsed.data,
      message: messages[parsed.data.error]?.(parsed.data.message ?? "") ??
        parsed.data.message,
      code,
    })
    : text;
  return new Response(body, { status: response.status, headers });
}

/** The embedded Storage returns `/storage/v1/object/…`; storage-js prepends its base URL to `/object/…`. */
export function relative(url: string): string {
  return url.replace(/^\/storage\/v1/, "");
}

/** The response in the format that storage-js expects. */
export async function correctResponse(
  method: string,
  target: StorageTarget | undefined,
  response: Response,
): Promise<Response> {
  if (!response.ok) return response;
  const answer = async (body: (given: unknown) => unknown) => {
    const headers = new Headers(response.headers);
    headers.delete("content-length");
    return Response.json(body(await response.json()), { headers });
  };
  if (method === "POST" && target?.kind === "upload/sign") {
    return await answer((given) => {
      const { signedUrl, token } = signedUploadResponse.parse(given);
      return { url: relative(signedUrl), token };
    });
  }
  if (method === "POST" && target?.kind === "sign") {
    return await answer((given) => ({
      signedURL: relative(signedResponse.parse(given).signedUrl),
    }));
  }
  if (method === "GET" && target?.kind.startsWith("info")) {
    return await answer((given) => {
      const { httpMetadata, user_metadata, ...object } = infoResponse.parse(
        given,
      );
      return {
        ...object,
        size: httpMetadata.size,
        content_type: httpMetadata.mimetype,
        cache_control: httpMetadata.cacheControl,
        etag: httpMetadata.eTag,
        last_modified: httpMetadata.lastModified,
        metadata: user_metadata ?? {},
      };
    });
  }
  return response;
}

/** Parses JSON; undefined when it is invalid. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** `?download` and `?download=name` make the browser save a file instead of showing it. */
export function asAttachment(url: URL, headers: Headers): void {
  const name = url.searchParams.get("download");
  if (name === null) return;
  headers.set(
    "content-disposition",
    name === ""
      ? "attachment;"
      : `attachment; filename=${encodeURIComponent(name)}; filename*=UTF-8''${
        encodeURIComponent(name)
      };`,
  );
}

/** Cuts a requested range (RFC 9110, one range) out of a whole response; players seek with it. */
export function cutRange(range: string | null, response: Response): Response {
  const size = Number(response.headers.get("content-length") ?? NaN);
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(range ?? "") ?? [];
  if (
    first === undefined || last === undefined || (first === "" && last === "")
  ) return response;
  if (!Number.isInteger(size) || response.body === null) return response;
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === ""
    ? size - 1
    : Math.min(Number(last), size - 1);
  const headers = new Headers(response.headers);
  if (start >= size || start > end) {
    response.body.cancel();
    headers.delete("content-length");
    headers.set("content-range", `bytes */${size}`);
    return new Response(null, { status: 416, headers });
  }
  headers.set("content-length", String(end - start + 1));
  headers.set("content-range", `bytes ${start}-${end}/${size}`);
  let at = 0;
  const cut = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      const from = Math.max(0, start - at);
      const to = Math.min(chunk.byteLength, end + 1 - at);
      at += chunk.byteLength;
      if (from < to) controller.enqueue(chunk.subarray(from, to));
      if (at > end) controller.terminate();
    },
  });
  return new Response(response.body.pipeThrough(cut), { status: 206, headers });
}
