/** Streams a job's result into our own Storage. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { type ObjectPath, parseObjectPath } from "../contracts/object-path.ts";
import type { Database } from "../database.types.ts";
import { JobFailure } from "../failures/job-failure.ts";
import { ProviderFailure } from "../failures/provider-failure.ts";
import { type CheckedType, createFileCheck } from "../media/file-check.ts";
import { storageStatus } from "./storage-status.ts";

/** The default bucket of results. */
export const OUTPUTS = "outputs";

/** Where a file of a job is stored, or will be. */
export interface OutputPlace {
  userId: string;
  jobId: string;
  fileName: string;
  signal: AbortSignal;
  /** @default "outputs" */
  bucket?: string;
}

/** A file that a job produces. */
export interface Output extends OutputPlace {
  /** `application/octet-stream` is for parts of a file, and is not checked. */
  contentType: CheckedType | "application/octet-stream";
  body: ReadableStream<Uint8Array> | Uint8Array;
  /** More than this is refused. */
  maxBytes: number;
}

/**
 * Stores a file at `<bucket>/<user id>/<job id>/<file name>` and returns that path and its size.
 *
 * Guarantees: the body is streamed, with one chunk in memory at a time; writing again replaces the file, so that a
 * repeated attempt leaves one; a file that is empty, too large, incomplete, or not of its content type is never stored,
 * because the transfer is aborted before its end.
 *
 * @throws {JobFailure} `output_invalid` (retryable: the file can be downloaded from the provider again) with the fault
 *   as its cause, `output_too_large` (final), `storage_unavailable` (retryable) when Storage does not accept it.
 * @throws the reason of `signal`, and any JobFailure or ProviderFailure that `body` throws; another error of `body` is
 *   `output_invalid`, since the file is incomplete.
 */
export async function storeOutput(
  supabase: SupabaseClient<Database>,
  output: Output,
): Promise<{ outputUrl: string; bytes: number }> {
  const object = objectOf(output);
  output.signal.throwIfAborted();
  const passage = checkedPassage(output);
  const { error } = await supabase.storage.from(object.bucket).upload(
    object.path,
    passage.body,
    { contentType: output.contentType, upsert: true, duplex: "half" },
  );
  output.signal.throwIfAborted();
  // A fault of the file also breaks the transfer, and explains more than Storage's error.
  if (passage.state.failure !== null) throw passage.state.failure;
  if (error) {
    throw JobFailure.retryable("storage_unavailable", {
      cause: error,
    });
  }
  return { outputUrl: outputUrlOf(output), bytes: passage.state.bytes };
}

/** The `output_url` of a file: `<bucket>/<user id>/<job id>/<file name>`. */
export function outputUrlOf(place: OutputPlace): string {
  const { bucket, path } = objectOf(place);
  return `${bucket}/${path}`;
}

/** Whether an earlier attempt has stored the file. @throws {JobFailure} `storage_unavailable` (retryable). */
export async function hasOutput(
  supabase: SupabaseClient<Database>,
  place: OutputPlace,
): Promise<boolean> {
  const { bucket, path } = objectOf(place);
  const { error } = await supabase.storage.from(bucket).info(path);
  if (error === null) return true;
  if (storageStatus(error) === 404) return false;
  throw JobFailure.retryable("storage_unavailable", {
    cause: error,
  });
}

/**
 * Opens a stored file as a stream, which must be read or cancelled.
 *
 * @throws {JobFailure} `storage_unavailable` (retryable) when Storage does not send it, also when it does not exist:
 *   another attempt creates it again.
 */
export async function openOutput(
  supabase: SupabaseClient<Database>,
  place: OutputPlace,
): Promise<ReadableStream<Uint8Array>> {
  const { bucket, path } = objectOf(place);
  const { data, error } = await supabase.storage.from(bucket)
    .download(path, {}, { signal: place.signal }).asStream();
  if (!error) return data;
  throw JobFailure.retryable("storage_unavailable", {
    cause: error,
  });
}

/** Removes files of a job that are no longer needed. Best effort: the rest is removed with the owner's folder. */
export async function removeOutputs(
  supabase: SupabaseClient<Database>,
  userId: string,
  jobId: string,
  fileNames: readonly string[],
): Promise<void> {
  await supabase.storage.from(OUTPUTS).remove(
    fileNames.map((fileName) => `${userId}/${jobId}/${fileName}`),
  );
}

function objectOf(place: OutputPlace): ObjectPath {
  const { bucket = OUTPUTS, userId, jobId, fileName } = place;
  const object = parseObjectPath(`${bucket}/${userId}/${jobId}/${fileName}`);
  if (object === null) throw new TypeError(`not a file name: ${fileName}`);
  return object;
}

/** Passes the bytes through, and aborts when they are not a file of that type. */
function checkedPassage(
  output: Output,
): {
  body: ReadableStream<Uint8Array>;
  state: { bytes: number; failure: Error | null };
} {
  const state: { bytes: number; failure: Error | null } = {
    bytes: 0,
    failure: null,
  };
  const check = output.contentType === "application/octet-stream"
    ? { add: () => null, end: () => null }
    : createFileCheck(output.contentType);
  const source =
    (output.body instanceof Uint8Array ? oneChunk(output.body) : output.body)
      .getReader();
  const stop = (controller: ReadableStreamDefaultController, why: Error) => {
    state.failure ??= why;
    controller.error(why);
  };
  const cancelSource = (reason: unknown) =>
    // Stops the source; it does not matter here if its cancellation fails.
    source.cancel(reason).catch(() => {});

  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      output.signal.addEventListener("abort", () => {
        controller.error(output.signal.reason);
        cancelSource(output.signal.reason);
      }, { once: true });
    },
    async pull(controller) {
      let next: ReadableStreamReadResult<Uint8Array>;
      try {
        next = await source.read();
      } catch (error) {
        return stop(controller, sourceFailure(error));
      }
      if (output.signal.aborted) return;
      const failure = next.done
        ? endFailure(check.end(), state.bytes)
        : chunkFailure(
          check.add(next.value),
          state.bytes += next.value.byteLength,
          output.maxBytes,
        );
      if (failure !== null) {
        cancelSource(failure);
        return stop(controller, failure);
      }
      if (next.done) controller.close();
      else controller.enqueue(next.value);
    },
    async cancel(reason) {
      await cancelSource(reason);
    },
  }, { highWaterMark: 0 });
  return { body, state };
}

function oneChunk(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      if (bytes.byteLength > 0) controller.enqueue(bytes);
      controller.close();
    },
  });
}

function invalid(why: string, cause?: unknown): JobFailure {
  return JobFailure.retryable("output_invalid", {
    cause: new Error(`the file ${why}`, { cause }),
  });
}

function sourceFailure(error: unknown): Error {
  return error instanceof JobFailure || error instanceof ProviderFailure
    ? error
    : invalid("ends before it is complete", error);
}

function chunkFailure(
  problem: string | null,
  bytes: number,
  maxBytes: number,
): Error | null {
  if (bytes > maxBytes) {
    return JobFailure.final("output_too_large");
  }
  return problem === null ? null : invalid(problem);
}

function endFailure(problem: string | null, bytes: number): Error | null {
  if (bytes === 0) return invalid("is empty");
  return problem === null ? null : invalid(problem);
}
