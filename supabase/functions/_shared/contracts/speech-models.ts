/**
 * What each speech model of ElevenLabs accepts. Contract, processor, provider client and simulator all use this table.
 *
 * Sources: the vendor's model overview and API reference, and its error responses as reported publicly in 2025 and
 * 2026: `invalid_ttd_stability`, `unsupported_language`, and `unsupported_model` for the text around a request.
 */

/** The speech models that can be requested. */
export const SPEECH_MODELS = [
  "eleven_multilingual_v2",
  "eleven_v3",
  "eleven_flash_v2_5",
  "eleven_flash_v2",
  "eleven_turbo_v2_5",
  "eleven_turbo_v2",
] as const;
/** See {@link SPEECH_MODELS}. */
export type SpeechModel = (typeof SPEECH_MODELS)[number];

/** Sample rate and kbit/s of the MP3, the same for every model. 192 kbit/s needs the vendor's Creator plan. */
export const SPEECH_OUTPUT_FORMATS = [
  "mp3_22050_32",
  "mp3_44100_32",
  "mp3_44100_64",
  "mp3_44100_96",
  "mp3_44100_128",
  "mp3_44100_192",
] as const;
/** See {@link SPEECH_OUTPUT_FORMATS}. */
export type SpeechOutputFormat = (typeof SPEECH_OUTPUT_FORMATS)[number];

/** Limits of `speed`, the same for every model; 1 is the voice's own. */
export const SPEECH_SPEED = { min: 0.7, max: 1.2 } as const;

/** What one model accepts. */
export interface SpeechModelRules {
  /** Maximum number of characters of one request. */
  readonly maxCharacters: number;
  /** Accepted language codes; null if the model accepts none and detects the language from the text. */
  readonly languages: ReadonlySet<string> | null;
  /** Accepted values of `stability`, ascending; null for any value from 0 to 1. */
  readonly stabilitySteps: readonly number[] | null;
  /** Whether it accepts the text before and after a part as context. */
  readonly acceptsContext: boolean;
}

const V2_5_LANGUAGES = new Set(
  ("ar bg cs da de el en es fi fil fr hi hr hu id it ja ko ms nl no pl pt ro ru sk sv ta tr uk vi zh")
    .split(" "),
);
const V3_LANGUAGES = new Set(
  ("af ar as az be bg bn bs ca ceb cs cy da de el en es et fa fi fil fr ga gl gu ha he hi hr hu hy id is it ja jv ka " +
    "kk kn ko ky lb ln lt lv mk ml mr ms ne nl no ny pa pl ps pt ro ru sd sk sl so sr sv sw ta te th tr uk ur vi zh")
    .split(" "),
);

const V2 = { stabilitySteps: null, acceptsContext: true } as const;

/** The rules by model. */
export const SPEECH_MODEL_RULES: Readonly<
  Record<SpeechModel, SpeechModelRules>
> = {
  eleven_multilingual_v2: { ...V2, maxCharacters: 10_000, languages: null },
  eleven_v3: {
    // The lower of the two numbers that the vendor has named, 3,000 and 5,000.
    maxCharacters: 3_000,
    languages: V3_LANGUAGES,
    stabilitySteps: [0, 0.5, 1],
    acceptsContext: false,
  },
  eleven_flash_v2_5: {
    ...V2,
    maxCharacters: 40_000,
    languages: V2_5_LANGUAGES,
  },
  eleven_flash_v2: { ...V2, maxCharacters: 30_000, languages: null },
  eleven_turbo_v2_5: {
    ...V2,
    maxCharacters: 40_000,
    languages: V2_5_LANGUAGES,
  },
  eleven_turbo_v2: { ...V2, maxCharacters: 30_000, languages: null },
};

/** The nearest stability that the model accepts; of two equally near values the higher. */
export function nearestStability(
  model: SpeechModel,
  stability: number,
): number {
  const steps = SPEECH_MODEL_RULES[model].stabilitySteps ?? [stability];
  return steps.reduce((nearest, step) =>
    Math.abs(step - stability) <= Math.abs(nearest - stability) ? step : nearest
  );
}

/** The names of the models that accept this language code. */
export function modelsForLanguage(languageCode: string): SpeechModel[] {
  return SPEECH_MODELS.filter((model) =>
    SPEECH_MODEL_RULES[model].languages?.has(languageCode)
  );
}
