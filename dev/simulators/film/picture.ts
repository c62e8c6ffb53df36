/** Decodes an uploaded photo to the pixels of a video frame. */
import {
  convertIndexedToRgb,
  decode as decodePng,
  hasPngSignature,
} from "fast-png";
import { decode as decodeJpeg } from "jpeg-js";
import {
  isJpeg,
  readJpegHead,
} from "../../../supabase/functions/render-ai-job/keepsake/jpeg.ts";
import type { Planes } from "./still.ts";

/** Longest side of a frame. */
const MAX_SIDE = 720;

/** Upright pixels: RGBA, eight bits each. */
interface Pixels {
  width: number;
  height: number;
  data: Uint8Array;
}

/**
 * Decodes a photo (JPEG or PNG): upright by its Exif orientation, transparent parts on white, reduced so that no side
 * is longer than 720 pixels.
 *
 * @throws the decoder's error when the file is of another type or damaged.
 */
export function readPicture(file: Uint8Array<ArrayBuffer>): Planes {
  const { pixels, orientation } = isJpeg(file)
    ? { pixels: fromJpeg(file), orientation: orientationOf(file) }
    : { pixels: fromPng(file), orientation: 1 };
  return toPlanes(pixels, orientation);
}

function fromJpeg(file: Uint8Array): Pixels {
  return decodeJpeg(file, { useTArray: true, maxResolutionInMP: 100 });
}

function orientationOf(file: Uint8Array): number {
  try {
    return readJpegHead(file)?.orientation ?? 1;
  } catch {
    return 1; // a kind that cannot be printed, but can be shown
  }
}

function fromPng(file: Uint8Array<ArrayBuffer>): Pixels {
  if (!hasPngSignature(file)) {
    throw new Error("the file is neither a JPEG nor a PNG");
  }
  const png = decodePng(file);
  const { width, height } = png;
  const isIndexed = png.palette !== undefined;
  const samples = isIndexed ? convertIndexedToRgb(png) : png.data;
  const channels = isIndexed ? png.palette?.[0]?.length ?? 3 : png.channels;
  const shift = !isIndexed && png.depth === 16 ? 8 : 0;
  const scale = !isIndexed && png.depth < 8 ? 255 / ((1 << png.depth) - 1) : 1;
  const sample = (at: number) => ((samples[at] ?? 0) >> shift) * scale;
  const hasAlpha = channels === 2 || channels === 4;
  const isGrey = channels < 3;
  const data = new Uint8Array(width * height * 4);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const from = pixel * channels;
    data[pixel * 4] = sample(from);
    data[pixel * 4 + 1] = sample(isGrey ? from : from + 1);
    data[pixel * 4 + 2] = sample(isGrey ? from : from + 2);
    data[pixel * 4 + 3] = hasAlpha ? sample(from + channels - 1) : 255;
  }
  return { width, height, data };
}

/** For each Exif orientation: whether rows become columns, and which axes of the photo are reversed. */
const TURNS: Readonly<
  Record<number, readonly [swap: boolean, x: boolean, y: boolean]>
> = {
  2: [false, true, false],
  3: [false, true, true],
  4: [false, false, true],
  5: [true, false, false],
  6: [true, false, true],
  7: [true, true, true],
  8: [true, true, false],
};

function toPlanes(photo: Pixels, orientation: number): Planes {
  const [swap, backX, backY] = TURNS[orientation] ?? [false, false, false];
  const seenWidth = swap ? photo.height : photo.width;
  const seenHeight = swap ? photo.width : photo.height;
  const scale = Math.min(1, MAX_SIDE / Math.max(seenWidth, seenHeight));
  const even = (side: number) => Math.max(2, Math.round(side * scale / 2) * 2);
  const width = even(seenWidth), height = even(seenHeight);
  const codedWidth = Math.ceil(width / 16) * 16;
  const codedHeight = Math.ceil(height / 16) * 16;
  const chromaWidth = codedWidth / 2;
  const luma = new Uint8Array(codedWidth * codedHeight);
  const blue = new Uint8Array(codedWidth * codedHeight / 4);
  const red = new Uint8Array(codedWidth * codedHeight / 4);
  const blueSums = new Float32Array(blue.length);
  const redSums = new Float32Array(red.length);
  for (let y = 0; y < codedHeight; y++) {
    for (let x = 0; x < codedWidth; x++) {
      // The last pixel repeats beyond the edge, as in encoders.
      const seenX = Math.min(x, width - 1), seenY = Math.min(y, height - 1);
      const across = (swap ? seenY : seenX) / (swap ? height : width);
      const down = (swap ? seenX : seenY) / (swap ? width : height);
      const acrossSize = 1 / (swap ? height : width);
      const downSize = 1 / (swap ? width : height);
      const [r, g, b] = meanOf(
        photo,
        backX ? 1 - across - acrossSize : across,
        backY ? 1 - down - downSize : down,
        acrossSize,
        downSize,
      );
      luma[y * codedWidth + x] = 16 +
        219 / 255 * (0.2126 * r + 0.7152 * g + 0.0722 * b) + 0.5;
      const at = (y >> 1) * chromaWidth + (x >> 1);
      const quarter = 224 / 255 / 4;
      blueSums[at] = (blueSums[at] ?? 0) +
        quarter * (-0.114572 * r - 0.385428 * g + 0.5 * b);
      redSums[at] = (redSums[at] ?? 0) +
        quarter * (0.5 * r - 0.454153 * g - 0.045847 * b);
    }
  }
  for (const [at, sum] of blueSums.entries()) blue[at] = 128.5 + sum;
  for (const [at, sum] of redSums.entries()) red[at] = 128.5 + sum;
  return { width, height, codedWidth, codedHeight, luma, blue, red };
}

/** The mean colour of a part of the photo, on white. The part is given in fractions of the photo's sides. */
function meanOf(
  { width, height, data }: Pixels,
  left: number,
  top: number,
  across: number,
  down: number,
): readonly [red: number, green: number, blue: number] {
  const fromX = Math.min(width - 1, Math.floor(left * width + 1e-6));
  const fromY = Math.min(height - 1, Math.floor(top * height + 1e-6));
  const toX = Math.max(
    fromX + 1,
    Math.min(width, Math.floor((left + across) * width + 1e-6)),
  );
  const toY = Math.max(
    fromY + 1,
    Math.min(height, Math.floor((top + down) * height + 1e-6)),
  );
  let r = 0, g = 0, b = 0;
  for (let y = fromY; y < toY; y++) {
    for (let x = fromX; x < toX; x++) {
      const at = (y * width + x) * 4;
      const alpha = data[at + 3] ?? 255;
      const white = 255 - alpha;
      r += (data[at] ?? 0) * alpha / 255 + white;
      g += (data[at + 1] ?? 0) * alpha / 255 + white;
      b += (data[at + 2] ?? 0) * alpha / 255 + white;
    }
  }
  const count = (toX - fromX) * (toY - fromY);
  return [r / count, g / count, b / count];
}
