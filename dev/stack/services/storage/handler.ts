/**
 * Corrects the differences between the Storage of `@supabase/lite` 0.10.0 and a hosted project, so that the unmodified
 * storage-js works. docs/embedded-stack.md lists them.
 */
import { sql } from "kysely";
import { z } from "zod";
import type { DataServices } from "../lite/data-services.ts";
import type { TokenExchange } from "../../keys/tokens.ts";
import { sameRequest } from "../requests/same-request.ts";
import {
  asAttachment,
  asHostedRefusal,
  correctResponse,
  cutRange,
  parseJson,
  relative,
  signedResponse,
} from "./responses.ts";
import { changeBucket } from "./buckets.ts";
import { listObjects } from "./list.ts";
import { listObjectsV2 } from "./list-v2.ts";
import {
  isResumable,
  isSignedResumable,
  type ResumableUploads,
} from "./resumable.ts";
import { checkSignature, type SignedIntent } from "./signature.ts";
import { copyObject, moveObject } from "./relocate.ts";
import { refuseBadName, type StorageTarget, targetOf } from "./target.ts";
import { readUpload, StorageRefusal, tooLarge } from "./upload.ts";
import type { Caller } from "../requests/caller.ts";
import { BodyTooLarge, withWholeBody } from "../requests/whole-body.ts";

/** The parts of the stack that this module uses. */
export interface StorageDeps {
  services: DataServices;
  tokens: TokenExchange;
  uploads: ResumableUploads;
  /** Largest file, in bytes. */
  fileSizeLimit: number;
}

async function checkSignedUrl(
  tokens: TokenExchange,
  url: URL,
  target: StorageTarget,
  intent: SignedIntent,
): Promise<void> {
  const token = url.searchParams.get("token");
  if (token === null) {
    throw new StorageRefusal(
      "400",
      "Error",
      "querystring must have required property 'token'",
    );
  }
  await checkSignature(tokens, token, target, intent);
}

async function forwardUpload(
  deps: StorageDeps,
  request: Request,
  target: StorageTarget,
): Promise<Response> {
  using upload = await readUpload(
    request,
    deps.fileSizeLimit,
    deps.services.files.dir,
  );
  const headers = new Headers(request.headers);
  headers.set("content-type", upload.contentType);
  headers.set("cache-control", upload.cacheControl);
  headers.set("content-length", String(upload.size));
  const response = await deps.services.fetch(
    new Request(request.url, {
      method: request.method,
      headers,
      // The platform reports an empty body as a missing body; then there would be no file to store.
      body: upload.size === 0 ? new Uint8Array(0) : upload.body,
    }),
  );
  if (response.ok && upload.metadata !== undefined) {
    await keepUserMetadata(deps, target, upload.metadata);
  }
  if (!response.ok) await dropUnstored(deps, target);
  if (!response.ok || target.kind !== "upload/sign") return response;
  return Response.json({ Key: `${target.bucket}/${target.name}` }, {
    headers: response.headers,
  });
}

/** Deletes the content of an upload whose row the database has refused, as hosted Storage does. */
async function dropUnstored(
  { services }: StorageDeps,
  { bucket, name }: StorageTarget,
): Promise<void> {
  const { rows: [row] } = await sql`
    select 1 from storage.objects where bucket_id = ${bucket} and name = ${name}`
    .execute(services.connection.kysely);
  if (row === undefined) await services.files.deleteObject(bucket, name);
}

/** The embedded Storage drops the metadata of `upload(…, { metadata })`. */
async function keepUserMetadata(
  deps: StorageDeps,
  { bucket, name }: StorageTarget,
  metadata: string,
): Promise<void> {
  const parsed = z.record(z.string(), z.json()).safeParse(
    parseJson(metadata),
  );
  if (!parsed.success) return;
  await sql`
    update storage.objects set user_metadata = ${
    JSON.stringify(parsed.data)
  }::text::jsonb
    where bucket_id = ${bucket} and name = ${name}`
    .execute(deps.services.connection.kysely);
}

const signManyRequest = z.object({
  expiresIn: z.number(),
  paths: z.array(z.string()).max(500),
});
/** `createSignedUrls`: the embedded Storage routes it to a single object without a name. */
async function signMany(
  deps: StorageDeps,
  request: Request,
  bucket: string,
): Promise<Response> {
  const wanted = signManyRequest.safeParse(
    await request.json().catch(() => undefined),
  );
  if (!wanted.success) {
    throw new StorageRefusal("400", "Error", z.prettifyError(wanted.error));
  }
  const { expiresIn, paths } = wanted.data;
  const headers = new Headers(request.headers);
  headers.delete("content-length");
  headers.set("content-type", "application/json");
  const made = await Promise.all(paths.map(async (path) => {
    const url = new URL(request.url);
    url.pathname = `/storage/v1/object/sign/${bucket}/${path}`;
    const response = await deps.services.fetch(
      new Request(url, {
        method: "POST",
        headers,
        body: JSON.stringify({ expiresIn }),
      }),
    );
    const body: unknown = await response.json();
    const signed = signedResponse.safeParse(body);
    return signed.success
      ? { path, error: null, signedURL: relative(signed.data.signedUrl) }
      : { path, error: errorMessage(body), signedURL: null };
  }));
  return Response.json(made);
}

function errorMessage(body: unknown): string {
  const parsed = z.object({ message: z.string() }).safeParse(body);
  return parsed.success ? parsed.data.message : "Error";
}

async function readJson(request: Request): Promise<unknown> {
  return await request.json().catch(() => undefined);
}

const downloadKinds = new Set(["", "sign", "public", "authenticated"]);

/**
 * Handles a request under `/storage/v1` whose tokens are already in their inner form. `caller` is undefined when the
 * request has no valid credential; then only public objects and signed URLs are served.
 */
export async function answerStorage(
  deps: StorageDeps,
  request: Request,
  caller: Caller | undefined,
): Promise<Response> {
  try {
    return await asHostedRefusal(await serveStorage(deps, request, caller));
  } catch (error) {
    if (error instanceof StorageRefusal) {
      return await asHostedRefusal(error.response());
    }
    if (error instanceof BodyTooLarge) {
      return await asHostedRefusal(tooLarge().response());
    }
    throw error;
  }
}

async function serveStorage(
  deps: StorageDeps,
  given: Request,
  caller: Caller | undefined,
): Promise<Response> {
  const url = new URL(given.url);
  const { method } = given;
  const target = targetOf(method, url.pathname);
  if (isSignedResumable(url.pathname)) {
    return await deps.uploads.answerSigned(given);
  }
  if (isResumable(url.pathname) && caller) {
    return await deps.uploads.answer(given, caller);
  }
  const listed = /^\/storage\/v1\/object\/(list|list-v2)\/([^/]+)$/.exec(
    url.pathname,
  );
  const bulk = /^\/storage\/v1\/object\/sign\/([^/]+)$/.exec(url.pathname);
  const isUpload = listed === null && bulk === null && target !== undefined &&
    ((target.kind === "" && (method === "POST" || method === "PUT")) ||
      (target.kind === "upload/sign" && method === "PUT"));
  // A file may be larger than memory, so it is streamed.
  const request = isUpload ? given : await withWholeBody(given);
  if (url.pathname.startsWith("/storage/v1/render/image/")) {
    return Response.json({
      statusCode: "403",
      error: "FeatureNotEnabled",
      message: "feature not enabled for this tenant",
    }, { status: 403 });
  }
  if (method === "POST" && listed?.[2] !== undefined && caller) {
    const list = listed[1] === "list" ? listObjects : listObjectsV2;
    return await list(
      deps.services.connection,
      caller,
      decodeURIComponent(listed[2]),
      await readJson(request),
    );
  }
  const relocated = /^\/storage\/v1\/object\/(move|copy)$/.exec(url.pathname);
  if (method === "POST" && relocated !== null && caller) {
    const { connection, files } = deps.services;
    const body = await readJson(request);
    return relocated[1] === "move"
      ? await moveObject({ connection, files, caller }, body)
      : await copyObject(
        { connection, files, caller },
        body,
        request.headers.get("x-upsert") === "true",
      );
  }
  const isBucketChange = (method === "POST" || method === "PUT") &&
    /^\/storage\/v1\/bucket(\/[^/]+)?$/.test(url.pathname);
  if (isBucketChange) return await changeBucket(deps, request);
  if (method === "POST" && bulk?.[1] !== undefined) {
    return await signMany(deps, request, bulk[1]);
  }
  if (target?.kind === "upload/sign" && method === "PUT") {
    await checkSignedUrl(deps.tokens, url, target, "upload");
  }
  if (target?.kind === "sign" && (method === "GET" || method === "HEAD")) {
    await checkSignedUrl(deps.tokens, url, target, "download");
  }
  if (isUpload || (target?.kind === "upload/sign" && method === "POST")) {
    refuseBadName(target.name);
  }
  if (isUpload) return await forwardUpload(deps, request, target);

  const inner = url.pathname.replace(
    /^(\/storage\/v1\/object\/(?:info\/)?)authenticated\//,
    "$1",
  );
  const answered = await deps.services.fetch(
    inner === url.pathname
      ? request
      : sameRequest(request, { url: new URL(inner + url.search, url).href }),
  );
  const response = await correctResponse(method, target, answered);
  const isDownload = method === "GET" && response.status === 200 &&
    target !== undefined && downloadKinds.has(target.kind);
  if (!isDownload) return response;
  const headers = new Headers(response.headers);
  asAttachment(url, headers);
  return cutRange(
    request.headers.get("range"),
    new Response(response.body, { headers }),
  );
}
