/** The fixture's jobs and what belongs to them. */
import {
  FAR_AHEAD,
  type FixtureTools,
  hex64,
  idOf,
  keptObject,
  LAST_YEAR,
  LATER,
  type RelationFixture,
  TOMORROW,
  type Values,
} from "./fixture.ts";
import type { Owner } from "./people.ts";

/** Jobs in every state, with their timelines, calls, cached results and voices. */
export function jobRows(
  { ids, next, forEach, shared, namesOf }: FixtureTools,
): Record<string, RelationFixture> {
  const job = (owner: Owner, kind: string): Values => ({
    id: namesOf(owner)("ai_jobs", kind),
    user_id: ids[owner],
    job_type: "voice_clone",
    input_url: `voice-samples/${keptObject(ids[owner])}`,
    metadata: { voice_name: kind },
    provider: "elevenlabs",
    max_attempts: 5,
    idempotency_key: `the same for everyone: ${kind}`,
  });
  return {
    ai_job_types: {
      rows: shared("ai_job_types", [["disabled", {
        job_type: "switched_off",
        provider: "internal",
        other_providers: ["heygen"],
        is_enabled: false,
        input_buckets: ["uploads"],
        input_mime_types: ["image/png"],
        stock_voice_ids: ["21m00Tcm4TlvDq8ikWAM"],
        hooks: ["can_reuse"],
      }]]),
      fresh: () => ({ job_type: `type_${next()}`, provider: "internal" }),
    },
    ai_providers: {
      rows: shared("ai_providers", [["provider", {
        provider: "of-the-matrix",
        max_concurrent: 1,
      }]]),
      fresh: () => ({ provider: `provider-${next()}`, max_concurrent: 1 }),
    },
    ai_prices: {
      rows: shared("ai_prices", [["price", {
        job_type: "switched_off",
        provider: "of-the-matrix",
        unit: "second",
        per_units: 60,
        price_micros: 1000,
      }]]),
      fresh: () => ({
        job_type: "voice_clone",
        provider: "heygen",
        unit: "creation",
        per_units: 1,
        price_micros: 1,
      }),
    },
    ai_provider_spend: {
      rows: shared("ai_provider_spend", [["spend", {
        provider: "of-the-matrix",
        slot: 3,
        month: "2026-01-01",
        spent_micros: 1000,
      }]]),
      fresh: () => ({ provider: "heygen", slot: 4, month: "2026-01-01" }),
    },
    ai_limits: {
      rows: forEach("ai_limits", (owner, id) => ({
        limits: {
          id: namesOf(owner)("ai_limits", "limits"),
          user_id: id,
          max_active_jobs: 1000,
          budget_micros: owner === "A" ? 1_000_000 : 2_000_000,
        },
      })),
      fresh: (owner) => ({ user_id: ids[owner], max_active_jobs: 10 }),
      freshFor: ["vendor"],
    },
    ai_jobs: {
      rows: forEach("ai_jobs", (owner) => ({
        waiting: { ...job(owner, "waiting"), scheduled_at: TOMORROW },
        running: {
          ...job(owner, "running"),
          status: "processing",
          attempt: 1,
          lease_token: namesOf(owner)("leases", "running"),
          lease_expires_at: FAR_AHEAD,
          created_at: LAST_YEAR,
          scheduled_at: LAST_YEAR,
          started_at: LAST_YEAR,
        },
        finished: {
          ...job(owner, "finished"),
          status: "completed",
          progress_percentage: 100,
          attempt: 1,
          input_hash: hex64(`input of ${owner}`),
          output_url: `outputs/${keptObject(ids[owner])}`,
          result_data: {
            voice_id: namesOf(owner)("voices", "voice"),
            provider_voice_id: `voice_${owner}`,
            voice_name: "A voice",
          },
          created_at: LAST_YEAR,
          scheduled_at: LAST_YEAR,
          started_at: LAST_YEAR,
          completed_at: LATER,
          cached_from_job_id: namesOf(owner)("ai_jobs", "running"),
          depends_on_job_id: namesOf(owner)("ai_jobs", "running"),
        },
      })),
      fresh: (owner) => {
        const name = `job ${next()}`;
        return {
          id: idOf(`ai_jobs/${name}`),
          user_id: ids[owner],
          job_type: "voice_clone",
          input_url: `voice-samples/${keptObject(ids[owner])}`,
          metadata: { voice_name: name },
          idempotency_key: name,
          scheduled_at: TOMORROW,
          cached_from_job_id: namesOf(owner)("ai_jobs", "finished"),
          depends_on_job_id: namesOf(owner)("ai_jobs", "finished"),
          traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`,
        };
      },
      change: () => ({ cancel_requested_at: LATER, retry_requested_at: LATER }),
    },
    ai_job_checkpoints: {
      rows: forEach("ai_job_checkpoints", (owner) => ({
        checkpoint: {
          job_id: namesOf(owner)("ai_jobs", "running"),
          data: { part: 1 },
        },
      })),
      fresh: (owner) => ({
        job_id: namesOf(owner)("ai_jobs", "waiting"),
        data: {},
      }),
    },
    ai_job_events: {
      rows: forEach("ai_job_events", (owner, id) => ({
        event: {
          job_id: namesOf(owner)("ai_jobs", "finished"),
          seq: 1,
          user_id: id,
          event: "created",
          attempt: 0,
          data: { job_type: "voice_clone" },
        },
      })),
      fresh: (owner) => ({
        job_id: namesOf(owner)("ai_jobs", "waiting"),
        seq: Number(next()),
        user_id: ids[owner],
        event: "claimed",
        attempt: 1,
      }),
    },
    ai_provider_calls: {
      rows: forEach("ai_provider_calls", (owner, id) => ({
        call: {
          id: namesOf(owner)("ai_provider_calls", "call"),
          job_id: namesOf(owner)("ai_jobs", "running"),
          user_id: id,
          provider: "elevenlabs",
          operation: "create_voice",
          attempt: 1,
          outcome: "sent",
          provider_object_id: `object_${owner}`,
        },
      })),
      fresh: (owner) => ({
        id: idOf(`ai_provider_calls/${next()}`),
        job_id: namesOf(owner)("ai_jobs", "waiting"),
        user_id: ids[owner],
        provider: "elevenlabs",
        operation: "create_voice",
        attempt: 1,
      }),
    },
    ai_result_cache: {
      rows: forEach("ai_result_cache", (owner, id) => ({
        entry: {
          cache_key: `ai_job:${hex64(`entry of ${owner}`)}`,
          user_id: id,
          value: { job_id: namesOf(owner)("ai_jobs", "finished") },
          expires_at: FAR_AHEAD,
        },
      })),
      fresh: (owner) => ({
        cache_key: `ai_job:${hex64(`entry ${next()}`)}`,
        user_id: ids[owner],
        value: {},
        expires_at: FAR_AHEAD,
      }),
    },
    voices: {
      rows: forEach("voices", (owner, id) => ({
        voice: {
          id: namesOf(owner)("voices", "voice"),
          user_id: id,
          job_id: namesOf(owner)("ai_jobs", "finished"),
          provider: "elevenlabs",
          provider_voice_id: `voice_${owner}`,
          name: `${owner}'s voice`,
          stability: 0.5,
          similarity_boost: 0.75,
          sample_url: `voice-samples/${keptObject(id)}`,
        },
      })),
      fresh: (owner) => ({
        id: idOf(`voices/${next()}`),
        user_id: ids[owner],
        job_id: namesOf(owner)("ai_jobs", "waiting"),
        provider: "elevenlabs",
        provider_voice_id: `voice_${next()}`,
        name: "Another voice",
        stability: 0.5,
        similarity_boost: 0.5,
      }),
    },
  };
}
