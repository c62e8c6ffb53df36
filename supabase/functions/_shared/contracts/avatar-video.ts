/** The job type `avatar_video`: its parameters, request and result. */
import { z } from "zod";
import { inputUrl, jobOptions } from "./job-request.ts";
import { parseObjectPath } from "./object-path.ts";
import { plainText } from "./plain-text.ts";

/** Where a recording may lie: in the owner's folder of one of these. The intake trigger has the same list. */
export const AVATAR_AUDIO_BUCKETS: readonly string[] = [
  "uploads",
  "recordings",
  "voice-samples",
  "outputs",
];

/** The providers of avatar videos, by the names that they have in `ai_providers`. */
export const AVATAR_PROVIDERS = ["d-id", "heygen"] as const;
/** See {@link AVATAR_PROVIDERS}. */
export type AvatarProvider = typeof AVATAR_PROVIDERS[number];

/** What a provider takes as the recording that a photo speaks. */
export interface RecordingLimits {
  maxAudioBytes: number;
  maxAudioSeconds: number;
  /** By their canonical names. */
  audioTypes: readonly string[];
}

/** By provider. `private.ai_recording_limits` has the same. */
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

/** Encoders fill up the last frame of a recording, and the first: so much more than the limit is still within it. */
const PADDING_SECONDS = 1;

/**
 * What is wrong with the length of a recording that `provider` shall have, as it continues a sentence about it; null when
 * nothing is.
 */
export function adviceOnLength(
  seconds: number,
  provider: AvatarProvider,
): string | null {
  const { maxAudioSeconds } = RECORDING_LIMITS[provider];
  return seconds > maxAudioSeconds + PADDING_SECONDS
    ? `lasts ${seconds} s; ${provider} takes ${maxAudioSeconds} at most`
    : null;
}

/**
 * Parameters of an avatar video: what the photo says, as `text` in a voice of the provider or as a recording
 * (`audio_url`). Neither of them when the job depends on one that makes speech (`depends_on`): then that is spoken.
 */
export const avatarVideoMetadataSchema = z.strictObject({
  name: plainText(100).default("Talking photo").describe(
    "Name of the avatar.",
  ),
  provider: z.enum(AVATAR_PROVIDERS).optional().describe(
    "Who makes it; the job type's provider when left out.",
  ),
  text: plainText(5000).min(3).optional(),
  voice_id: z.string().regex(/^[A-Za-z0-9_:.-]{1,128}$/, "is not a voice id")
    .optional().describe("A voice of the provider; needed with text."),
  voice_provider: z.enum(["microsoft", "elevenlabs", "amazon", "google"])
    .optional().describe(
      "D-ID only: whose voice_id it is; microsoft when left out.",
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
    refuse("audio_url", "cannot be given together with text");
  }
  if (text !== undefined && voice_id === undefined) {
    refuse("voice_id", "is required with text");
  }
  if (text === undefined && voice_id !== undefined) {
    refuse("voice_id", "is for text only");
  }
  if (
    voice_provider !== undefined &&
    (text === undefined || provider === "heygen")
  ) {
    refuse("voice_provider", "is for a text at D-ID only");
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
    message: "is required, or audio_url, or a speech that the job depends on",
  },
);

/** Result of an avatar video; `output_url` of the job is the video itself. */
export const avatarVideoResultSchema = z.object({
  provider: z.string().min(1),
  provider_video_id: z.string().min(1),
  duration_seconds: z.number().positive().nullable(),
  size_bytes: z.number().int().positive(),
  cached: z.literal(true).optional(),
});
/** See {@link avatarVideoResultSchema}. */
export type AvatarVideoResult = z.infer<typeof avatarVideoResultSchema>;
