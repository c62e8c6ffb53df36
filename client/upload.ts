/** Uploads to Storage: in one request to a signed URL, or in resumable pieces where the project offers them. */
import { deadline, onAbort, pause, throwIfAborted } from "./abort.ts";
import {
  type AiJobsError,
  RequestInvalid,
  ServiceUnavailable,
} from "./errors.ts";
import { isFields, noResponse } from "./server.ts";

/** The signed upload URL, as create-upload-url returns it. */
export interface UploadTarget {
  upload_url: string;
  token: string;
  bucket: string;
  path: string;
}

/** How a file is sent. */
export interface SendOptions {
  contentType: string;
  /** Called with the fraction that has arrived, 0 to 1. */
  onProgress?: ((fraction: number) => void) | undefined;
  signal?: AbortSignal | undefined;
  pause?: (() => Promise<unknown> | undefined) | undefined;
}

/** The part of XMLHttpRequest that is used here. This file also runs where there is no DOM. */
declare class XMLHttpRequest {
  readonly upload: {
    onprogress: ((event: { loaded: number; total: number }) => void) | null;
  };
  readonly status: number;
  readonly responseText: string;
  onloadend: (() => void) | null;
  open(method: string, url: string): void;
  setRequestHeader(name: string, value: string): void;
  send(body: Blob): void;
  abort(): void;
}

/**
 * Files of up to this size go in one request; Supabase recommends resumable uploads above. Also the size of a piece.
 */
const PIECE_BYTES = 6 * 1024 * 1024;
const RESUMES = 5;

/** `audio/webm;codecs=opus` is `audio/webm`: Storage and the functions know types without parameters. */
export function plainType(type: string): string {
  return type.split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

/**
 * Uploads a file.
 *
 * @throws {RequestInvalid} when Storage refuses it, {@link ServiceUnavailable} when it cannot store it now,
 *   {@link NetworkError} when it does not arrive; the signal's reason once it is aborted.
 */
export async function sendFile(
  target: UploadTarget,
  file: Blob,
  options: SendOptions,
): Promise<void> {
  if (file.size > PIECE_BYTES && await sendInPieces(target, file, options)) {
    return;
  }
  await sendInOneRequest(target, file, options);
}

async function sendInOneRequest(
  target: UploadTarget,
  file: Blob,
  { contentType, onProgress, signal }: SendOptions,
): Promise<void> {
  const headers = {
    "content-type": contentType,
    "cache-control": "max-age=3600",
  };
  const response = await send(
    target.upload_url,
    { method: "PUT", headers, body: file },
    signal,
    file.size,
    // fetch reports no upload progress; browsers and React Native have XMLHttpRequest.
    onProgress && typeof XMLHttpRequest !== "undefined"
      ? (url, { signal }) => sendByXhr(url, headers, file, onProgress, signal)
      : fetch,
  );
  if (response === undefined) throw noResponse();
  if (!response.ok) throw refused(response);
  onProgress?.(1);
}

/** A request with a signal. */
interface Sent extends RequestInit {
  signal: AbortSignal;
}

/** A response with its body. */
interface Received extends Pick<Response, "ok" | "status" | "headers"> {
  text: string;
}

/**
 * The response; undefined when it did not arrive in the time that a request with `bytes` has. Throws the signal's reason
 * once it is aborted.
 */
async function send(
  url: string,
  init: RequestInit,
  signal: AbortSignal | undefined,
  bytes = 0,
  by: (url: string, init: Sent) => Promise<Response> = fetch,
): Promise<Received | undefined> {
  const limit = deadline(signal, 60_000 + bytes / 4);
  try {
    const response = await by(url, { ...init, signal: limit.signal });
    const { ok, status, headers } = response;
    return { ok, status, headers, text: await response.text() };
  } catch {
    throwIfAborted(signal);
    return undefined;
  } finally {
    limit.clear();
  }
}

/** As fetch does, with a report of the fraction that was sent. */
function sendByXhr(
  url: string,
  headers: Record<string, string>,
  file: Blob,
  onProgress: (fraction: number) => void,
  signal: AbortSignal,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    throwIfAborted(signal);
    const request = new XMLHttpRequest();
    request.upload.onprogress = ({ loaded, total }) => {
      if (total > 0) onProgress(loaded / total);
    };
    const unsubscribe = onAbort(signal, () => request.abort());
    request.onloadend = () => {
      unsubscribe();
      const { status, responseText } = request;
      // 0 when no response arrived.
      if (status > 0) resolve(new Response(responseText || null, { status }));
      else reject();
    };
    request.open("PUT", url);
    for (const [name, value] of Object.entries(headers)) {
      request.setRequestHeader(name, value);
    }
    request.send(file);
  });
}

/**
 * The TUS protocol (https://tus.io/protocols/resumable-upload, version 1.0.0) with a signed token, as Supabase Storage
 * offers it at `/upload/resumable/sign`. False when the project does not offer it; nothing was sent then.
 */
async function sendInPieces(
  target: UploadTarget,
  file: Blob,
  { contentType, onProgress, signal, pause: paused }: SendOptions,
): Promise<boolean> {
  const base = target.upload_url.split("/object/upload/sign/", 1)[0] ?? "";
  const tus = { "tus-resumable": "1.0.0", "x-signature": target.token };
  const created = await send(`${base}/upload/resumable/sign`, {
    method: "POST",
    headers: {
      ...tus,
      "upload-length": String(file.size),
      // All ASCII: the project chooses the name of the object.
      "upload-metadata": Object.entries({
        bucketName: target.bucket,
        objectName: target.path,
        contentType,
        cacheControl: "3600",
      }).map(([name, value]) => `${name} ${btoa(value)}`).join(","),
    },
  }, signal);
  const location = created?.headers.get("location");
  if (created?.status !== 201 || !location) return false;
  const url = new URL(location, `${base}/upload/resumable/sign`).href;

  let offset = 0;
  let failures = 0;
  while (offset < file.size) {
    await paused?.();
    const sent = await send(
      url,
      {
        method: "PATCH",
        headers: {
          ...tus,
          "upload-offset": String(offset),
          "content-type": "application/offset+octet-stream",
        },
        body: file.slice(offset, offset + PIECE_BYTES),
      },
      signal,
      PIECE_BYTES,
    );
    if (sent?.ok) {
      offset = Number(sent.headers.get("upload-offset"));
      failures = 0;
      onProgress?.(offset / file.size);
      continue;
    }
    const isFinal = sent !== undefined && sent.status < 500 &&
      sent.status !== 409 && sent.status !== 423;
    if (isFinal) throw refused(sent);
    failures += 1;
    if (failures > RESUMES) throw noResponse();
    await pause(500 * 2 ** (failures - 1), signal);
    const known = await send(url, { method: "HEAD", headers: tus }, signal);
    const arrived = known?.headers.get("upload-offset");
    if (known?.ok && arrived) offset = Number(arrived);
  }
  return true;
}

function refused({ status, text }: Received): AiJobsError {
  let message = `Storage refused the file: ${status}.`;
  try {
    const body: unknown = JSON.parse(text);
    if (isFields(body)) message = String(body["message"] ?? message);
  } catch {
    // Not JSON: only the status is known.
  }
  const Refusal = status === 429 || status >= 500
    ? ServiceUnavailable
    : RequestInvalid;
  return new Refusal(message, { code: "upload_refused" });
}
