/** Attempts to call every function with the data of another user: ids, a valid lease, keys. */
import { type Attempt, refusalOf, rest } from "./attempt.ts";
import { type ApiFunction, relationNamed } from "./catalogue.ts";
import type { Json, Row, Values } from "./fixture.ts";
import { keptObject } from "./fixture.ts";
import { type Actor, ACTORS } from "./people.ts";
import type { Stage } from "./stage.ts";

/** B's row of a kind. */
export function foreignRow(stage: Stage, relation: string, kind: string): Row {
  return rowOf(stage, "B", relation, kind);
}

/** The first row of an owner and kind. */
export function rowOf(
  stage: Stage,
  owner: "A" | "B",
  relation: string,
  kind: string,
): Row {
  const found = stage.fixture[relation]?.rows.find((row) =>
    row.owner === owner && row.kind === kind
  );
  if (found === undefined) {
    throw new Error(`fixture.ts has no ${kind} of ${owner} in ${relation}`);
  }
  return found;
}

/** A row of `ai_jobs` in which only the id, the first column, is set, in the syntax of a Postgres record. */
export function jobRecord({ catalogue }: Stage, id: string): string {
  const { columns } = relationNamed(catalogue, "ai_jobs");
  return `(${id}${",".repeat(columns.length - 1)})`;
}

let messages = 0;

/** B's running job with its lease, as a worker names it. */
function leaseOfB(stage: Stage): { job_id: Json; lease_token: Json } {
  return {
    job_id: value(stage, "ai_jobs", "running", "id") ?? null,
    lease_token: value(stage, "ai_jobs", "running", "lease_token") ?? null,
  };
}

/** A value for each parameter by its name; one of B's where it can name one. */
const ARGUMENTS: Record<string, (stage: Stage) => Json | undefined> = {
  p_beats: (stage) => [{ ...leaseOfB(stage), progress: 50 }],
  // As begin_provider_calls and settle_provider_calls accept them.
  p_calls: (stage) => [{
    ...leaseOfB(stage),
    call_id: value(stage, "ai_provider_calls", "call", "id") ?? null,
    operation: "create_voice",
    outcome: "unknown",
    units: 1000,
    progress: 50,
  }],
  p_jobs: (
    stage,
  ) => [{ ...leaseOfB(stage), output_url: null, result_data: {} }],
  p_data: () => ({}),
  p_event_ids: () => [],
  p_upload_id: () => "an-upload",
  p_upload_ids: () => ["an-upload"],
  p_worker: () => "process-ai-job",
  p_failed_since: () => "2001-01-01T00:00:00Z",
  p_ended_before: () => new Date().toISOString(),
  // B is not an operator: the console's functions refuse them.
  p_operator_id: (stage) => stage.people.ids.B,
  p_range: () => "1h",
  p_expected_count: () => 0,
  p_status: () => null,
  p_user_email: () => null,
  p_after_spent_micros: () => null,
  p_after_user_id: () => null,
  p_before_created_at: () => null,
  p_before_id: () => null,
  p_is_paused: () => true,
  p_provider: () => null,
  p_was_made: () => true,
  p_is_unchecked: () => true,
  p_cache_key: (stage) => value(stage, "ai_result_cache", "entry", "cache_key"),
  p_cached_from_job_id: (stage) => value(stage, "ai_jobs", "finished", "id"),
  p_depends_on_job_id: (stage) => value(stage, "ai_jobs", "finished", "id"),
  p_idempotency_key: () => "a-key-of-the-matrix",
  p_is_cache_searched: () => true,
  p_traceparent: () => null,
  p_call_id: (stage) => value(stage, "ai_provider_calls", "call", "id"),
  p_delay_seconds: () => 1,
  p_making_seconds: () => 0,
  p_poll_id: () => crypto.randomUUID(),
  p_is_last: () => true,
  p_error_code: () => "provider_unavailable",
  p_error_message: () => "a message",
  p_http_status: () => 200,
  p_budget_micros: () => 1000,
  p_input_url: (stage) => `voice-samples/${keptObject(stage.people.ids.B)}`,
  p_input_version: () => "2026-01-01",
  p_is_retryable: () => true,
  p_item_ids: (stage) => [
    value(stage, "slideshow_items", "in a private one", "id") ?? null,
  ],
  p_job: (stage) =>
    jobRecord(stage, `${value(stage, "ai_jobs", "waiting", "id")}`),
  p_job_id: (stage) => value(stage, "ai_jobs", "running", "id"),
  p_job_ids: (stage) => [value(stage, "ai_jobs", "waiting", "id") ?? null],
  p_job_type: () => "voice_clone",
  p_id: () => 1,
  p_ids: () => [1],
  p_lease_seconds: () => 120,
  p_missing: () => [],
  p_next_cursor: () => "the_next_page",
  p_objects: () => [],
  p_present: () => [],
  p_providers: () => ["elevenlabs", "d-id", "heygen"],
  p_lease_token: (stage) => value(stage, "ai_jobs", "running", "lease_token"),
  p_limit: () => 5,
  p_message_id: () => `msg_matrix_${++messages}`,
  p_metadata: () => ({}),
  p_operation: () => "create_voice",
  p_submission_id: () => "a_submission",
  p_outcome: () => "unknown",
  p_output_url: () => null,
  p_progress: () => 50,
  p_provider_job_id: () => "an_object",
  p_provider_object_id: () => "an_object",
  p_result_data: () => ({}),
  p_retry_after_seconds: () => 1,
  p_sent_at_unix: () => Date.now() / 1000,
  p_share_token: (stage) =>
    value(stage, "slideshows", "published", "share_token"),
  p_slideshow_id: (stage) => value(stage, "slideshows", "private", "id"),
  p_source_job_id: (stage) => value(stage, "ai_jobs", "finished", "id"),
  p_stage: () => "a stage",
  p_tolerance_seconds: () => 300,
  p_ttl_seconds: () => 60,
  p_units: () => 1000,
  p_user_id: (stage) => stage.people.ids.B,
  p_value: () => ({}),
  p_product: () => ({
    kind: "voice",
    id: crypto.randomUUID(),
    provider_voice_id: "voice_of_the_matrix",
    name: "A voice",
    stability: 0.5,
    similarity_boost: 0.5,
  }),
};

function value(
  stage: Stage,
  relation: string,
  kind: string,
  column: string,
): Json | undefined {
  return foreignRow(stage, relation, kind).values[column];
}

/** Parameters of the API's functions for which there is no value yet. */
export function unknownParameters(functions: ApiFunction[]): string[] {
  return functions.flatMap(({ name, parameters }) =>
    parameters.filter((parameter) => ARGUMENTS[parameter] === undefined).map((
      parameter,
    ) => `${name}(${parameter})`)
  );
}

function argumentsFor(stage: Stage, { parameters }: ApiFunction): Values {
  return Object.fromEntries(
    parameters.map((name) => [name, ARGUMENTS[name]?.(stage) ?? null]),
  );
}

/** Calls a function; the refusal, or the answer as JSON. */
export async function call(
  stage: Stage,
  actor: Actor,
  name: string,
  given: Values,
): Promise<string> {
  const answer = await rest(stage.apiUrl, actor, "POST", `rpc/${name}`, {
    body: given,
  });
  return refusalOf(answer) ?? JSON.stringify(answer.body);
}

/** Every function for every caller. Functions that users may call have separate cases, in cases.ts. */
export function functionAttempts(
  stage: Stage,
  given: ApiFunction,
): Attempt[] {
  const roles = stage.expected.functions[given.name]?.roles ?? [];
  return ACTORS.flatMap((name): Attempt[] => {
    const actor = stage.people.actors[name];
    const mayExecute = roles.some((role) => role === actor.role);
    if (mayExecute && actor.role !== "service_role") return [];
    return [{
      subjects: [`function ${given.name}`],
      actor: name,
      operation: "execute",
      what: "call it with B's data",
      expected: mayExecute
        ? stage.expected.functions[given.name]?.service ?? "executed"
        : actor.role === "none"
        ? "no key"
        : `may not execute ${given.name}`,
      mayChange: mayExecute,
      run: async () => {
        const outcome = await call(
          stage,
          actor,
          given.name,
          argumentsFor(stage, given),
        );
        const isRefused = /^(refused|may not|not granted|against|no key)/.test(
          outcome,
        );
        return isRefused ? outcome : "executed";
      },
      ...(mayExecute ? { judge: (outcome: string) => outcome } : {}),
    }];
  });
}
