/** The interface that every provider of avatar videos implements. */
import type { RecordingLimits } from "../contracts/avatar-video.ts";
import type { ErrorCode } from "../failures/catalogue.ts";

/** A file to upload to a provider. */
export interface ProviderFile {
  bytes: Blob;
  /** Detected from the bytes, not from the name. */
  mimeType: string;
  /** Letters, digits, `.`, `_` and `-` only, at most 50. Carries the job's id, by which a lost video can be found. */
  name: string;
}

/** The speech of the photo: a text in a voice of the provider, or a recording that was uploaded to it. */
export type AvatarSpeech =
  | { kind: "text"; text: string; voiceId: string; voiceProvider: string }
  | { kind: "audio"; audio: string };

/** A video to be created; `photo` and `audio` are the results of the uploads. */
export interface AvatarVideoRequest {
  photo: string;
  speech: AvatarSpeech;
  /** `job:<uuid>`: finds the video again when the response is lost. */
  marker: string;
  /** For a provider that recognizes repeated requests: the same for every request that must create one video. */
  idempotencyKey: string;
}

/** The state of a video. `failed` is final; `code` distinguishes refused content from a failed render. */
export type AvatarVideoState =
  | { status: "rendering" }
  | { status: "done"; videoUrl: string; durationSeconds: number | null }
  | { status: "failed"; code: ErrorCode; reason: string };

/** Avatar videos at one provider. Every method throws {@link ProviderFailure} and nothing else. */
export interface AvatarVideos extends Readonly<RecordingLimits> {
  /** Whether a failed video is, or may be, charged. */
  readonly chargesFailed: boolean;
  /**
   * For how many seconds after a creation it may be repeated, because the provider recognizes it by its
   * idempotency key. Undefined where a repeated creation makes another video.
   */
  readonly repeatableSeconds?: number;
  /** Seconds between two polls of a video: begins with `first` and grows to `longest`. */
  readonly pauses: { first: number; longest: number };
  /** Uploads a photo; costs nothing, and the provider deletes it after a while. */
  uploadPhoto(file: ProviderFile, signal: AbortSignal): Promise<string>;
  /** Uploads a recording; costs nothing, and the provider deletes it after a while. */
  uploadAudio(file: ProviderFile, signal: AbortSignal): Promise<string>;
  /** Submits the video and returns its id. Sends one request and never repeats it. Costs credits. */
  create(request: AvatarVideoRequest, signal: AbortSignal): Promise<string>;
  /** The id of the video that carries the marker, or null. Reads all pages. */
  findByMarker(marker: string, signal: AbortSignal): Promise<string | null>;
  /** Its state, with a fresh URL of the result. */
  read(videoId: string, signal: AbortSignal): Promise<AvatarVideoState>;
  /** Deletes a video. Succeeds if it does not exist any more; one that is still rendering may not be removable. */
  remove(videoId: string, signal: AbortSignal): Promise<void>;
}
