/** Reads objects of our own Storage for a job. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { parseObjectPath } from "../contracts/object-path.ts";
import type { Database } from "../database.types.ts";
import { JobFailure } from "../failures/job-failure.ts";
import type { RecordingSource } from "../media/lengths/range-reader.ts";
import { blobOf, boundedChunks, bytesOf } from "../platform/bounded-body.ts";
import { storageStatus } from "./storage-status.ts";

/** What an error message calls an object, since a job may have several. */
export type InputName = "photo" | "recording";

/** Seconds after which a transfer from or to Storage is aborted. */
export const STORAGE_TIMEOUT_SECONDS = 60;

/** Bytes of an object; `to` is exclusive. */
export interface ByteRange {
  from: number;
  to: number;
}

/**
 * Opens the object that a job's `input_url` names, as a stream, which must be read or cancelled.
 *
 * @param supabase the service's client.
 * @param options.range the part to read; everything when left out. Storage sends the bytes of it that exist.
 * @throws {JobFailure} `input_not_found` (final) when it does not exist, `storage_unavailable` (retryable) when
 *   Storage does not respond properly.
 */
export async function openInput(
  supabase: SupabaseClient<Database>,
  inputUrl: string,
  options: { signal: AbortSignal; name?: InputName; range?: ByteRange },
): Promise<ReadableStream<Uint8Array>> {
  const object = objectOf(inputUrl);
  const { range } = options;
  const bucket = supabase.storage.from(object.bucket);
  if (range !== undefined) {
    bucket.setHeader("range", `bytes=${range.from}-${range.to - 1}`);
  }
  const { data: stream, error } = await bucket
    .download(object.path, {}, { signal: options.signal })
    .asStream();
  if (!error) return stream;
  throw toFailure(error, options.name);
}

/**
 * A URL from which a provider can fetch the object for `expiresIn` seconds.
 *
 * @param baseUrl the project as the provider reaches it.
 * @throws {JobFailure} as {@link openInput} does.
 */
export async function signInput(
  supabase: SupabaseClient<Database>,
  inputUrl: string,
  options: { baseUrl: string; expiresIn: number; name?: InputName },
): Promise<string> {
  const object = objectOf(inputUrl);
  const { data, error } = await supabase.storage.from(object.bucket)
    .createSignedUrl(object.path, options.expiresIn);
  if (error) throw toFailure(error, options.name);
  const { pathname, search } = new URL(data.signedUrl);
  return new URL(pathname + search, options.baseUrl).href;
}

function objectOf(inputUrl: string): { bucket: string; path: string } {
  const object = parseObjectPath(inputUrl);
  if (object !== null) return object;
  throw JobFailure.final("input_url_invalid");
}

function toFailure(error: Error, name?: InputName): JobFailure {
  const isGone = storageStatus(error) === 404;
  return new JobFailure(isGone ? "input_not_found" : "storage_unavailable", {
    isRetryable: !isGone,
    cause: error,
    ...(isGone && name !== undefined
      ? { details: `The ${name} no longer exists.` }
      : {}),
  });
}

/**
 * Reads a part of the object that a job's `input_url` names.
 *
 * @returns the bytes of the range that exist; the range must not be empty.
 * @throws {JobFailure} as {@link openInput}, also when Storage sends more than the range.
 */
export async function readInputRange(
  supabase: SupabaseClient<Database>,
  inputUrl: string,
  range: ByteRange,
  signal: AbortSignal,
  name?: InputName,
): Promise<Uint8Array> {
  const length = range.to - range.from;
  const stream = await openInput(supabase, inputUrl, {
    signal,
    range,
    ...(name === undefined ? {} : { name }),
  });
  const tooLong = () => new Error("Storage sent more than the range");
  try {
    return await bytesOf(boundedChunks(stream, length, tooLong), length);
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw JobFailure.retryable("storage_unavailable", { cause });
  }
}

/**
 * The size in bytes of the object that a job's `input_url` names.
 *
 * @param supabase the service's client.
 * @throws {JobFailure} as {@link openInput}.
 */
export async function sizeOfInput(
  supabase: SupabaseClient<Database>,
  inputUrl: string,
  name?: InputName,
): Promise<number> {
  const object = objectOf(inputUrl);
  const { data, error } = await supabase.storage.from(object.bucket)
    .info(object.path);
  if (error) throw toFailure(error, name);
  if (data.size !== undefined) return data.size;
  throw toFailure(new Error("Storage does not report the size"), name);
}

/**
 * The object that a job's `input_url` names, to be read in pieces, each with a Range request.
 *
 * @param supabase the service's client, or that of its owner.
 * @param size the result of {@link sizeOfInput}.
 * @returns a source whose `read` throws {@link JobFailure} as {@link openInput}, and `storage_unavailable` (retryable)
 *   when Storage does not return the range.
 */
export function inputInPieces(
  supabase: SupabaseClient<Database>,
  inputUrl: string,
  size: number,
  options: { signal: AbortSignal; name?: InputName },
): RecordingSource {
  return {
    size,
    read: (from, to) =>
      readInputRange(
        supabase,
        inputUrl,
        { from, to },
        options.signal,
        options.name,
      ),
  };
}

/**
 * Downloads the object that a job's `input_url` names.
 *
 * @param supabase the service's client.
 * @param options.maxBytes the transfer is aborted when more arrive.
 * @param options.consumer names who accepts no more than that, for the error message.
 * @throws {JobFailure} `input_not_found` (final) when it does not exist, `input_size_not_allowed` (final) when it is
 *   empty or too large, naming its size and the limit; `storage_unavailable` (retryable) when Storage does not respond
 *   properly.
 */
export async function downloadInput(
  supabase: SupabaseClient<Database>,
  inputUrl: string,
  options: {
    name: InputName;
    consumer: string;
    maxBytes: number;
    signal: AbortSignal;
  },
): Promise<Blob> {
  const { name, consumer, maxBytes } = options;
  const signal = AbortSignal.any([
    options.signal,
    AbortSignal.timeout(STORAGE_TIMEOUT_SECONDS * 1000),
  ]);
  const stream = await openInput(supabase, inputUrl, { signal, name });
  const tooLarge = new Error(`the object has more than ${maxBytes} bytes`);
  let blob: Blob | null = null;
  try {
    blob = await blobOf(boundedChunks(stream, maxBytes, () => tooLarge));
  } catch (cause) {
    if (cause !== tooLarge) {
      throw JobFailure.retryable("storage_unavailable", { cause });
    }
  }
  if (blob !== null && blob.size > 0) return blob;
  const bytes = blob !== null
    ? "is empty"
    // The transfer was aborted before its end.
    : await sizeOfInput(supabase, inputUrl).then(
      (whole) => `has ${whole} bytes`,
      () => `has more than ${maxBytes} bytes`,
    );
  throw JobFailure.final("input_size_not_allowed", {
    details: `The ${name} ${bytes}; ${consumer} accepts 1 to ${maxBytes}.`,
  });
}
