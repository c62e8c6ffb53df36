/**
 * The responses of the function `ops`, as types. A test compares them with its contracts, which need zod and are not
 * part of the page.
 */
import type { JobStatus } from "../../client/mod.ts";

/** Ranges of the charts and of the failures. */
export type Range = "1h" | "24h" | "7d";

/** A number and its meaning. */
export interface Judged<Value> {
  value: Value;
  verdict: "good" | "attention" | "bad";
  words: string;
}

/** The numbers at the top. */
export interface Overview {
  status: "ok" | "degraded" | "failing";
  checked_at: string;
  words: string;
  waiting: Judged<number>;
  scheduled: number;
  running: Judged<number>;
  /** Seconds. */
  oldest_waiting: Judged<number | null>;
  failed_last_hour: Judged<number>;
  stuck: Judged<number>;
  parked: Judged<number>;
  completed_last_hour: number;
  spent_micros_last_hour: number;
  open_breakers: string[];
  checks: {
    name: string;
    status: "ok" | "degraded" | "failing";
    observed: number;
    limit: number;
    unit: string;
  }[];
}

/** Median and 95th percentile. */
export interface Durations {
  count: number;
  p50_ms: number;
  p95_ms: number;
}

/** A stretch of a chart. */
export interface Bucket {
  at: string;
  completed: number;
  failed: number;
  cancelled: number;
  pickup: Durations | null;
  run: (Durations & { job_type: string })[];
}

/** Failures with the same code, type and provider. */
export interface FailureGroup {
  error_code: string;
  job_type: string;
  provider: string;
  count: number;
  first_at: string;
  last_at: string;
  sample_job_id: string | null;
  sample_message: string | null;
}

/** A provider. */
export interface Provider {
  provider: string;
  state: "working" | "paused" | "open" | "probing";
  paused_at: string | null;
  open_since: string | null;
  next_probe_at: string | null;
  failures_in_a_row: number;
  breaker_threshold: number | null;
  last_error_code?: string | null;
  failed_probes: number;
  max_concurrent: number;
  running: number;
  waiting: number;
  scheduled: number;
  calls_last_hour: number;
  error_rate: number | null;
  spent_micros_last_hour: number;
  spent_micros_last_day: number;
  budget_micros: number | null;
  spent_micros_this_month: number;
}

/** A job with a paid call of unknown outcome. */
export interface ParkedJob {
  job_id: string;
  user_id: string;
  job_type: string;
  provider: string;
  marker: string;
  error_message: string | null;
  parked_at: string;
  calls: {
    call_id: string;
    operation: string;
    http_status: number | null;
    estimated_cost_micros: number;
    sent_at: string;
    unknown_since: string;
  }[];
}

/** What a user or provider may spend this month, and has spent. */
export interface Budgets {
  month: string;
  default_budget_micros: number | null;
  providers: {
    provider: string;
    budget_micros: number | null;
    spent_micros: number;
    reserved_micros: number;
  }[];
  users: {
    user_id: string;
    email: string | null;
    budget_micros: number | null;
    spent_micros: number;
    reserved_micros: number;
    is_paused: boolean;
  }[];
  next_cursor: string | null;
}

/** A job in a list. */
export interface JobRow {
  job_id: string;
  user_id: string;
  job_type: string;
  provider: string;
  status: JobStatus;
  stage: string | null;
  attempt: number;
  error_code: string | null;
  cost_micros: number;
  created_at: string;
}

/** A job with everything except its content. */
export interface JobDetails {
  job: {
    id: string;
    user_id: string;
    user_email: string | null;
    job_type: string;
    provider: string;
    provider_job_id: string | null;
    marker: string;
    is_parked: boolean;
    is_answer_revocable: boolean;
    status: JobStatus;
    stage: string | null;
    progress_percentage: number;
    attempt: number;
    max_attempts: number;
    error_code: string | null;
    depends_on_job_id: string | null;
    cancel_requested_at: string | null;
    created_at: string;
    started_at: string | null;
    completed_at: string | null;
    scheduled_at: string;
  };
  costs: { cost_micros: number; reserved_micros: number; paid_calls: number };
  timeline: {
    seq: number;
    event: string;
    attempt: number;
    data: Record<string, unknown>;
    created_at: string;
  }[];
  journal: {
    id: string;
    operation: string;
    attempt: number;
    outcome: string;
    provider_object_id: string | null;
    http_status: number | null;
    error_code: string | null;
    estimated_cost_micros: number;
    cost_micros: number | null;
    sent_at: string;
  }[];
}

/** The effect of a redrive. */
export interface RedrivePreview {
  count: number;
  user_count: number;
  price_micros: number;
  without_estimate: number;
  left_out: {
    spend_unknown: number;
    dependency_failed: number;
    tried_too_often: number;
  };
}

/** The response of each action that the page sends. */
export interface OpsResponses {
  overview: Overview;
  charts: { buckets: Bucket[] };
  failures: { failures: FailureGroup[] };
  providers: { checked_at: string; providers: Provider[] };
  parked: { jobs: ParkedJob[] };
  budgets: Budgets;
  search: { jobs: JobRow[]; next_cursor: string | null };
  job: JobDetails;
  payload: Record<string, unknown>;
  actions: {
    actions: {
      id: number;
      operator_id: string;
      operator_email: string | null;
      action: string;
      details: Record<string, unknown>;
      created_at: string;
    }[];
    next_cursor: string | null;
  };
  preview_redrive: RedrivePreview;
  redrive: { retried: number; refused: number; remaining: number };
  pause: { is_paused: boolean };
  resume: { is_paused: boolean };
  probe: { is_probing: boolean };
  resolve: { status: JobStatus };
  take_back: { status: JobStatus };
  cancel: { status: JobStatus };
  retry: { status: JobStatus };
  set_budget: { budget_micros: number | null };
}
