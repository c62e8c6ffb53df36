/** Reading our own Storage from a job. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { parseObjectPath } from "../contracts/object-path.ts";
import type { Database } from "../database.types.ts";
import { JobFailure } from "../jobs/outcome.ts";
import type { Bytes } from "../platform/bytes.ts";
import { storageStatus } from "./storage-status.ts";

/** Seconds after which a transfer from or to Storage is given up. */
export const STORAGE_TIMEOUT_SECONDS = 60;

/**
 * Opens the object that a job's `input_url` names, to be read as it comes. The body must be read or cancelled.
 *
 * @param supabase the service's client.
 * @throws {JobFailure} `input_not_found` (final) when it is gone, `storage_unavailable` (retryable) when Storage does
 *   not answer properly.
 */
export async function openInput(
  supabase: SupabaseClient<Database>,
  inputUrl: string,
  options: { signal: AbortSignal },
): Promise<ReadableStream<Uint8Array>> {
  const object = objectOf(inputUrl);
  const { data: stream, error } = await supabase.storage.from(object.bucket)
    .download(object.path, {}, { signal: options.signal })
    .asStream();
  if (!error) return stream;
  throw toFailure(error);
}

/**
 * An address by which a provider fetches the object itself, for `expiresIn` seconds.
 *
 * @param baseUrl the project as the provider reaches it.
 * @throws {JobFailure} as {@link openInput} does.
 */
export async function signInput(
  supabase: SupabaseClient<Database>,
  inputUrl: string,
  options: { baseUrl: string; expiresIn: number },
): Promise<string> {
  const object = objectOf(inputUrl);
  const { data, error } = await supabase.storage.from(object.bucket)
    .createSignedUrl(object.path, options.expiresIn);
  if (error) throw toFailure(error);
  const { pathname, search } = new URL(data.signedUrl);
  return new URL(pathname + search, options.baseUrl).href;
}

function objectOf(inputUrl: string): { bucket: string; path: string } {
  const object = parseObjectPath(inputUrl);
  if (object !== null) return object;
  throw new JobFailure("input_url_invalid", { isRetryable: false });
}

function toFailure(error: Error): JobFailure {
  const isGone = storageStatus(error) === 404;
  return new JobFailure(isGone ? "input_not_found" : "storage_unavailable", {
    isRetryable: !isGone,
    cause: error,
  });
}

/**
 * How many bytes the object has that a job's `input_url` names.
 *
 * @param supabase the service's client.
 * @throws {JobFailure} as {@link openInput}.
 */
export async function sizeOfInput(
  supabase: SupabaseClient<Database>,
  inputUrl: string,
): Promise<number> {
  const object = objectOf(inputUrl);
  const { data, error } = await supabase.storage.from(object.bucket)
    .info(object.path);
  if (error) throw toFailure(error);
  if (data.size !== undefined) return data.size;
  throw toFailure(new Error("Storage does not tell the size"));
}

/**
 * Downloads the object that a job's `input_url` names.
 *
 * @param supabase the service's client.
 * @param maxBytes the transfer is given up when more come.
 * @throws {JobFailure} `input_not_found` (final) when it is gone, `input_size_not_allowed` (final) when it is empty or
 *   too large, `storage_unavailable` (retryable) when Storage does not answer properly.
 */
export async function downloadInput(
  supabase: SupabaseClient<Database>,
  inputUrl: string,
  options: { maxBytes: number; signal: AbortSignal },
): Promise<Blob> {
  const signal = AbortSignal.any([
    options.signal,
    AbortSignal.timeout(STORAGE_TIMEOUT_SECONDS * 1000),
  ]);
  const stream = await openInput(supabase, inputUrl, { signal });
  const chunks: Bytes[] = [];
  let size = 0;
  try {
    for await (const chunk of stream) {
      size += chunk.byteLength;
      if (size > options.maxBytes) break;
      chunks.push(new Uint8Array(chunk));
    }
  } catch (cause) {
    throw new JobFailure("storage_unavailable", { isRetryable: true, cause });
  }
  if (size === 0 || size > options.maxBytes) {
    throw new JobFailure("input_size_not_allowed", { isRetryable: false });
  }
  return new Blob(chunks);
}
