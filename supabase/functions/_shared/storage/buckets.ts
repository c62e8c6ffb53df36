/** What each bucket accepts. Mirrors the storage migrations; a database test compares the two. */

/** One bucket. Content types are canonical names (`_shared/contracts/mime-type.ts`). */
export interface BucketPolicy {
  isPublic: boolean;
  /** False: only the service writes here. */
  isUploadable: boolean;
  maxBytes: number;
  /**
   * The types for which an upload URL is created. Storage itself may accept more, since it knows neither parameters nor
   * synonyms.
   */
  mimeTypes: readonly string[];
}

/** Formats from which some AI provider can make a voice or a transcript. */
const SPOKEN = [
  "audio/mpeg",
  "audio/wav",
  "audio/mp4",
  "audio/aac",
  "audio/ogg",
  "audio/webm",
  "audio/flac",
  "audio/aiff",
  "audio/3gpp",
] as const;
/** Formats in which people keep recordings; not every job type takes all of them. */
const AUDIO = [...SPOKEN, "audio/amr"] as const;
const VIDEO = [
  "video/mp4",
  "video/webm",
  "video/quicktime",
  "video/3gpp",
] as const;
const IMAGES = ["image/jpeg", "image/png", "image/webp"] as const;

/** Every bucket of the project by name. */
export const BUCKETS: Readonly<Record<string, BucketPolicy>> = {
  "voice-samples": {
    isPublic: false,
    isUploadable: true,
    maxBytes: 10_485_760,
    mimeTypes: SPOKEN,
  },
  "uploads": {
    isPublic: false,
    isUploadable: true,
    maxBytes: 52_428_800,
    mimeTypes: [...AUDIO, ...VIDEO, ...IMAGES, "application/pdf"],
  },
  "recordings": {
    isPublic: false,
    isUploadable: true,
    maxBytes: 524_288_000,
    mimeTypes: [...AUDIO, ...VIDEO],
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
    maxBytes: 524_288_000,
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

/** The policy of the bucket of that name, or undefined. Names that every JavaScript object inherits are not buckets. */
export function findBucket(name: string): BucketPolicy | undefined {
  return Object.hasOwn(BUCKETS, name) ? BUCKETS[name] : undefined;
}
