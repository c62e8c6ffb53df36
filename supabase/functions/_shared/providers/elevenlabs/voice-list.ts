/** ElevenLabs: the voices that an account holds, by plain requests: nothing here is paid, and the package is large. */
import { z } from "zod";
import { ProviderFailure } from "../../failures/provider-failure.ts";
import { type ObjectPage, UUID } from "../inventory.ts";
import type { Wire } from "../wire.ts";

const voicesPage = z.object({
  voices: z.array(
    z.object({
      voice_id: z.string().min(1),
      description: z.string().nullish(),
    }),
  ),
  has_more: z.boolean(),
  next_page_token: z.string().nullish(),
});
const oneVoice = z.object({ description: z.string().nullish() });
/** Where a clone carries its marker: the end of its description. */
const MARKED_VOICE = new RegExp(`\\(job:(${UUID})\\)$`);

/** Maximum number of pages of a search to read: 20 × 100 voices that all match one job's marker. */
const MAX_PAGES = 20;

async function readPage(
  wire: Wire,
  query: Readonly<Record<string, string>>,
  cursor: string | null,
  signal: AbortSignal,
) {
  const page = await wire.json(
    {
      method: "GET",
      path: "/v2/voices",
      query: {
        ...query,
        voice_type: "personal",
        page_size: "100",
        ...(cursor === null ? {} : { next_page_token: cursor }),
      },
    },
    voicesPage,
    signal,
  );
  return {
    voices: page.voices,
    next: (page.has_more && page.next_page_token) || null,
  };
}

/** A page of the account's voices, with the job of each clone. @param cursor `next` of the page before, or null. */
export async function listVoices(
  wire: Wire,
  cursor: string | null,
  signal: AbortSignal,
): Promise<ObjectPage> {
  const { voices, next } = await readPage(wire, {}, cursor, signal);
  return {
    objects: voices.map(({ voice_id, description }) => ({
      id: voice_id,
      type: "voice",
      jobId: jobOf(description),
    })),
    next,
  };
}

/** The id of the voice whose description ends with the marker, or null. Reads all pages. */
export async function findVoice(
  wire: Wire,
  marker: string,
  signal: AbortSignal,
): Promise<string | null> {
  let cursor: string | null = null;
  for (let page = 0; page < MAX_PAGES; page++) {
    const found: Awaited<ReturnType<typeof readPage>> = await readPage(
      wire,
      { search: marker },
      cursor,
      signal,
    );
    const match = found.voices.find(({ description }) =>
      description?.endsWith(`(${marker})`)
    );
    if (match !== undefined) return match.voice_id;
    if (found.next === null) return null;
    cursor = found.next;
  }
  throw ProviderFailure.unknown("provider_answer_invalid");
}

function jobOf(description: string | null | undefined): string | null {
  return MARKED_VOICE.exec(description ?? "")?.[1] ?? null;
}

/** The job of a voice's marker, or null. */
export async function jobOfVoice(
  wire: Wire,
  voiceId: string,
  signal: AbortSignal,
): Promise<string | null> {
  const { description } = await wire.json(
    { method: "GET", path: voicePath(voiceId) },
    oneVoice,
    signal,
  );
  return jobOf(description);
}

/** Whether the account has the voice. */
export function hasVoice(
  wire: Wire,
  voiceId: string,
  signal: AbortSignal,
): Promise<boolean> {
  return wire.has(voicePath(voiceId), signal);
}

/** Removes a voice and frees its slot. Succeeds if the voice does not exist any more. */
export async function removeVoice(
  wire: Wire,
  voiceId: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await wire.remove(voicePath(voiceId), signal);
  } catch (error) {
    // The reference documents every failed deletion as 500; only a read says whether the voice is gone.
    if (await hasVoice(wire, voiceId, signal)) throw error;
  }
}

function voicePath(voiceId: string): string {
  return `/v1/voices/${encodeURIComponent(voiceId)}`;
}
