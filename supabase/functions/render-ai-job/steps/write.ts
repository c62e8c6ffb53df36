/** The last step: writes the file into a resumable upload, which the next request can continue. */
import { JobFailure } from "../../_shared/failures/job-failure.ts";
import {
  openInput,
  sizeOfInput,
  STORAGE_TIMEOUT_SECONDS,
} from "../../_shared/storage/object-store.ts";
import { UPLOAD_PART_BYTES } from "../../_shared/storage/resumable-uploads.ts";
import { COSTS } from "../budget.ts";
import { photoFailure } from "../failures.ts";
import { readBook } from "../keepsake/book-file.ts";
import type { Plan } from "../plan.ts";
import { pause, type RenderDeps, type Rendering } from "../rendering.ts";

const BUCKET = "pdfs";
const FILE_NAME = "keepsake.pdf";
/** With less time than this, a part is left to the next isolate. */
const PART_MS = 15_000;
const PART_COST = COSTS.read * 4 +
  COSTS.passedMebibyte * UPLOAD_PART_BYTES / 1_048_576;

/**
 * Writes the book.
 *
 * Guarantees: uploaded parts are kept however a request ends; the file appears only when it is complete.
 *
 * @returns `<bucket>/<path>` of the file.
 * @throws {Snooze} when more is left than fits into this request.
 * @throws {JobFailure} `photo_not_found` (final) when a photo was deleted; `output_too_large` (final) when the file exceeds
 *   the project's limit.
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
  // Storage forgets an upload when it is complete, or after a day.
  if (offset === null && !(rendering.uploadId !== null && await exists())) {
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
  if (await exists()) return outputUrl;
  rendering.uploadId = null;
  await rendering.save();
  throw JobFailure.retryable("storage_unavailable", {
    cause: new Error("a complete upload has produced no file"),
  });

  async function exists(): Promise<boolean> {
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
      // The fault of the body explains more than the broken upload that it caused.
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
        ? ownFileFailure(error)
        : photoFailure(photo.slide, error);
    }
  }
}

/** A missing file of the job itself is a fault: only a retry of the job, from the beginning, makes it again. */
function ownFileFailure(error: unknown): unknown {
  return error instanceof JobFailure && error.code === "input_not_found"
    ? JobFailure.final("output_invalid", { cause: error })
    : error;
}
