/**
 * ElevenLabs: what an account holds for us. Plain requests: the package that makes voices costs 64 MB to load, and
 * nothing here is paid.
 */
import { z } from "zod";
import { ProviderFailure } from "../../failures/provider-failure.ts";
import {
  type ProviderInventory,
  type RemovableObject,
  UUID,
} from "../inventory.ts";
import {
  type ElevenLabsAccess,
  readElevenLabsJson,
  requestElevenLabs,
} from "./client.ts";
import { historyPageSchema } from "./speech.ts";

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
/** Where a clone carries its marker: the end of its description. */
const MARKED_VOICE = new RegExp(`\\(job:(${UUID})\\)$`);

const refusal = z.object({
  body: z.object({
    detail: z.object({
      code: z.string().optional(),
      status: z.string().optional(),
    }),
  }),
});

/** Pages to look through for one thing. */
const MAX_PAGES = 20;
/** How long after its call, or how much before by another clock, the history may date what was spoken. */
const HISTORY_WINDOW_SECONDS = 900;

/** The voices, spoken texts and transcripts of an ElevenLabs account. */
export function createElevenLabsInventory(
  access: ElevenLabsAccess,
): ProviderInventory {
  const drop = async (path: string, signal: AbortSignal) => {
    const response = await requestElevenLabs(
      access,
      { method: "DELETE", path },
      signal,
    );
    await response.body?.cancel();
  };

  async function voices(
    query: Readonly<Record<string, string>>,
    cursor: string | null,
    signal: AbortSignal,
  ) {
    const response = await requestElevenLabs(access, {
      method: "GET",
      path: "/v2/voices",
      query: {
        ...query,
        voice_type: "personal",
        page_size: "100",
        ...(cursor === null ? {} : { next_page_token: cursor }),
      },
    }, signal);
    const page = await readElevenLabsJson(response, voicesPage);
    return {
      voices: page.voices,
      next: (page.has_more && page.next_page_token) || null,
    };
  }

  async function has(voiceId: string, signal: AbortSignal): Promise<boolean> {
    try {
      const response = await requestElevenLabs(
        access,
        { method: "GET", path: `/v1/voices/${encodeURIComponent(voiceId)}` },
        signal,
      );
      await response.body?.cancel();
      return true;
    } catch (error) {
      if (isGone(error)) return false;
      throw error;
    }
  }

  async function removeVoice(
    voiceId: string,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await drop(`/v1/voices/${encodeURIComponent(voiceId)}`, signal);
    } catch (error) {
      // The reference has every failure of a deletion as 500; only a look tells whether it is gone.
      if (isGone(error) || !await has(voiceId, signal)) return;
      throw error;
    }
  }

  /** What was spoken is journalled by the id of its request; it is removed by its id in the history. */
  async function removeSpeech(
    { id, madeAt }: RemovableObject,
    signal: AbortSignal,
  ): Promise<void> {
    const madeAtUnix = madeAt === null ? null : madeAt.getTime() / 1000;
    let after: string | undefined;
    for (let page = 0; page < MAX_PAGES; page++) {
      const response = await requestElevenLabs(access, {
        method: "GET",
        path: "/v1/history",
        query: {
          source: "TTS",
          sort_direction: "desc",
          page_size: "100",
          ...(madeAtUnix === null ? {} : {
            date_after_unix: `${
              Math.floor(madeAtUnix - HISTORY_WINDOW_SECONDS)
            }`,
            date_before_unix: `${
              Math.ceil(madeAtUnix + HISTORY_WINDOW_SECONDS)
            }`,
          }),
          ...(after === undefined
            ? {}
            : { start_after_history_item_id: after }),
        },
      }, signal);
      const answer = await readElevenLabsJson(response, historyPageSchema);
      const item = answer.history.find((one) =>
        one.request_id === id || one.history_item_id === id
      );
      if (item !== undefined) {
        return await drop(
          `/v1/history/${encodeURIComponent(item.history_item_id)}`,
          signal,
        );
      }
      const last = answer.last_history_item_id ??
        answer.history.at(-1)?.history_item_id;
      if (!answer.has_more || last === undefined || last === after) return;
      after = last;
    }
    throw ProviderFailure.unknown("provider_answer_invalid");
  }

  return {
    provider: "elevenlabs",
    has,

    async list(cursor, signal) {
      const page = await voices({}, cursor, signal);
      return {
        objects: page.voices.map(({ voice_id, description }) => ({
          id: voice_id,
          type: "voice",
          jobId: MARKED_VOICE.exec(description ?? "")?.[1] ?? null,
        })),
        next: page.next,
      };
    },

    async find(objectType, marker, signal) {
      // Neither the history nor the transcripts can be asked for a marker.
      if (kindOf(objectType) !== "voice") {
        throw ProviderFailure.rejected("outcome_unknown");
      }
      let cursor: string | null = null;
      for (let page = 0; page < MAX_PAGES; page++) {
        const found: Awaited<ReturnType<typeof voices>> = await voices(
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
    },

    async remove(object, signal) {
      switch (kindOf(object.objectType)) {
        case "voice":
          return await removeVoice(object.id, signal);
        case "speech":
          return await ignoreGone(removeSpeech(object, signal));
        case "transcript":
          return await ignoreGone(
            drop(
              `/v1/speech-to-text/transcripts/${encodeURIComponent(object.id)}`,
              signal,
            ),
          );
      }
    },
  };
}

function kindOf(objectType: string): "voice" | "speech" | "transcript" {
  if (objectType.startsWith("text_to_speech")) return "speech";
  return objectType.startsWith("transcribe") ? "transcript" : "voice";
}

/** Whether the provider says that there is no such thing: 404, or 400 with a code that says so. */
function isGone(error: unknown): boolean {
  if (!(error instanceof ProviderFailure)) return false;
  const { httpStatus, cause } = error;
  if (httpStatus === 404) return true;
  const detail = refusal.safeParse(cause).data?.body.detail;
  return httpStatus === 400 &&
    [detail?.code, detail?.status].some((code) =>
      code?.endsWith("_not_found") ?? false
    );
}

async function ignoreGone(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}
