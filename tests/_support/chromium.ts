/** The browser of the browser tests. */
import { type Browser, chromium } from "playwright-core";
import { findChromium } from "../../dev/tools/chromium.ts";

/**
 * Starts a headless Chromium whose microphone plays `recording`, a WAV file, repeatedly.
 *
 * @throws {Error} that says what to install.
 */
export async function startChromium(recording: string): Promise<Browser> {
  const found = await findChromium();
  if (found === undefined) {
    throw new Error(
      "There is no Chromium: install it, or name one in CHROMIUM_PATH.",
    );
  }
  return await chromium.launch({
    executablePath: found.path,
    env: { ...Deno.env.toObject(), ...found.env },
    args: [
      // A container has no user namespaces for the sandbox, and only our pages are opened.
      "--no-sandbox",
      // Nothing needs WebGL, and its emulation takes a quarter of the processor time of drawing.
      "--disable-gpu",
      "--use-fake-ui-for-media-stream",
      "--use-fake-device-for-media-stream",
      `--use-file-for-fake-audio-capture=${recording}`,
      "--autoplay-policy=no-user-gesture-required",
    ],
  });
}
