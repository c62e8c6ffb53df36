/** Voices of the simulated ElevenLabs. */
import { z } from "zod";

/** See {@link VoiceSettings}. */
export const voiceSettingsSchema = z.object({
  stability: z.number(),
  similarity_boost: z.number(),
  style: z.number(),
  use_speaker_boost: z.boolean(),
  speed: z.number(),
}).readonly();
/** The settings of a voice. */
export type VoiceSettings = z.output<typeof voiceSettingsSchema>;

/** Default settings. */
export const DEFAULT_VOICE_SETTINGS: VoiceSettings = {
  stability: 0.5,
  similarity_boost: 0.75,
  style: 0,
  use_speaker_boost: true,
  speed: 1,
};

const sampleSchema = z.object({
  name: z.string(),
  type: z.string(),
  bytes: z.number(),
  sha256: z.string(),
  seconds: z.number(),
}).readonly();
/** A file from which a voice was created. */
export type Sample = z.output<typeof sampleSchema>;

/** See {@link StoredVoice}. */
export const storedVoiceSchema = z.object({
  /** Order of creation; premade voices come first. */
  seq: z.int(),
  id: z.string(),
  name: z.string(),
  description: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  category: z.enum(["premade", "cloned"]),
  /** Unix milliseconds; null for premade voices. */
  createdAt: z.number().nullable(),
  samples: z.array(sampleSchema).readonly(),
  settings: voiceSettingsSchema,
}).readonly();
/** A stored voice. */
export type StoredVoice = z.output<typeof storedVoiceSchema>;

/** The premade voices of every account. */
export const PREMADE_VOICES: readonly StoredVoice[] = [
  premade(1, "21m00Tcm4TlvDq8ikWAM", "Rachel", "female"),
  premade(2, "pNInz6obpgDQGcFmaJgB", "Adam", "male"),
];

function premade(
  seq: number,
  id: string,
  name: string,
  gender: string,
): StoredVoice {
  return {
    seq,
    id,
    name,
    description: null,
    labels: { accent: "american", gender },
    category: "premade",
    createdAt: null,
    samples: [],
    settings: DEFAULT_VOICE_SETTINGS,
  };
}

/** A voice as in responses; `settings` only on request. */
export function voiceBody(voice: StoredVoice, withSettings: boolean): unknown {
  const own = voice.category === "cloned";
  return {
    voice_id: voice.id,
    name: voice.name,
    samples: own
      ? voice.samples.map((sample) => ({
        sample_id: sample.sha256.slice(0, 20),
        file_name: sample.name,
        mime_type: sample.type,
        size_bytes: sample.bytes,
        hash: sample.sha256.slice(0, 32),
      }))
      : null,
    category: voice.category,
    fine_tuning: {
      is_allowed_to_fine_tune: false,
      state: {},
      verification_failures: [],
      verification_attempts_count: 0,
      manual_verification_requested: false,
    },
    labels: voice.labels,
    description: voice.description,
    preview_url: null,
    available_for_tiers: [],
    settings: withSettings ? voice.settings : null,
    sharing: null,
    high_quality_base_model_ids: [],
    verified_languages: [],
    safety_control: null,
    voice_verification: {
      requires_verification: false,
      is_verified: false,
      verification_failures: [],
      verification_attempts_count: 0,
      language: null,
    },
    permission_on_resource: own ? "admin" : null,
    is_owner: own,
    is_legacy: false,
    is_mixed: false,
    created_at_unix: voice.createdAt === null
      ? null
      : Math.floor(voice.createdAt / 1000),
  };
}

/** The query of `GET /v2/voices`, unparsed. */
export const searchQuerySchema = z.object({
  next_page_token: z.string().optional(),
  page_size: z.coerce.number().int().min(1).max(100).default(10),
  search: z.string().default(""),
  sort: z.enum(["created_at_unix", "name"]).default("created_at_unix"),
  sort_direction: z.enum(["asc", "desc"]).default("desc"),
  voice_type: z.enum([
    "personal",
    "community",
    "default",
    "workspace",
    "non-default",
    "non-community",
    "saved",
  ]).optional(),
  category: z.enum(["premade", "cloned", "generated", "professional"])
    .optional(),
  include_total_count: z.stringbool().default(true),
});

const VOICE_TYPES: Readonly<
  Record<string, readonly StoredVoice["category"][]>
> = {
  personal: ["cloned"],
  community: [],
  default: ["premade"],
  workspace: ["cloned"],
  "non-default": ["cloned"],
  "non-community": ["premade", "cloned"],
  saved: ["cloned"],
};

const pageTokenSchema = z.tuple([z.union([z.string(), z.number()]), z.int()]);

/** The cursor after `voice`: its position in the sort order, which stays valid when voices are added or deleted. */
function pageToken(voice: StoredVoice, sort: string): string {
  return btoa(
    encodeURIComponent(JSON.stringify([sortKey(voice, sort), voice.seq])),
  );
}

function parsePageToken(token: string): [string | number, number] | null {
  try {
    return pageTokenSchema.parse(JSON.parse(decodeURIComponent(atob(token))));
  } catch {
    return null;
  }
}

function sortKey(voice: StoredVoice, sort: string): string | number {
  return sort === "name" ? voice.name.toLowerCase() : voice.createdAt ?? 0;
}

function comparePlaces(
  [a, aSeq]: [string | number, number],
  [b, bSeq]: [string | number, number],
): number {
  return a < b ? -1 : a > b ? 1 : aSeq - bSeq;
}

/**
 * One page of `GET /v2/voices`. `search` matches name, description, labels and category, ignoring case. Null when
 * `next_page_token` is not from an earlier page.
 */
export function searchVoices(
  voices: Iterable<StoredVoice>,
  query: z.output<typeof searchQuerySchema>,
): {
  voices: unknown[];
  has_more: boolean;
  total_count: number;
  next_page_token: string | null;
} | null {
  const term = query.search.toLowerCase();
  const types = query.voice_type && VOICE_TYPES[query.voice_type];
  const direction = query.sort_direction === "asc" ? 1 : -1;
  const place = (voice: StoredVoice): [string | number, number] => [
    sortKey(voice, query.sort),
    voice.seq,
  ];
  const found = [...voices]
    .filter((voice) => types === undefined || types.includes(voice.category))
    .filter(({ category }) => (query.category ?? category) === category)
    .filter((voice) =>
      [
        voice.name,
        voice.description ?? "",
        voice.category,
        ...Object.values(voice.labels),
      ].some((text) => text.toLowerCase().includes(term))
    )
    .sort((a, b) => direction * comparePlaces(place(a), place(b)));
  let rest = found;
  if (query.next_page_token !== undefined) {
    const after = parsePageToken(query.next_page_token);
    if (after === null) return null;
    rest = found.filter((voice) =>
      direction * comparePlaces(place(voice), after) > 0
    );
  }
  const page = rest.slice(0, query.page_size);
  const last = page.at(-1);
  const hasMore = rest.length > page.length;
  return {
    voices: page.map((voice) => voiceBody(voice, false)),
    has_more: hasMore,
    total_count: query.include_total_count ? found.length : 0,
    next_page_token: hasMore && last !== undefined
      ? pageToken(last, query.sort)
      : null,
  };
}
