/** ElevenLabs: our objects in its account, for the janitor and for operators. */
import { ProviderFailure } from "../../failures/provider-failure.ts";
import {
  type ProviderInventory,
  type RemovableObject,
  unlessGone,
} from "../inventory.ts";
import type { ProviderAccess, Wire } from "../wire.ts";
import { createElevenLabsWire } from "./client.ts";
import { hasId, type HistoryItem, readHistory } from "./history.ts";
import {
  findVoice,
  hasVoice,
  jobOfVoice,
  listVoices,
  removeVoice,
} from "./voice-list.ts";

/** Pages of the history to read for one item, in each window. */
const MAX_PAGES = 100;
/**
 * When the history may date a speech, in seconds since its call was sent: during the call, or earlier or later by another
 * clock. The likely time is read first, so that a busy account has few speeches to read through.
 */
const HISTORY_WINDOWS = [[-15, 60], [60, 300], [300, 900], [-300, -15], [
  -900,
  -300,
]] as const;

/** The voices, speeches and transcripts of an ElevenLabs account. */
export function createElevenLabsInventory(
  access: ProviderAccess,
): ProviderInventory {
  const wire = createElevenLabsWire(access);
  return {
    provider: "elevenlabs",
    has: (id, signal) => hasVoice(wire, id, signal),
    list: (cursor, signal) => listVoices(wire, cursor, signal),

    async inspect(object, signal) {
      const { id } = object;
      switch (kindOf(object.objectType)) {
        case "voice":
          return await unlessGone(async () => ({
            id,
            jobId: await jobOfVoice(wire, id, signal),
          }));
        case "speech": {
          const item = await findHistoryItem(wire, object, signal);
          return item && {
            id: item.request_id ?? item.history_item_id,
            jobId: undefined,
            text: item.text ?? undefined,
          };
        }
        case "transcript":
          return await wire.has(transcriptPath(id), signal)
            ? { id, jobId: undefined }
            : null;
      }
    },

    async find(objectType, marker, signal) {
      // Neither the history nor the transcripts can be searched for a marker.
      if (kindOf(objectType) !== "voice") {
        throw ProviderFailure.rejected("outcome_unknown");
      }
      return await findVoice(wire, marker, signal);
    },

    async remove(object, signal) {
      switch (kindOf(object.objectType)) {
        case "voice":
          return await removeVoice(wire, object.id, signal);
        case "speech":
          return await removeSpeech(wire, object, signal);
        case "transcript":
          return await wire.remove(transcriptPath(object.id), signal);
      }
    },
  };
}

/** A speech is journalled by the id of its request, and removed by its id in the history. */
async function removeSpeech(
  wire: Wire,
  object: RemovableObject,
  signal: AbortSignal,
): Promise<void> {
  const item = await unlessGone(() => findHistoryItem(wire, object, signal));
  if (item !== null) {
    await wire.remove(
      `/v1/history/${encodeURIComponent(item.history_item_id)}`,
      signal,
    );
  }
}

async function findHistoryItem(
  wire: Wire,
  { id, madeAt }: RemovableObject,
  signal: AbortSignal,
): Promise<HistoryItem | null> {
  const queries = madeAt === null
    ? [{}]
    : HISTORY_WINDOWS.map(([after, before]) => ({
      date_after_unix: `${Math.floor(madeAt.getTime() / 1000 + after)}`,
      date_before_unix: `${Math.ceil(madeAt.getTime() / 1000 + before)}`,
    }));
  for (const query of queries) {
    for await (const item of readHistory(wire, query, MAX_PAGES, signal)) {
      if (hasId(item, id)) return item;
    }
  }
  return null;
}

function transcriptPath(id: string): string {
  return `/v1/speech-to-text/transcripts/${encodeURIComponent(id)}`;
}

function kindOf(objectType: string): "voice" | "speech" | "transcript" {
  if (objectType.startsWith("text_to_speech")) return "speech";
  return objectType.startsWith("transcribe") ? "transcript" : "voice";
}
