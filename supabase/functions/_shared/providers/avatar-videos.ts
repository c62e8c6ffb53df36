/** What every provider of avatar videos offers, whatever its wire looks like. */
import type { RecordingLimits } from "../contracts/avatar-video.ts";
import type { ErrorCode } from "../failures/catalogue.ts";

/** A file to hand to a provider. */
export interface ProviderFile {
  bytes: Blob;
  /** Of the bytes themselves, not of their name. */
  mimeType: string;
  /** Letters, digits, `.`, `_` and `-` only, at most 50. Carries the job's id, by which a lost video can be found. */
  name: string;
}

/** What the photo shall say: a text in a voice of the provider, or a recording that was uploaded to it. */
export type AvatarSpeech =
  | { kind: "text"; text: string; voiceId: string; voiceProvider: string }
  | { kind: "audio"; audio: string };

/** A video to be made; `photo` and `audio` are what the uploads answered. */
export interface AvatarVideoRequest {
  photo: string;
  speech: AvatarSpeech;
  /** `job:<uuid>`: finds the video again when the answer is lost. */
  marker: string;
  /** Where the provider may say that it is done, when it takes an address per video. */
  callbackUrl: string | undefined;
}

/** Where a video stands. `failed` is final; `code` tells a refused content from a failed render. */
export type AvatarVideoState =
  | { status: "rendering" }
  | { status: "done"; videoUrl: string; durationSeconds: number | null }
  | { status: "failed"; code: ErrorCode; reason: string };

/** Avatar videos at one provider. Every method throws {@link ProviderFailure} and nothing else. */
export interface AvatarVideos extends Readonly<RecordingLimits> {
  /** Whether a video that could not be made is charged all the same, or may be. */
  readonly chargesFailed: boolean;
  /** Seconds between two looks at a video: from the first pause, growing to the longest. */
  readonly pauses: { first: number; longest: number };
  /** Hands over a photo; costs nothing, and the provider forgets it by itself. */
  uploadPhoto(file: ProviderFile, signal: AbortSignal): Promise<string>;
  /** Hands over a recording; costs nothing, and the provider forgets it by itself. */
  uploadAudio(file: ProviderFile, signal: AbortSignal): Promise<string>;
  /** Orders the video and answers with its id. One request, never repeated. Costs credits. */
  create(request: AvatarVideoRequest, signal: AbortSignal): Promise<string>;
  /** The id of the video that carries the marker, or null. Looks through all pages. */
  findByMarker(marker: string, signal: AbortSignal): Promise<string | null>;
  /** Where it stands, with a fresh address of the result. */
  read(videoId: string, signal: AbortSignal): Promise<AvatarVideoState>;
  /** Deletes a video. One that is gone already is fine; one that still renders may not be removable. */
  remove(videoId: string, signal: AbortSignal): Promise<void>;
}
