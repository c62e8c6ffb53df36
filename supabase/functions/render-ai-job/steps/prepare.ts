/** The second step: photos that PDF does not take as they are become objects of Storage that it does. */
import { JobFailure } from "../../_shared/failures/job-failure.ts";
import { openInput } from "../../_shared/storage/object-store.ts";
import { OUTPUTS, storeOutput } from "../../_shared/storage/outputs.ts";
import { COSTS } from "../budget.ts";
import { final, photoFailure } from "../failures.ts";
import { encodePalette } from "../keepsake/book-file.ts";
import type { PngHead, PngImage } from "../keepsake/png.ts";
import type { Plan, PlannedPhoto } from "../plan.ts";
import { pause, type RenderDeps, type Rendering } from "../rendering.ts";

const MEBIBYTE = 1_048_576;
/** What is stored is no larger than the pixels, unpacked or as they came. */
const MAX_STORED_BYTES = 104_857_600;

/**
 * Prepares each PNG, one after the other.
 *
 * @throws {JobFailure} `photo_not_printable` and `photo_not_found` (final), naming the slide. {Snooze} when some are left.
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
    // A picture may have taken most of what a request has: what is done need not be done again.
    await save();
  }
}

/** The files in the job's folder that hold prepared photos. */
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
  const { PNG_HEAD_BYTES, PngError, preparePng, readPngHead } = await import(
    "../keepsake/png.ts"
  );
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
    // The fault of the file says more than that its transfer broke off.
    const cause = found.failure ?? error;
    if (cause instanceof PngError) {
      throw final(
        "photo_not_printable",
        `slide ${photo.slide}: the photo ${cause.message}`,
        cause,
      );
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
    alpha: alpha && { object: alpha.outputUrl, size: alpha.bytes },
  };
}
