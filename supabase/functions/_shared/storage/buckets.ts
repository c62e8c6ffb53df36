/** What each bucket takes. Mirrors the storage migration; a database test compares the two. */

export interface BucketPolicy {
  isPublic: boolean;
  /** False: only the service writes here. */
  isUploadable: boolean;
  maxBytes: number;
  mimeTypes: readonly string[];
}

const AUDIO = [
  "audio/mpeg",
  "audio/mp3",
  "audio/wav",
  "audio/x-wav",
  "audio/wave",
  "audio/mp4",
  "audio/m4a",
  "audio/x-m4a",
  "audio/aac",
  "audio/ogg",
  "audio/webm",
  "audio/flac",
  "audio/x-flac",
] as const;
const IMAGES = ["image/jpeg", "image/png", "image/webp"] as const;

/** Every bucket of the project by name. */
export const BUCKETS: Readonly<Record<string, BucketPolicy>> = {
  "voice-samples": {
    isPublic: false,
    isUploadable: true,
    maxBytes: 10_485_760,
    mimeTypes: AUDIO,
  },
  "uploads": {
    isPublic: false,
    isUploadable: true,
    maxBytes: 52_428_800,
    mimeTypes: [
      ...AUDIO,
      ...IMAGES,
      "video/mp4",
      "video/webm",
      "application/pdf",
    ],
  },
  "recordings": {
    isPublic: false,
    isUploadable: true,
    maxBytes: 524_288_000,
    mimeTypes: [...AUDIO, "video/mp4", "video/webm"],
  },
  "outputs": {
    isPublic: false,
    isUploadable: false,
    maxBytes: 524_288_000,
    mimeTypes: [
      "audio/mpeg",
      "audio/wav",
      "video/mp4",
      "application/pdf",
      "application/json",
      "text/plain",
    ],
  },
  "pdfs": {
    isPublic: false,
    isUploadable: false,
    maxBytes: 104_857_600,
    mimeTypes: ["application/pdf"],
  },
  "profile-photos": {
    isPublic: true,
    isUploadable: true,
    maxBytes: 5_242_880,
    mimeTypes: IMAGES,
  },
  "published-media": {
    isPublic: true,
    isUploadable: true,
    maxBytes: 20_971_520,
    mimeTypes: IMAGES,
  },
};

/** The policy of the bucket of that name, or undefined. Names that every object inherits name no bucket. */
export function findBucket(name: string): BucketPolicy | undefined {
  return Object.hasOwn(BUCKETS, name) ? BUCKETS[name] : undefined;
}
