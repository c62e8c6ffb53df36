/** What is said of a recording's length where it is a guess. */
import type { RecordingLength } from "../../_shared/media/recording-length.ts";
import type { Logger } from "../../_shared/platform/log.ts";

/**
 * A sentence for an owner whose budget does not cover a recording that could not be read, and a line of the log
 * (`length_assumed`); undefined, and no line, for a length that was measured.
 */
export function noteOn(
  { seconds, isMeasured }: RecordingLength,
  log: Logger,
): string | undefined {
  if (isMeasured) return undefined;
  log.warn("length_assumed", { seconds });
  return `The recording's length could not be read: by its size it counts as ${seconds} s.`;
}
