/** The account at the simulated ElevenLabs, and its subscription. */
import { z } from "zod";
import type { Clock } from "../provider.ts";
import { webhookSettings } from "../webhooks.ts";

/** The settings of the control API. */
export const accountSchema = z.strictObject({
  /** The format of error bodies, unless a fault rule sets one. */
  error_shape: z.enum(["old", "new"]),
  /** Delay until a new voice is in `GET /v2/voices`; `GET /v1/voices/{id}` has it immediately. */
  search_lag_ms: z.int().min(0),
  /** Delay until a generation is in the history. */
  history_lag_ms: z.int().min(0),
  /** False: the history is always empty (zero retention). */
  keeps_history: z.boolean(),
  voice_limit: z.int().min(0),
  /** Null for no monthly limit. */
  max_voice_add_edits: z.int().min(0).nullable(),
  can_use_instant_voice_cloning: z.boolean(),
  character_limit: z.int().min(0),
  /** Duration of a transcription requested with `webhook=true`, in milliseconds. */
  transcript_ms: z.int().min(0).max(86_400_000),
  /** Whether the response to a submission has the id of its transcript; the provider's own types make it optional. */
  returns_transcript_id: z.boolean(),
  /** The workspace's webhook URL and signing secret; null when no webhook is configured. */
  webhook_endpoint: z.strictObject({ url: z.url(), secret: z.string() })
    .nullable(),
  ...webhookSettings,
});

/** Settings of the account and of the service's behaviour. */
export type Account = z.output<typeof accountSchema>;

/** High enough that no test reaches a limit by accident. */
export const DEFAULT_ACCOUNT: Account = {
  error_shape: "new",
  search_lag_ms: 0,
  history_lag_ms: 0,
  keeps_history: true,
  voice_limit: 660,
  max_voice_add_edits: null,
  can_use_instant_voice_cloning: true,
  character_limit: 100_000_000,
  transcript_ms: 800,
  returns_transcript_id: true,
  webhook_endpoint: null,
  webhooks: "once",
  webhook_delay_ms: 0,
};

/** The body of `GET /v1/user/subscription`. */
export function subscriptionBody(
  account: Account,
  used: { voiceSlots: number; addEdits: number; characters: number },
  clock: Clock,
): unknown {
  return {
    tier: "business",
    character_count: used.characters,
    character_limit: account.character_limit,
    can_extend_character_limit: false,
    allowed_to_extend_character_limit: false,
    next_character_count_reset_unix: Math.floor(clock.now() / 1000) +
      30 * 86_400,
    voice_slots_used: used.voiceSlots,
    professional_voice_slots_used: 0,
    voice_limit: account.voice_limit,
    max_voice_add_edits: account.max_voice_add_edits,
    voice_add_edit_counter: used.addEdits,
    professional_voice_limit: 1,
    can_extend_voice_limit: false,
    can_use_instant_voice_cloning: account.can_use_instant_voice_cloning,
    can_use_professional_voice_cloning: false,
    currency: "usd",
    status: "active",
    billing_period: "monthly_period",
    character_refresh_period: "monthly_period",
    next_invoice: null,
    has_open_invoices: false,
  };
}
