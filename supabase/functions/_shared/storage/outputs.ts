/** Writing what a job made into our own Storage, as a stream. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { type ObjectPath, parseObjectPath } from "../contracts/object-path.ts";
import type { Database } from "../database.types.ts";
import { JobFailure } from "../failures/job-failure.ts";
import { ProviderFailure } from "../failures/provider-failure.ts";
import { type CheckedType, createFileCheck } from "../media/file-check.ts";
import { storageStatus } from "./storage-status.ts";

/** The bucket of what jobs make, where no other is named. */
export const OUTPUTS = "outputs";

/** Where a file of a job lies, or shall lie. */
export interface OutputPlace {
  userId: string;
  jobId: string;
  fileName: string;
  signal: AbortSignal;
  /** @default "outputs" */
  bucket?: string;
}

/** A file that a job made. */
export interface Output extends OutputPlace {
  /** `application/octet-stream` is for parts that are nothing by themselves, and is not checked. */
  contentType: CheckedType | "application/octet-stream";
  body: ReadableStream<Uint8Array> | Uint8Array;
  /** More than this is refused. */
  maxBytes: number;
}

/**
 * Stores a file at `<bucket>/<user id>/<job id>/<file name>` and answers with that path and its size.
 *
 * Guarantees: the body is passed on as it comes, no more than a chunk of it is held; writing again replaces the file,
 * so that a repeated attempt leaves one; a file that is empty, too large, cut, or not what its content type says is
 * never stored, because the transfer breaks off before its end.
 *
 * @throws {JobFailure} `output_invalid` (retryable: the provider can be asked for the file again) with what is wrong
 *   as its cause, `output_too_large` (final), `storage_unavailable` (retryable) when Storage does not take it.
 * @throws whatever `signal` was aborted with, and any JobFailure or ProviderFailure that `body` throws; another error of
 *   `body` is `output_invalid`, since a source that breaks off is a file that is cut.
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
  // What went wrong with the file itself also breaks the transfer, and says more than Storage can.
  if (passage.state.failure !== null) throw passage.state.failure;
  if (error) {
    throw JobFailure.retryable("storage_unavailable", {
      cause: error,
    });
  }
  return {
    outputUrl: `${object.bucket}/${object.path}`,
    bytes: passage.state.bytes,
  };
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
 * Opens a stored file, to be read as it comes. The body must be read or cancelled.
 *
 * @throws {JobFailure} `storage_unavailable` (retryable) when Storage does not give it, also when it is gone: another
 *   attempt makes it again.
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

/** Removes files of a job that are of no more use. Best effort: what stays goes with the owner's folder. */
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

/** The same bytes, breaking off when they turn out to be no file of that type. */
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
    // Whoever made the source is told that nobody reads on; how it takes that changes nothing here.
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
    : invalid("breaks off while it is read", error);
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
