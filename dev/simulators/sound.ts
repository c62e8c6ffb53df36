/** Measures sound for the simulators. */
import decode from "@audio/decode";

const known = new Map<string, Promise<number | null>>();

/** SHA-256 of the bytes, as hex. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return [...new Uint8Array(digest)]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Seconds of sound that decode from a file (mp3, wav, m4a, ogg, webm, flac and more), or null when nothing does. It
 * counts decoded samples, so a header cannot claim more than the file contains.
 */
export async function decodedSeconds(
  bytes: Uint8Array<ArrayBuffer>,
): Promise<number | null> {
  // Decoding takes tens of milliseconds of CPU, and load tests send the same recording thousands of times.
  const key = await sha256(bytes);
  const seconds = known.get(key) ?? decodeSeconds(bytes);
  known.set(key, seconds);
  return await seconds;
}

async function decodeSeconds(
  bytes: Uint8Array<ArrayBuffer>,
): Promise<number | null> {
  try {
    const { channelData, sampleRate } = await decode(bytes);
    const samples = channelData[0]?.length ?? 0;
    return samples > 0 && sampleRate > 0 ? samples / sampleRate : null;
  } catch {
    return null;
  }
}
