/** What an operator searches for at a provider when the outcome of a paid call is unknown, by job type. */
import { providerName } from "./providers.ts";

/** A search. */
export interface Search {
  /** The place at the provider. */
  place: string;
  /** How the object is recognized; with a marker, the marker follows this sentence. */
  words: string;
  /** Whether the provider shows the marker of the job. */
  hasMarker: boolean;
  /** The id that the answer needs. */
  idName: string;
}

/** By provider and job type: docs/operations.md, "A parked job". */
const SEARCHES: Readonly<Record<string, Search>> = {
  "elevenlabs voice_clone": {
    place: "ElevenLabs, Voices",
    words: "The description of the voice ends with:",
    hasMarker: true,
    idName: "The id of the voice.",
  },
  "elevenlabs text_to_speech": {
    place: "ElevenLabs, History",
    words:
      "A speech has no marker. Look for an item of the same time, voice and text; the text is in the content of the job.",
    hasMarker: false,
    idName: "The id of the history item.",
  },
  "elevenlabs transcription": {
    place: "ElevenLabs, usage or support",
    words:
      "ElevenLabs lists no transcripts, so there is no marker to search for. Compare the usage of that time; only their support can name the id.",
    hasMarker: false,
    idName: "The id of the transcript.",
  },
  "d-id avatar_video": {
    place: "D-ID, Talks",
    words: "The fields user_data and name of the talk are:",
    hasMarker: true,
    idName: "The id of the talk.",
  },
  "heygen avatar_video": {
    place: "HeyGen, Videos",
    words: "The title of the video is:",
    hasMarker: true,
    idName: "The id of the video.",
  },
};

/** The search for a job's paid call; a general one for a type of a later version. */
export function searchOf(provider: string, jobType: string): Search {
  return SEARCHES[`${provider} ${jobType}`] ?? {
    place: providerName(provider),
    words: "Its description, title or metadata has:",
    hasMarker: true,
    idName: "The id of what was made.",
  };
}
