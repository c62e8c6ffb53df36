/** The job type `avatar_video`: its parameters, request and result. */
import { z } from "zod";
import { inputUrl, jobOptions } from "./job-request.ts";
import { parseObjectPath } from "./object-path.ts";
import { plainText } from "./plain-text.ts";

/** Buckets in which a recording may be, in the owner's folder. The intake trigger has the same list. */
const AVATAR_AUDIO_BUCKETS: readonly string[] = [
  "uploads",
  "recordings",
  "voice-samples",
  "outputs",
];

/** The providers of avatar videos, by their names in `ai_providers`. */
export const AVATAR_PROVIDERS = ["d-id", "heygen"] as const;
/** See {@link AVATAR_PROVIDERS}. */
export type AvatarProvider = typeof AVATAR_PROVIDERS[number];

/** What a provider accepts as the recording that a photo speaks. */
export interface RecordingLimits {
  maxAudioBytes: number;
  maxAudioSeconds: number;
  /** Canonical names of content types. */
  audioTypes: readonly string[];
}

/** The limits by provider, equal to `private.ai_recording_limits`. */
export const RECORDING_LIMITS: Readonly<
  Record<AvatarProvider, RecordingLimits>
> = {
  "d-id": {
    maxAudioBytes: 6_000_000,
    maxAudioSeconds: 600,
    audioTypes: ["audio/mpeg", "audio/wav", "audio/mp4", "audio/flac"],
  },
  heygen: {
    maxAudioBytes: 15_000_000,
    maxAudioSeconds: 600,
    audioTypes: ["audio/mpeg", "audio/wav"],
  },
};

/** Tolerance: encoders pad the first and the last frame of a recording. */
const PADDING_SECONDS = 1;

/** What is wrong with the length of a recording for `provider`, as the rest of a sentence about it; null if it fits. */
export function adviceOnLength(
  seconds: number,
  provider: AvatarProvider,
): string | null {
  const { maxAudioSeconds } = RECORDING_LIMITS[provider];
  return seconds > maxAudioSeconds + PADDING_SECONDS
    ? `lasts ${seconds} s; ${provider} accepts ${maxAudioSeconds} at most`
    : null;
}

/**
 * Parameters of an avatar video. The photo speaks `text` in a voice of the provider, a recording (`audio_url`), or the
 * output of the `text_to_speech` job that it depends on (`depends_on`).
 */
export const avatarVideoMetadataSchema = z.strictObject({
  name: plainText(100).default("Talking photo").describe(
    "Name of the avatar.",
  ),
  provider: z.enum(AVATAR_PROVIDERS).optional().describe(
    "Default: the provider of the job type.",
  ),
  text: plainText(5000).min(3).optional(),
  voice_id: z.string().regex(/^[A-Za-z0-9_:.-]{1,128}$/, "is not a voice id")
    .optional().describe("A voice of the provider; required with text."),
  voice_provider: z.enum(["microsoft", "elevenlabs", "amazon", "google"])
    .optional().describe(
      "D-ID only: the provider of voice_id. Default: microsoft.",
    ),
  audio_url: z.string().max(1024).refine(
    (text) =>
      AVATAR_AUDIO_BUCKETS.includes(parseObjectPath(text)?.bucket ?? ""),
    `must be <bucket>/<path> in one of these: ${
      AVATAR_AUDIO_BUCKETS.join(", ")
    }`,
  ).optional(),
}).superRefine((metadata, context) => {
  const refuse = (field: string, message: string) =>
    context.addIssue({ code: "custom", path: [field], message });
  const { text, voice_id, voice_provider, audio_url, provider } = metadata;
  if (text !== undefined && audio_url !== undefined) {
    refuse("audio_url", "cannot be combined with text");
  }
  if (text !== undefined && voice_id === undefined) {
    refuse("voice_id", "is required with text");
  }
  if (text === undefined && voice_id !== undefined) {
    refuse("voice_id", "is allowed only with text");
  }
  if (
    voice_provider !== undefined &&
    (text === undefined || provider === "heygen")
  ) {
    refuse("voice_provider", "is allowed only with text at D-ID");
  }
});
/** See {@link avatarVideoMetadataSchema}. */
export type AvatarVideoMetadata = z.infer<typeof avatarVideoMetadataSchema>;

/** A request for an avatar video. */
export const avatarVideoRequestSchema = z.strictObject({
  ...jobOptions,
  job_type: z.literal("avatar_video"),
  input_url: inputUrl("photo"),
  metadata: avatarVideoMetadataSchema,
}).refine(
  ({ metadata, depends_on }) =>
    metadata.text !== undefined || metadata.audio_url !== undefined ||
    depends_on !== undefined,
  {
    path: ["metadata", "text"],
    message:
      "is required unless audio_url is set or the job depends on a text_to_speech job",
  },
);

/** Result of an avatar video; `output_url` of the job is the video. */
export const avatarVideoResultSchema = z.object({
  provider: z.string().min(1),
  provider_video_id: z.string().min(1),
  duration_seconds: z.number().positive().nullable(),
  size_bytes: z.number().int().positive(),
});
/** See {@link avatarVideoResultSchema}. */
export type AvatarVideoResult = z.infer<typeof avatarVideoResultSchema>;
