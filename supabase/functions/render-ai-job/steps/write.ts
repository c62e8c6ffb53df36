/** The last step: the file, into an upload that goes on where the request before has left it. */
import { JobFailure } from "../../_shared/failures/job-failure.ts";
import {
  openInput,
  sizeOfInput,
  STORAGE_TIMEOUT_SECONDS,
} from "../../_shared/storage/object-store.ts";
import { UPLOAD_PART_BYTES } from "../../_shared/storage/resumable-uploads.ts";
import { COSTS } from "../budget.ts";
import { final, photoFailure } from "../failures.ts";
import { readBook } from "../keepsake/book-file.ts";
import type { Plan } from "../plan.ts";
import { pause, type RenderDeps, type Rendering } from "../rendering.ts";

const BUCKET = "pdfs";
const FILE_NAME = "keepsake.pdf";
/** A part is not begun with less time than this; the next isolate goes on. */
const PART_MS = 15_000;
const PART_COST = COSTS.read * 4 +
  COSTS.passedMebibyte * UPLOAD_PART_BYTES / 1_048_576;

/**
 * Writes the book and answers where it is.
 *
 * Guarantees: what is there stays there, whatever ends a request; the file appears when it is whole.
 *
 * @throws {Snooze} when there is more to write than fits into this request. {JobFailure} `photo_not_found` (final) when a
 *   photo is gone, `output_too_large` (final) when the project takes no file of that size.
 */
export async function writeBook(
  { supabase, uploads }: Pick<RenderDeps, "supabase" | "uploads">,
  rendering: Rendering,
  book: NonNullable<Plan["book"]>,
): Promise<string> {
  const { context: { job, signal, ...context }, budget } = rendering;
  const path = `${job.user_id}/${job.id}/${FILE_NAME}`;
  const outputUrl = `${BUCKET}/${path}`;
  let offset = rendering.uploadId === null
    ? null
    : await uploads.offset(rendering.uploadId, signal);
  // Storage forgets an upload after a day, or when it is finished.
  if (offset === null && !(rendering.uploadId !== null && await isThere())) {
    rendering.uploadId = await uploads.begin({
      bucket: BUCKET,
      path,
      size: book.size,
      contentType: "application/pdf",
    }, signal);
    offset = 0;
    await rendering.save();
  }
  for (let at = offset ?? book.size; at < book.size;) {
    if (!budget.take(PART_COST) || context.remainingMs() < PART_MS) {
      throw pause("writing");
    }
    context.progress(40 + Math.floor(59 * at / book.size), "writing");
    at = await append(at);
  }
  if (await isThere()) return outputUrl;
  rendering.uploadId = null;
  await rendering.save();
  throw JobFailure.retryable("storage_unavailable", {
    cause: new Error("an upload that is whole has made no file"),
  });

  async function isThere(): Promise<boolean> {
    try {
      return await sizeOfInput(supabase, outputUrl) === book.size;
    } catch (error) {
      if (error instanceof JobFailure && error.code === "input_not_found") {
        return false;
      }
      throw error;
    }
  }

  async function append(at: number): Promise<number> {
    let failure: unknown;
    async function* bytes(): AsyncGenerator<Uint8Array> {
      try {
        const to = Math.min(at + UPLOAD_PART_BYTES, book.size);
        yield* readBook(book.segments, at, to, open);
      } catch (error) {
        failure = error;
        throw error;
      }
    }
    try {
      return await uploads.append(
        rendering.uploadId ?? "",
        at,
        ReadableStream.from(bytes()),
        AbortSignal.any([
          signal,
          AbortSignal.timeout(STORAGE_TIMEOUT_SECONDS * 1000),
        ]),
      );
    } catch (error) {
      signal.throwIfAborted();
      // Why the body broke off says more than that it did.
      throw failure ?? error;
    }
  }

  async function open(
    { object, ...range }: { object: string; from: number; to: number },
  ): Promise<AsyncIterable<Uint8Array>> {
    try {
      return await openInput(supabase, object, { signal, range });
    } catch (error) {
      const photo = rendering.plan.photos.find((photo) =>
        photo.object === object
      );
      throw photo === undefined
        ? unlessLost(error)
        : photoFailure(photo.slide, error);
    }
  }
}

/** What this job itself has stored does not get lost; if it does, it is made again. */
function unlessLost(error: unknown): unknown {
  return error instanceof JobFailure && error.code === "input_not_found"
    ? final("output_invalid", undefined, error)
    : error;
}
