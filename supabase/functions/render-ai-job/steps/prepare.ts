/** The second step: photos that PDF cannot embed unchanged are converted and stored. */
import { JobFailure } from "../../_shared/failures/job-failure.ts";
import { openInput } from "../../_shared/storage/object-store.ts";
import { OUTPUTS, storeOutput } from "../../_shared/storage/outputs.ts";
import { COSTS } from "../budget.ts";
import { notPrintable, photoFailure } from "../failures.ts";
import { encodePalette } from "../keepsake/book-file.ts";
import {
  PNG_HEAD_BYTES,
  PngError,
  type PngHead,
  readPngHead,
} from "../keepsake/png-head.ts";
import type { PngImage } from "../keepsake/png.ts";
import type { Plan, PlannedPhoto } from "../plan.ts";
import { pause, type RenderDeps, type Rendering } from "../rendering.ts";

const MEBIBYTE = 1_048_576;
/** The stored form is no larger than the decompressed pixels or the file. */
const MAX_STORED_BYTES = 104_857_600;

/**
 * Prepares the PNGs, one after the other.
 *
 * @throws {JobFailure} `photo_not_printable` and `photo_not_found` (final), naming the slide.
 * @throws {Snooze} when photos are left for the next request.
 */
export async function preparePhotos(
  deps: Pick<RenderDeps, "supabase">,
  rendering: Rendering,
): Promise<void> {
  const { context, plan, budget, save } = rendering;
  const pngs = plan.photos.flatMap((photo) =>
    photo.png === null ? [] : [{ photo, png: photo.png }]
  );
  for (const [index, { photo, png }] of pngs.entries()) {
    if (photo.image !== null) continue;
    const cost = 2 * COSTS.read +
      COSTS.passedMebibyte * photo.size / MEBIBYTE +
      COSTS.unpackedMebibyte * png.unpackedBytes / MEBIBYTE;
    if (!budget.take(cost)) throw pause("preparing_photos");
    context.progress(
      20 + Math.round(15 * index / pngs.length),
      "preparing_photos",
    );
    await prepare(deps, rendering, photo);
    // A picture may have used most of the request: save it, so that it is not prepared again.
    await save();
  }
}

/** The files with prepared photos, in the job's folder. */
export function preparedFiles({ photos }: Plan): string[] {
  return photos.flatMap((photo, index) =>
    photo.png === null
      ? []
      : [nameOf(index), ...(hasAlpha(photo) ? [alphaNameOf(index)] : [])]
  );
}

const nameOf = (index: number) => `photo-${index + 1}.bin`;
const alphaNameOf = (index: number) => `photo-${index + 1}-alpha.bin`;
const hasAlpha = ({ image }: PlannedPhoto) =>
  image?.kind === "png" && image.alpha !== null;

async function prepare(
  { supabase }: Pick<RenderDeps, "supabase">,
  { context: { job, signal }, plan }: Rendering,
  photo: PlannedPhoto,
): Promise<void> {
  const { preparePng } = await import("../keepsake/png.ts");
  const index = plan.photos.indexOf(photo);
  const store = (fileName: string, body: ReadableStream<Uint8Array>) =>
    storeOutput(supabase, {
      bucket: OUTPUTS,
      userId: job.user_id,
      jobId: job.id,
      fileName,
      contentType: "application/octet-stream",
      body,
      maxBytes: MAX_STORED_BYTES,
      signal,
    });
  const found: { head?: PngHead; image?: PngImage; failure?: unknown } = {};
  async function* file(): AsyncGenerator<Uint8Array> {
    let head = new Uint8Array(0);
    for await (
      const bytes of await openInput(supabase, photo.object, { signal })
    ) {
      if (found.head === undefined) {
        const more = new Uint8Array(head.length + bytes.length);
        more.set(head);
        more.set(bytes, head.length);
        head = more;
        if (head.length >= PNG_HEAD_BYTES) found.head = readPngHead(head);
      }
      yield bytes;
    }
  }
  async function* pixels(): AsyncGenerator<Uint8Array> {
    try {
      found.image = yield* preparePng(file());
    } catch (error) {
      found.failure = error;
      throw error;
    }
  }
  let color: { outputUrl: string; bytes: number };
  try {
    color = await store(nameOf(index), ReadableStream.from(pixels()));
  } catch (error) {
    // A fault of the file explains more than the broken transfer that it caused.
    const cause = found.failure ?? error;
    if (cause instanceof PngError) {
      throw notPrintable(photo.slide, cause.message, cause);
    }
    signal.throwIfAborted();
    throw cause instanceof JobFailure
      ? photoFailure(photo.slide, cause)
      : JobFailure.retryable("storage_unavailable", { cause });
  }
  const { head, image } = found;
  if (!head || !image) throw new TypeError("a PNG was stored before its end");
  const alpha = image.alpha === null
    ? null
    : await store(alphaNameOf(index), ReadableStream.from([image.alpha]));
  photo.image = {
    kind: "png",
    object: color.outputUrl,
    size: color.bytes,
    width: head.width,
    height: head.height,
    bits: image.bits,
    colors: head.colors,
    palette: encodePalette(image.palette),
    mask: image.mask,
    profile: image.profile && { object: photo.object, ...image.profile },
    alpha: alpha && { object: alpha.outputUrl, size: alpha.bytes },
  };
}
