/** Reading our own Storage from a job. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { parseObjectPath } from "../contracts/object-path.ts";
import type { Database } from "../database.types.ts";
import { JobFailure } from "../failures/job-failure.ts";
import type { RecordingSource } from "../media/lengths/range-reader.ts";
import type { Bytes } from "../platform/bytes.ts";
import { storageStatus } from "./storage-status.ts";

/** What an error calls an object: its owner may have given a job several. */
export type InputName = "photo" | "recording";

/** Seconds after which a transfer from or to Storage is given up. */
export const STORAGE_TIMEOUT_SECONDS = 60;

/** Bytes of an object; `to` is not among them. */
export interface ByteRange {
  from: number;
  to: number;
}

/**
 * Opens the object that a job's `input_url` names, to be read as it comes. The body must be read or cancelled.
 *
 * @param supabase the service's client.
 * @param options.range the part to be read; all of it when left out. Storage gives what there is of it.
 * @throws {JobFailure} `input_not_found` (final) when it is gone, `storage_unavailable` (retryable) when Storage does
 *   not answer properly.
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
 * An address by which a provider fetches the object itself, for `expiresIn` seconds.
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
      ? { details: `The ${name} is not there any more.` }
      : {}),
  });
}

/**
 * Reads a part of the object that a job's `input_url` names.
 *
 * @returns as many bytes as there are in the range, which may not be empty.
 * @throws {JobFailure} as {@link openInput}, also when Storage gives more than it was asked for.
 */
export async function readInputRange(
  supabase: SupabaseClient<Database>,
  inputUrl: string,
  range: ByteRange,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(range.to - range.from);
  let size = 0;
  try {
    const stream = await openInput(supabase, inputUrl, { signal, range });
    for await (const chunk of stream) {
      if (size + chunk.length > bytes.length) {
        throw new Error("Storage does not keep to a range");
      }
      bytes.set(chunk, size);
      size += chunk.length;
    }
  } catch (cause) {
    if (signal.aborted || cause instanceof JobFailure) throw cause;
    throw JobFailure.retryable("storage_unavailable", { cause });
  }
  return bytes.subarray(0, size);
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
  name?: InputName,
): Promise<number> {
  const object = objectOf(inputUrl);
  const { data, error } = await supabase.storage.from(object.bucket)
    .info(object.path);
  if (error) throw toFailure(error, name);
  if (data.size !== undefined) return data.size;
  throw toFailure(new Error("Storage does not tell the size"), name);
}

/**
 * The object that a job's `input_url` names, to be read in pieces: each is a request with a Range.
 *
 * @param supabase the service's client, or that of its owner.
 * @param size as {@link sizeOfInput} answered it.
 * @returns a source whose `read` throws {@link JobFailure} as {@link openInput}, and `storage_unavailable` (retryable)
 *   when Storage does not answer with the range.
 */
export function inputInPieces(
  supabase: SupabaseClient<Database>,
  inputUrl: string,
  size: number,
  options: { signal: AbortSignal; name?: InputName },
): RecordingSource {
  const object = objectOf(inputUrl);
  return {
    size,
    async read(start, end) {
      const { data: stream, error } = await supabase.storage.from(object.bucket)
        .setHeader("Range", `bytes=${start}-${end - 1}`)
        .download(object.path, {}, { signal: options.signal })
        .asStream();
      if (error) throw toFailure(error, options.name);
      const piece = new Uint8Array(end - start);
      let length = 0;
      try {
        for await (const chunk of stream) {
          if (length + chunk.byteLength > piece.length) {
            throw new Error("Storage answered with more than the range");
          }
          piece.set(chunk, length);
          length += chunk.byteLength;
        }
      } catch (cause) {
        throw toFailure(
          new Error("a range could not be read", { cause }),
          options.name,
        );
      }
      return piece.subarray(0, length);
    },
  };
}

/**
 * Downloads the object that a job's `input_url` names.
 *
 * @param supabase the service's client.
 * @param options.maxBytes the transfer is given up when more come.
 * @param options.taker who takes no more than that, for the error.
 * @throws {JobFailure} `input_not_found` (final) when it is gone, `input_size_not_allowed` (final) when it is empty or
 *   too large, naming its size and the limit; `storage_unavailable` (retryable) when Storage does not answer properly.
 */
export async function downloadInput(
  supabase: SupabaseClient<Database>,
  inputUrl: string,
  options: {
    name: InputName;
    taker: string;
    maxBytes: number;
    signal: AbortSignal;
  },
): Promise<Blob> {
  const { name, taker, maxBytes } = options;
  const signal = AbortSignal.any([
    options.signal,
    AbortSignal.timeout(STORAGE_TIMEOUT_SECONDS * 1000),
  ]);
  const stream = await openInput(supabase, inputUrl, { signal, name });
  const chunks: Bytes[] = [];
  let size = 0;
  try {
    for await (const chunk of stream) {
      size += chunk.byteLength;
      if (size > maxBytes) break;
      chunks.push(new Uint8Array(chunk));
    }
  } catch (cause) {
    throw JobFailure.retryable("storage_unavailable", { cause });
  }
  if (size > 0 && size <= maxBytes) return new Blob(chunks);
  const bytes = size === 0
    ? "is empty"
    // The transfer was given up before its end.
    : await sizeOfInput(supabase, inputUrl).then(
      (whole) => `has ${whole} bytes`,
      () => `has more than ${maxBytes} bytes`,
    );
  throw JobFailure.final("input_size_not_allowed", {
    details: `The ${name} ${bytes}; ${taker} takes 1 to ${maxBytes}.`,
  });
}
