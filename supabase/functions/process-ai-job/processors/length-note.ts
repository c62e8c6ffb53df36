/** A note for the owner about a recording whose length had to be assumed. */
import type { RecordingLength } from "../../_shared/media/recording-length.ts";
import type { Logger } from "../../_shared/platform/log.ts";

/**
 * For a length that could not be read: a sentence for an owner whose budget does not cover it, and a log line
 * (`length_assumed`). Undefined, and no log line, for a length that was measured.
 */
export function noteOn(
  { seconds, isMeasured }: RecordingLength,
  log: Logger,
): string | undefined {
  if (isMeasured) return undefined;
  log.warn("length_assumed", { seconds });
  return `The recording's length could not be read: by its size it counts as ${seconds} s.`;
}
