/** Uploads to Storage: in one request to a signed URL, or in resumable pieces where the project offers them. */
import { deadline, onAbort, orAbort, pause, throwIfAborted } from "./abort.ts";
import {
  type AiJobsError,
  RequestInvalid,
  ServiceUnavailable,
} from "./errors.ts";
import { type Fields, noResponse } from "./server.ts";

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
    "PUT",
    target.upload_url,
    headers,
    signal,
    file,
    // fetch reports no upload progress; browsers and React Native have XMLHttpRequest.
    onProgress && typeof XMLHttpRequest !== "undefined"
      ? (url, { signal }) => sendByXhr(url, headers, file, onProgress, signal)
      : fetch,
  );
  if (!response?.ok) throw refused(response);
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
 * The response; undefined when it did not arrive in the time that a request with this body has. Throws the signal's
 * reason once it is aborted.
 */
async function send(
  method: string,
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal | undefined,
  body: Blob | null = null,
  by: (url: string, init: Sent) => Promise<Response> = fetch,
): Promise<Received | undefined> {
  const limit = deadline(signal, 60_000 + (body?.size ?? 0) / 4);
  try {
    const response = await by(url, {
      method,
      headers,
      body,
      signal: limit.signal,
    });
    const { ok, status, headers: received } = response;
    return { ok, status, headers: received, text: await response.text() };
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
  const tus = { "tus-resumable": "1.0.0", "x-signature": target.token };
  const sign = target.upload_url
    .replace(/\/object\/upload\/sign\/.*/, "/upload/resumable/sign");
  let failures = 0;
  const retryLater = (failed: Received | undefined): Promise<void> => {
    if (++failures > RESUMES) throw refused(failed);
    return pause(250 * 2 ** failures, signal);
  };
  let created: Received | undefined;
  while (
    isOutage(
      created = await send("POST", sign, {
        ...tus,
        "upload-length": String(file.size),
        // All ASCII: the project chooses the name of the object.
        "upload-metadata": Object.entries({
          bucketName: target.bucket,
          objectName: target.path,
          contentType,
          cacheControl: "3600",
        }).map(([name, value]) => `${name} ${btoa(value)}`).join(","),
      }, signal),
    )
  ) await retryLater(created);
  const location = created?.headers.get("location");
  if (created?.status !== 201 || !location) return false;
  const url = new URL(location, sign).href;

  let offset = 0;
  failures = 0;
  while (offset < file.size) {
    await orAbort(paused?.(), signal);
    const sent = await send(
      "PATCH",
      url,
      {
        ...tus,
        "upload-offset": String(offset),
        "content-type": "application/offset+octet-stream",
      },
      signal,
      file.slice(offset, offset + PIECE_BYTES),
    );
    if (sent?.ok) {
      offset = Number(sent.headers.get("upload-offset"));
      failures = 0;
      onProgress?.(offset / file.size);
      continue;
    }
    if (!isOutage(sent) && sent?.status !== 409 && sent?.status !== 423) {
      throw refused(sent);
    }
    await retryLater(sent);
    const known = await send("HEAD", url, tus, signal);
    const arrived = known?.ok && known.headers.get("upload-offset");
    if (arrived) offset = Number(arrived);
  }
  return true;
}

/** Whether a request without a response, or with this one, may succeed later. */
function isOutage({ status }: { status: number } = { status: 500 }): boolean {
  return status === 429 || status >= 500;
}

function refused(received: Received | undefined): AiJobsError {
  if (received === undefined) return noResponse();
  const { status, text } = received;
  let message = `Storage refused the file: ${status}.`;
  try {
    const body: Fields = JSON.parse(text);
    message = String(body["message"] ?? message);
  } catch {
    // Not JSON: only the status is known.
  }
  const Refusal = isOutage(received) ? ServiceUnavailable : RequestInvalid;
  return new Refusal(message, { code: "upload_refused" });
}
