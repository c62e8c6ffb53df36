/**
 * Where the Storage of `@supabase/lite` 0.10.0 answers otherwise than a hosted project, this makes up for it, so
 * that the unmodified storage-js works. docs/embedded-stack.md has the list.
 */
import { errors, type JWTPayload } from "jose";
import { z } from "zod";
import type { DataServices } from "./data-services.ts";
import type { TokenExchange } from "./tokens.ts";
import { sameRequest } from "./same-request.ts";
import { listObjects } from "./storage-list.ts";
import { readUpload, StorageRefusal } from "./storage-upload.ts";

/** Who sends a request to Storage: the role for policies, and the claims that they can read. */
export interface StorageCaller {
  role: string;
  claims: JWTPayload;
}

/** What the seams need of the stack. */
export interface StorageDeps {
  services: DataServices;
  tokens: TokenExchange;
  /** Largest file, in bytes. */
  fileSizeLimit: number;
}

/** The characters that hosted Storage allows in an object name (storage `src/storage/limits.ts`). */
const allowedName = /^(\w|\/|!|-|\.|\*|'|\(|\)| |&|\$|@|=|;|:|\+|,|\?)*$/;

const objectPath =
  /^\/storage\/v1\/object\/(?:(upload\/sign|sign|public|authenticated|info\/authenticated|info)\/)?([^/]+)\/(.+)$/;

/** What may stand between `object` and the bucket; with another method it is the bucket, named `public` say. */
const kindsOf: Record<string, string[]> = {
  GET: ["sign", "public", "authenticated", "info/authenticated", "info"],
  HEAD: ["sign", "public", "authenticated", "info/authenticated", "info"],
  POST: ["upload/sign", "sign"],
  PUT: ["upload/sign"],
};

interface Target {
  kind: string;
  bucket: string;
  name: string;
}

function targetOf(method: string, path: string): Target | undefined {
  const [, prefix, ...places] = objectPath.exec(path) ?? [];
  let kind = prefix;
  let [bucket, name] = places;
  if (bucket === undefined || name === undefined) return undefined;
  if (kind !== undefined && !kindsOf[method]?.includes(kind)) {
    const [first, ...rest] = `${kind}/${bucket}/${name}`.split("/");
    [kind, bucket, name] = [undefined, first ?? "", rest.join("/")];
  }
  try {
    return {
      kind: kind ?? "",
      bucket: decodeURIComponent(bucket),
      name: decodeURIComponent(name),
    };
  } catch {
    return undefined;
  }
}

function refuseBadName(name: string): void {
  if (
    name.length > 0 && allowedName.test(name) && !name.startsWith("/") &&
    !name.split("/").some((part) => part === ".." || part === ".")
  ) return;
  throw new StorageRefusal("400", "InvalidKey", `Invalid key: ${name}`);
}

const signedClaims = z.object({
  sub: z.string(),
  bucket: z.string(),
  intent: z.enum(["download", "upload"]),
});

/** A signed URL is checked here first, because the embedded Storage answers 500 for a bad token. */
async function checkSignedUrl(
  tokens: TokenExchange,
  url: URL,
  target: Target,
  intent: "download" | "upload",
): Promise<void> {
  const token = url.searchParams.get("token");
  if (token === null) {
    throw new StorageRefusal(
      "400",
      "Error",
      "querystring must have required property 'token'",
    );
  }
  let payload: JWTPayload;
  try {
    payload = await tokens.verifyInner(token);
  } catch (error) {
    const message = error instanceof errors.JOSEError
      ? error.message
      : "jwt malformed";
    throw new StorageRefusal("400", "InvalidJWT", message);
  }
  const claims = signedClaims.safeParse(payload);
  if (
    !claims.success || claims.data.intent !== intent ||
    claims.data.bucket !== target.bucket || claims.data.sub !== target.name
  ) {
    throw new StorageRefusal("400", "InvalidSignature", "Invalid signature");
  }
}

async function forwardUpload(
  deps: StorageDeps,
  request: Request,
  target: Target,
): Promise<Response> {
  const upload = await readUpload(request, deps.fileSizeLimit);
  const headers = new Headers(request.headers);
  headers.set("content-type", upload.contentType);
  headers.set("cache-control", upload.cacheControl);
  headers.set("content-length", String(upload.size));
  const response = await deps.services.fetch(
    new Request(request.url, {
      method: request.method,
      headers,
      // An empty body is none to the platform, and then there would be no file to store.
      body: upload.size === 0 ? new Uint8Array(0) : upload.body,
    }),
  );
  if (response.ok && upload.metadata !== undefined) {
    await keepUserMetadata(deps, target, upload.metadata);
  }
  if (!response.ok || target.kind !== "upload/sign") return response;
  return Response.json({ Key: `${target.bucket}/${target.name}` }, {
    headers: response.headers,
  });
}

/** The embedded Storage drops what `upload(…, { metadata })` sends along. */
async function keepUserMetadata(
  deps: StorageDeps,
  { bucket, name }: Target,
  metadata: string,
): Promise<void> {
  const parsed = z.record(z.string(), z.json()).safeParse(
    parseJson(metadata),
  );
  if (!parsed.success) return;
  await deps.services.connection.driver`
    update storage.objects set user_metadata = ${
    JSON.stringify(parsed.data)
  }::text::jsonb
    where bucket_id = ${bucket} and name = ${name}`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const signedUploadAnswer = z.object({
  signedUrl: z.string(),
  token: z.string(),
});
const signedAnswer = z.object({ signedUrl: z.string() });
const signManyRequest = z.object({
  expiresIn: z.number(),
  paths: z.array(z.string()).max(500),
});
const infoAnswer = z.object({
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

/** Codes of hosted Storage (`src/internal/errors/codes.ts`) for the words of the embedded one. */
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
};

const errorAnswer = z.looseObject({ error: z.string() });

/** storage-js tells "there is no such object" from other failures by the `code` that hosted Storage adds. */
async function addErrorCode(response: Response): Promise<Response> {
  const isJson = response.headers.get("content-type")?.includes("json");
  if (response.ok || !isJson || response.body === null) return response;
  const text = await response.text();
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  const parsed = errorAnswer.safeParse(parseJson(text));
  const code = parsed.success ? errorCodes[parsed.data.error] : undefined;
  const body = parsed.success && code !== undefined
    ? JSON.stringify({ ...parsed.data, code })
    : text;
  return new Response(body, { status: response.status, headers });
}

/** The embedded Storage writes `/storage/v1/object/…`, storage-js puts its own base in front of `/object/…`. */
function relative(url: string): string {
  return url.replace(/^\/storage\/v1/, "");
}

async function mendAnswer(
  method: string,
  target: Target | undefined,
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
      const { signedUrl, token } = signedUploadAnswer.parse(given);
      return { url: relative(signedUrl), token };
    });
  }
  if (method === "POST" && target?.kind === "sign") {
    return await answer((given) => ({
      signedURL: relative(signedAnswer.parse(given).signedUrl),
    }));
  }
  if (method === "GET" && target?.kind.startsWith("info")) {
    return await answer((given) => {
      const { httpMetadata, user_metadata, ...object } = infoAnswer.parse(
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

/** `createSignedUrls`, whose route the embedded Storage takes for that of a single object without a name. */
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
    const signed = signedAnswer.safeParse(body);
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

/** `?download` and `?download=name` ask for a file to be saved, not shown. */
function asAttachment(url: URL, headers: Headers): void {
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

/** Cuts the asked-for range (RFC 9110, one range) out of a whole answer; players seek with it. */
function cutRange(range: string | null, response: Response): Response {
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

const downloadKinds = new Set(["", "sign", "public", "authenticated"]);

/**
 * Answers a request under `/storage/v1` whose tokens are already in their inner form. `caller` is undefined when
 * the request has no valid credential; then only public objects and signed URLs are served.
 */
export async function answerStorage(
  deps: StorageDeps,
  request: Request,
  caller: StorageCaller | undefined,
): Promise<Response> {
  try {
    return await addErrorCode(await serveStorage(deps, request, caller));
  } catch (error) {
    if (error instanceof StorageRefusal) {
      return await addErrorCode(error.response());
    }
    throw error;
  }
}

async function serveStorage(
  deps: StorageDeps,
  request: Request,
  caller: StorageCaller | undefined,
): Promise<Response> {
  const url = new URL(request.url);
  const { method } = request;
  const target = targetOf(method, url.pathname);
  const listed = /^\/storage\/v1\/object\/list\/([^/]+)$/.exec(url.pathname);
  if (method === "POST" && listed?.[1] !== undefined && caller) {
    return await listObjects(
      deps.services.connection,
      caller,
      decodeURIComponent(listed[1]),
      await request.json().catch(() => undefined),
    );
  }
  const bulk = /^\/storage\/v1\/object\/sign\/([^/]+)$/.exec(url.pathname);
  if (method === "POST" && bulk?.[1] !== undefined) {
    return await signMany(deps, request, bulk[1]);
  }
  if (target?.kind === "upload/sign" && method === "PUT") {
    await checkSignedUrl(deps.tokens, url, target, "upload");
  }
  if (target?.kind === "sign" && (method === "GET" || method === "HEAD")) {
    await checkSignedUrl(deps.tokens, url, target, "download");
  }
  const isUpload = target !== undefined &&
    ((target.kind === "" && (method === "POST" || method === "PUT")) ||
      (target.kind === "upload/sign" && method === "PUT"));
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
  const response = await mendAnswer(method, target, answered);
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
