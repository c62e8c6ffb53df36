/**
 * Uploads that one isolate begins and another finishes, by TUS 1.0.0. Four requests without a client library, since
 * existing ones keep a file and its progress in one process.
 */
import { encodeBase64 } from "@std/encoding";
import { JobFailure } from "../failures/job-failure.ts";
import { boundedChunks, textOf } from "../platform/bounded-body.ts";

/** The size that Storage requires for all parts but the last (Supabase, "Resumable uploads"). */
export const UPLOAD_PART_BYTES = 6 * 1024 * 1024;

const VERSION = "1.0.0";
/** The bodies of Storage are short error texts. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** A file to be uploaded. */
export interface ResumableFile {
  bucket: string;
  path: string;
  size: number;
  contentType: string;
}

/**
 * The uploads. An upload's id is the last part of its URL. The file appears when its last byte has arrived, and
 * replaces one of the same name.
 *
 * All throw a {@link JobFailure}: `output_too_large` (final) when Storage does not accept a file of that size, else
 * `storage_unavailable` (retryable); and the reason of their signal.
 */
export interface ResumableUploads {
  begin(file: ResumableFile, signal: AbortSignal): Promise<string>;
  /** How many bytes have arrived; null when the upload has ended or does not exist. */
  offset(id: string, signal: AbortSignal): Promise<number | null>;
  /** Sends the bytes after the first `offset`, and returns how many have arrived in total. */
  append(
    id: string,
    offset: number,
    body: ReadableStream<Uint8Array>,
    signal: AbortSignal,
  ): Promise<number>;
  /** Discards an unfinished upload and its bytes. Does nothing to one that has ended. */
  end(id: string, signal: AbortSignal): Promise<void>;
}

/** The uploads of the project at `url`, with its secret key. */
export function createResumableUploads(
  options: { url: string; secretKey: string; fetch: typeof fetch },
): ResumableUploads {
  const base = `${options.url.replace(/\/+$/, "")}/storage/v1/upload/resumable`;
  async function call(
    method: string,
    id: string | null,
    headers: Record<string, string>,
    signal: AbortSignal,
    body?: ReadableStream<Uint8Array>,
  ): Promise<Response> {
    let response: Response;
    try {
      response = await options.fetch(id === null ? base : `${base}/${id}`, {
        method,
        signal,
        headers: {
          apikey: options.secretKey,
          authorization: `Bearer ${options.secretKey}`,
          "tus-resumable": VERSION,
          "x-upsert": "true",
          ...headers,
        },
        ...(body === undefined ? {} : { body, duplex: "half" }),
      });
    } catch (cause) {
      signal.throwIfAborted();
      throw unavailable(cause);
    }
    // Only an error text is needed, but reading the body lets the connection be reused.
    const text = await textOf(
      boundedChunks(
        response.body,
        MAX_ANSWER_BYTES,
        () => new Error(`more than ${MAX_ANSWER_BYTES} bytes`),
        signal,
      ),
    ).catch(() => "");
    if (response.status === 413) {
      throw JobFailure.final("output_too_large", {
        cause: new Error(text),
      });
    }
    return response;
  }
  return {
    async begin(file, signal) {
      const response = await call("POST", null, {
        "upload-length": String(file.size),
        "upload-metadata": metadata({
          bucketName: file.bucket,
          objectName: file.path,
          contentType: file.contentType,
          cacheControl: "3600",
        }),
      }, signal);
      const id = response.headers.get("location")?.split("/").at(-1);
      if (response.status !== 201 || !id) throw refused("begun", response);
      return id;
    },
    async offset(id, signal) {
      const response = await call("HEAD", id, {}, signal);
      if (response.status === 404 || response.status === 410) return null;
      return offsetOf(response);
    },
    async append(id, offset, body, signal) {
      const response = await call(
        "PATCH",
        id,
        {
          "content-type": "application/offset+octet-stream",
          "upload-offset": String(offset),
        },
        signal,
        body,
      );
      return offsetOf(response);
    },
    async end(id, signal) {
      const response = await call("DELETE", id, {}, signal);
      // 400 and 403: it is finished.
      if (!response.ok && ![400, 403, 404, 410].includes(response.status)) {
        throw refused("ended", response);
      }
    },
  };
}

function metadata(pairs: Record<string, string>): string {
  return Object.entries(pairs).map(([name, value]) =>
    `${name} ${encodeBase64(value)}`
  ).join(",");
}

function offsetOf(response: Response): number {
  const offset = /^\d+$/.exec(response.headers.get("upload-offset") ?? "")?.[0];
  if (!response.ok || offset === undefined) throw refused("read", response);
  return Number(offset);
}

function refused(what: string, response: Response): JobFailure {
  return unavailable(
    new Error(`an upload could not be ${what}: HTTP ${response.status}`),
  );
}

function unavailable(cause: unknown): JobFailure {
  return JobFailure.retryable("storage_unavailable", { cause });
}
