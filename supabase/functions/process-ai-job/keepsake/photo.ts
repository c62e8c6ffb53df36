/** A photo as an object of the PDF, written as soon as it is read. */
import type PDFDocument from "pdfkit";
import type { PdfImage } from "pdfkit";
import { isJpeg, JpegError, readJpeg } from "./jpeg.ts";
import { isPng, PngError, readPng } from "./png.ts";

/** A file that cannot be printed; the message goes on after "the photo ". */
export class PhotoError extends Error {
  override readonly name = "PhotoError";
}

/** A photo that stands in the file, as it is to be seen: `width` and `height` are those after it is turned. */
export interface Photo {
  image: PdfImage;
  width: number;
  height: number;
  /** Pixels that had to be unpacked. */
  unpacked: number;
}

/** Formats that are told by name, by what stands at which byte. */
const OTHERS: readonly (readonly [at: number, text: string, name: string])[] = [
  [8, "WEBP", "WebP"],
  [4, "ftypheic", "HEIC"],
  [4, "ftypheix", "HEIC"],
  [4, "ftypmif1", "HEIC"],
  [4, "ftypavif", "AVIF"],
  [0, "GIF8", "GIF"],
  [0, "II*\0", "TIFF"],
  [0, "MM\0*", "TIFF"],
  [0, "BM", "BMP"],
  [0, "<svg", "SVG"],
];

/**
 * Writes the photo into the document. JPEGs, and PNGs without transparency, go in as they are.
 *
 * @param number of the photo in its document: its name there.
 * @param maxUnpacked most pixels to unpack.
 * @throws {PhotoError} saying what is wrong with it.
 */
export function embedPhoto(
  document: PDFDocument,
  bytes: Uint8Array,
  number: number,
  maxUnpacked: number,
): Photo {
  try {
    if (isJpeg(bytes)) return embedJpeg(document, bytes, `I${number}`);
    if (isPng(bytes)) {
      return embedPng(document, bytes, `I${number}`, maxUnpacked);
    }
  } catch (error) {
    if (error instanceof JpegError || error instanceof PngError) {
      throw new PhotoError(error.message, { cause: error });
    }
    throw error;
  }
  const head = String.fromCharCode(...bytes.subarray(0, 16));
  const name = OTHERS.find(([at, text]) => head.startsWith(text, at))?.[2];
  throw new PhotoError(
    name === undefined
      ? "is neither a JPEG nor a PNG"
      : `is a ${name} file; only JPEG and PNG can be printed`,
  );
}

function embedJpeg(
  document: PDFDocument,
  bytes: Uint8Array,
  label: string,
): Photo {
  const { width, height, bits, colors, orientation, isInverted, profile } =
    readJpeg(bytes);
  const device = colors === 1
    ? "DeviceGray"
    : colors === 3
    ? "DeviceRGB"
    : "DeviceCMYK";
  const image = document.ref({
    Type: "XObject",
    Subtype: "Image",
    Width: width,
    Height: height,
    BitsPerComponent: bits,
    ColorSpace: profile === null
      ? device
      : ["ICCBased", embedProfile(document, profile, colors, device)],
    Filter: "DCTDecode",
    ...(isInverted ? { Decode: [1, 0, 1, 0, 1, 0, 1, 0] } : {}),
  });
  image.end(bytes);
  const isOnItsSide = orientation >= 5;
  return {
    image: { label, width, height, orientation, obj: image },
    width: isOnItsSide ? height : width,
    height: isOnItsSide ? width : height,
    unpacked: 0,
  };
}

/** Phones photograph in more colours than the ones that a PDF supposes when it is not told. */
function embedProfile(
  document: PDFDocument,
  profile: Uint8Array,
  colors: number,
  alternate: string,
) {
  const object = document.ref({ N: colors, Alternate: alternate });
  object.end(profile);
  return object;
}

function embedPng(
  document: PDFDocument,
  bytes: Uint8Array,
  label: string,
  maxUnpacked: number,
): Photo {
  const png = readPng(bytes, maxUnpacked);
  const { width, height, bits, colors, palette, mask, unpacked } = png;
  let colorSpace: unknown = colors === 1 ? "DeviceGray" : "DeviceRGB";
  if (palette !== null) {
    const table = document.ref({});
    table.end(palette);
    colorSpace = ["Indexed", "DeviceRGB", palette.length / 3 - 1, table];
  }
  const image = document.ref({
    Type: "XObject",
    Subtype: "Image",
    Width: width,
    Height: height,
    BitsPerComponent: bits,
    ColorSpace: colorSpace,
    Filter: "FlateDecode",
    ...(mask === null ? {} : { Mask: mask }),
    ...(png.predictor === 15
      ? {
        DecodeParms: {
          Predictor: 15,
          Colors: colors,
          BitsPerComponent: bits,
          Columns: width,
        },
      }
      : {}),
  });
  image.end(png.data);
  return {
    image: { label, width, height, orientation: 1, obj: image },
    width,
    height,
    unpacked,
  };
}
