/** The jobs whose crash points are visited: every job type at every provider, and a pipeline of two. */
import type { TestUser } from "../_support/as-user.ts";
import { uploadRecording } from "../_support/as-user.ts";
import { uploadPortrait } from "../_support/avatar-jobs.ts";
import { RENDER_SLUG, SLUG, type WorkerSlug } from "./project.ts";

/** A user with everything that jobs of all types need. */
export interface Owner {
  user: TestUser;
  recording: string;
  portrait: string;
  slideshow: string;
}

/** A job to insert. `marker` identifies it in the provider's ledger; the job's id if omitted. */
export interface NewJob {
  row: {
    job_type: string;
    input_url?: string;
    metadata: Record<string, string | number>;
  };
  marker?: string;
  /** Billable creations of a complete run. */
  steps: number;
}

/** The jobs of one visit. */
export interface Subject {
  name: string;
  /** The worker of its jobs. */
  slug: WorkerSlug;
  /** Each job depends on the one before it. `number` makes their inputs unique. */
  jobs(owner: Owner, number: number): NewJob[];
  /** The provider has no list, so a lost response leaves a job that only an operator can resolve. */
  mayPark: boolean;
  /** A run is claimed more than once, because it waits for a render or for another job. */
  hasSeveralClaims: boolean;
}

/** A speech in two parts, with the model that has the shortest limit for a text. */
function speech(): NewJob {
  const marker = crypto.randomUUID();
  let text = "";
  for (let line = 1; text.length < 3050; line++) {
    text += `Sentence ${line} of ${marker}. `;
  }
  return {
    row: {
      job_type: "text_to_speech",
      metadata: {
        text,
        voice_id: "pNInz6obpgDQGcFmaJgB",
        model: "eleven_v3",
        output_format: "mp3_22050_32",
      },
    },
    marker,
    steps: 2,
  };
}

function video(
  owner: Owner,
  number: number,
  metadata: Record<string, string>,
): NewJob {
  return {
    row: {
      job_type: "avatar_video",
      input_url: owner.portrait,
      metadata: { name: `Video ${number}`, ...metadata },
    },
    steps: 1,
  };
}

const spoken = (number: number) => ({
  text: `Hello, this is number ${number}.`,
  voice_id: "en-US-JennyNeural",
});

/** A code of three letters, unique to the number, so that the cache has no result for the job. */
function languageOf(number: number): string {
  const letter = (place: number) =>
    String.fromCharCode(97 + Math.floor(number / 26 ** place) % 26);
  return letter(2) + letter(1) + letter(0);
}

/** The default subject: storms and batches use it too. */
export const VOICE_CLONE: Subject = {
  name: "voice_clone",
  slug: SLUG,
  jobs: (owner, number) => [{
    row: {
      job_type: "voice_clone",
      input_url: owner.recording,
      metadata: { voice_name: `Voice ${number}` },
    },
    steps: 1,
  }],
  mayPark: false,
  hasSeveralClaims: false,
};

export const SUBJECTS: readonly Subject[] = [
  VOICE_CLONE,
  {
    name: "text_to_speech",
    slug: SLUG,
    jobs: () => [speech()],
    mayPark: false,
    hasSeveralClaims: false,
  },
  {
    name: "transcription",
    slug: SLUG,
    jobs: (owner, number) => [{
      row: {
        job_type: "transcription",
        input_url: owner.recording,
        metadata: { language_code: languageOf(number) },
      },
      steps: 1,
    }],
    mayPark: true,
    hasSeveralClaims: false,
  },
  ...(["d-id", "heygen"] as const).map((provider): Subject => ({
    name: `avatar_video at ${provider}`,
    slug: SLUG,
    jobs: (
      owner,
      number,
    ) => [video(owner, number, { provider, ...spoken(number) })],
    mayPark: false,
    hasSeveralClaims: true,
  })),
  {
    name: "pdf_render",
    slug: RENDER_SLUG,
    jobs: (owner, number) => [{
      row: {
        job_type: "pdf_render",
        metadata: { slideshow_id: owner.slideshow, title: `Book ${number}` },
      },
      steps: 0,
    }],
    mayPark: false,
    hasSeveralClaims: false,
  },
  {
    name: "speech then video",
    slug: SLUG,
    jobs: (owner, number) => [speech(), video(owner, number, {})],
    mayPark: false,
    hasSeveralClaims: true,
  },
];

/** Uploads a recording and a portrait, and creates a slideshow of two slides. Throws if any of it is refused. */
export async function prepareOwner(user: TestUser): Promise<Owner> {
  const portrait = await uploadPortrait(user);
  const photo = await user.client.from("media").insert({
    media_type: "image",
    storage_path: portrait,
    file_name: "face.jpg",
    content_type: "image/jpeg",
    size_bytes: 1,
  }).select("id").single();
  if (photo.error) throw photo.error;
  const slideshow = await user.client.from("slideshows").insert({
    title: "A summer",
  }).select("id").single();
  if (slideshow.error) throw slideshow.error;
  const slides = await user.client.from("slideshow_items").insert(
    [0, 1].map((position) => ({
      slideshow_id: slideshow.data.id,
      media_id: photo.data.id,
      position,
      caption: `Day ${position + 1}`,
    })),
  );
  if (slides.error) throw slides.error;
  return {
    user,
    recording: await uploadRecording(user),
    portrait,
    slideshow: slideshow.data.id,
  };
}
