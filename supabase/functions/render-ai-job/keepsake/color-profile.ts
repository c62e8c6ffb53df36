/** Colour profiles (ICC.1, annex B), which JPEG and PNG contain and PDF embeds. */

/** Longer profiles are for printing presses; cameras and screens write shorter ones. */
export const MAX_PROFILE_BYTES = 4_194_304;

/** The colour space that a profile names at byte 16, by the number of samples per pixel. */
const SPACES: Readonly<Record<1 | 3 | 4, string>> = {
  1: "GRAY",
  3: "RGB ",
  4: "CMYK",
};

/** Whether the bytes begin like a profile for pixels with this number of samples. */
export function isProfileFor(colors: 1 | 3 | 4, profile: Uint8Array): boolean {
  const text = (from: number) =>
    String.fromCharCode(...profile.subarray(from, from + 4));
  return text(16) === SPACES[colors] && text(36) === "acsp";
}

/** A hash that identifies a profile: photos of one camera or screen share it, and a book contains it once. */
export async function profileHash(profile: Uint8Array): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", profile.slice());
  return [...new Uint8Array(hash, 0, 16)]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
