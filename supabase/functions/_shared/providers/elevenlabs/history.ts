/** ElevenLabs: the history of an account's speeches. */
import { z } from "zod";
import { ProviderFailure } from "../../failures/provider-failure.ts";
import type { Wire } from "../wire.ts";

/** A page of the history: the members that are used here. */
export const historyPageSchema = z.object({
  history: z.array(z.object({
    history_item_id: z.string().min(1),
    request_id: z.string().min(1).nullish(),
    voice_id: z.string().nullish(),
    model_id: z.string().nullish(),
    text: z.string().nullish(),
    date_unix: z.number(),
    settings: z.record(z.string(), z.unknown()).nullish(),
  })),
  has_more: z.boolean(),
  last_history_item_id: z.string().nullish(),
});
/** A speech in the history. */
export type HistoryItem = z.infer<typeof historyPageSchema>["history"][number];

/**
 * The speeches that match `query`, newest first, read page by page as they are consumed.
 *
 * @throws {ProviderFailure} as {@link Wire.json}; `provider_answer_invalid` (unknown) after `maxPages` of 100 items.
 */
export async function* readHistory(
  wire: Wire,
  query: Readonly<Record<string, string>>,
  maxPages: number,
  signal: AbortSignal,
): AsyncGenerator<HistoryItem, void, undefined> {
  let after: string | undefined;
  for (let page = 0; page < maxPages; page++) {
    const answer = await wire.json(
      {
        method: "GET",
        path: "/v1/history",
        query: {
          ...query,
          source: "TTS",
          sort_direction: "desc",
          page_size: "100",
          ...(after === undefined
            ? {}
            : { start_after_history_item_id: after }),
        },
      },
      historyPageSchema,
      signal,
    );
    yield* answer.history;
    const last = answer.last_history_item_id ??
      answer.history.at(-1)?.history_item_id;
    if (!answer.has_more || last === undefined || last === after) return;
    after = last;
  }
  throw ProviderFailure.unknown("provider_answer_invalid");
}

/** Whether the item has this id: a speech is journalled by its request's id, or else by the item's. */
export function hasId(item: HistoryItem, id: string): boolean {
  return item.request_id === id || item.history_item_id === id;
}
