/**
 * The operator's API: the bodies that `ops` accepts, one for each action, and its responses. Money is in millionths of
 * a US dollar (`…_micros`), times are ISO 8601 with an offset, durations say their unit.
 */
import { z } from "zod";
import { jobStatusSchema, spendSchema, userIdSchema } from "./jobs.ts";

const timestamp = z.string().min(1);
const count = z.number().int().min(0);
const micros = z.number().int();
const jobType = z.string().regex(
  /^[a-z][a-z0-9_]{1,62}$/,
  "must be a job type",
);
const provider = z.string().regex(
  /^[a-z][a-z0-9-]{1,40}$/,
  "must be a provider",
);
const errorCode = z.string().regex(
  /^[a-z][a-z0-9_]{1,62}$/,
  "must be an error code",
);
const cursor = z.string().max(300).optional().describe(
  "The `next_cursor` of the previous page.",
);
const limit = z.number().int().min(1).max(100).default(50);
const budget = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).nullable()
  .describe("Null: no limit; for a user: the default.");

/** Ranges of the charts and of the failures by code. */
const OPS_RANGES = ["1h", "24h", "7d"] as const;
const range = z.enum(OPS_RANGES).default("1h");

/** Which failed jobs to run again. An omitted member matches everything. */
const redriveFilterSchema = z.strictObject({
  job_type: jobType.optional(),
  provider: provider.optional(),
  error_code: errorCode.optional(),
  user_id: userIdSchema.optional(),
  failed_since: z.iso.datetime({ offset: true }).optional(),
});
export type RedriveFilter = z.infer<typeof redriveFilterSchema>;

const action = <
  const Name extends string,
  Shape extends Record<string, z.ZodType>,
>(
  name: Name,
  shape: Shape,
) => z.strictObject({ action: z.literal(name), ...shape });

const pauseTarget = {
  job_type: jobType.optional(),
  provider: provider.optional(),
  user_id: userIdSchema.optional(),
};
const namesOne = (target: Record<string, unknown>) =>
  ["job_type", "provider", "user_id"]
    .filter((name) => target[name] !== undefined).length === 1;
const ONE_TARGET = "name one of job_type, provider and user_id";

/** Body of `ops`: what to read or to do. */
export const opsRequestSchema = z.discriminatedUnion("action", [
  action("overview", {}),
  action("charts", { range }),
  action("failures", { range }),
  action("providers", {}),
  action("parked", { limit }),
  action("budgets", { limit, cursor }),
  action("search", {
    job_id: z.uuid().optional(),
    user_id: userIdSchema.optional(),
    user_email: z.string().min(3).max(320).optional(),
    job_type: jobType.optional(),
    provider: provider.optional(),
    status: jobStatusSchema.optional(),
    error_code: errorCode.optional(),
    limit,
    cursor,
  }),
  action("job", { job_id: z.uuid() }),
  action("payload", { job_id: z.uuid() }),
  action("actions", { limit, cursor }),
  action("preview_redrive", { filter: redriveFilterSchema }),
  action("redrive", {
    filter: redriveFilterSchema,
    expected_count: count.describe(
      "`count` of preview_redrive; if it has changed since, nothing is retried (redrive_count_changed).",
    ),
  }),
  action("pause", pauseTarget).refine(namesOne, ONE_TARGET),
  action("resume", pauseTarget).refine(namesOne, ONE_TARGET),
  action("probe", { provider }),
  action("resolve", {
    job_id: z.uuid(),
    call_id: z.uuid().optional().describe(
      "The call that the answer is about, as `parked` lists it. Without it, the job's first call with an unknown outcome, which may no longer be the one that the operator saw.",
    ),
    was_made: z.boolean(),
    provider_object_id: z.string().min(1).max(255).optional(),
    is_unchecked: z.boolean().default(false).describe(
      "Records the answer even if the provider cannot be queried. An answer that it contradicts is refused in any case.",
    ),
  }).refine(
    ({ was_made, provider_object_id }) =>
      was_made === (provider_object_id !== undefined),
    {
      path: ["provider_object_id"],
      message: "is required when it was made, and must be absent when not",
    },
  ),
  action("take_back", { job_id: z.uuid() }),
  action("cancel", { job_id: z.uuid() }),
  action("retry", { job_id: z.uuid() }),
  action("set_budget", {
    user_id: userIdSchema.optional(),
    provider: provider.optional(),
    budget_micros: budget,
  }).refine(
    ({ user_id, provider }) => user_id === undefined || provider === undefined,
    "name a user, a provider, or neither for the default of all users",
  ),
]);
export type OpsRequest = z.infer<typeof opsRequestSchema>;
/** What `ops` can read and do. */
export type OpsAction = OpsRequest["action"];

const healthStatus = z.enum(["ok", "degraded", "failing"]);

const SCHEDULED =
  "Not due yet: a start time, a backoff or a snooze. At most 1000 of all providers together; further ones count as waiting.";

/** A check: ok while `observed` is at most `limit`. */
const healthCheckSchema = z.object({
  name: z.string(),
  status: healthStatus,
  observed: z.number(),
  limit: z.number(),
  unit: z.string(),
});

/** Response of `health` for an operator. Failing: jobs do not run. Degraded: needs attention. */
export const healthDetailsSchema = z.object({
  status: healthStatus,
  checked_at: timestamp,
  oldest_waiting_seconds: z.number().nullable(),
  queue: z.array(z.object({
    provider: z.string(),
    waiting: count,
    scheduled: count.describe(SCHEDULED),
    running: count,
  })),
  open_breakers: z.array(z.string()),
  failing_since: timestamp.nullable().describe(
    "Start of the current period in which more than a quarter of the jobs that ended within 15 minutes have failed, at most an hour ago; null outside such a period, or when fewer than ten jobs ended.",
  ),
  checks: z.array(healthCheckSchema),
});
export type HealthDetails = z.infer<typeof healthDetailsSchema>;

/** Response of `health` for every other caller. */
export const healthSchema = z.object({ status: healthStatus });

/** What the database counts for the overview. */
export const overviewCountsSchema = healthDetailsSchema.extend({
  waiting: count,
  scheduled: count,
  running: count,
  completed_last_hour: count,
  failed_last_hour: count.describe(
    "How often a job failed: one that is retried and fails again counts again.",
  ),
  spent_micros_last_hour: micros,
});

/** A number with a verdict. `words` is a sentence to show next to it. */
const judged = <Value extends z.ZodType>(value: Value) =>
  z.object({
    value,
    verdict: z.enum(["good", "attention", "bad"]),
    words: z.string(),
  });

const overviewResponseSchema = healthDetailsSchema.extend({
  words: z.string().describe("The state as one sentence."),
  waiting: judged(count),
  scheduled: count.describe(SCHEDULED),
  running: judged(count),
  oldest_waiting: judged(z.number().nullable().describe("Seconds.")),
  failed_last_hour: judged(count),
  stuck: judged(count),
  parked: judged(count),
  completed_last_hour: count,
  spent_micros_last_hour: micros,
});
export type OpsOverview = z.infer<typeof overviewResponseSchema>;

const durationsSchema = z.object({ count, p50_ms: count, p95_ms: count });

const chartsResponseSchema = z.object({
  range: z.enum(OPS_RANGES),
  step_seconds: z.number().int(),
  buckets: z.array(z.object({
    at: timestamp.describe(
      "Start of the bucket; the last one is still running.",
    ),
    created: count,
    completed: count,
    failed: count,
    cancelled: count,
    spent_micros: micros,
    pickup: durationsSchema.nullable().describe(
      "From when a job was due until it was claimed; null when none was.",
    ),
    run: z.array(durationsSchema.extend({ job_type: z.string() })).describe(
      "From first start until completion, by job type.",
    ),
  })).max(120),
});
export type OpsCharts = z.infer<typeof chartsResponseSchema>;

const failuresResponseSchema = z.object({
  range: z.enum(OPS_RANGES),
  failures: z.array(z.object({
    error_code: z.string(),
    job_type: z.string(),
    provider: z.string(),
    count,
    first_at: timestamp,
    last_at: timestamp,
    sample_job_id: z.uuid().nullable(),
    sample_message: z.string().nullable(),
  })),
});
export type OpsFailures = z.infer<typeof failuresResponseSchema>;

/** A provider as the database sees it. */
export const providerStandingSchema = z.object({
  provider: z.string(),
  state: z.enum(["working", "paused", "open", "probing"]).describe(
    "open: its breaker is open and its jobs wait; probing: one job at a time tries it.",
  ),
  paused_at: timestamp.nullable(),
  failures_in_a_row: count,
  last_error_code: z.string().nullable().describe(
    "The code of the last of these failures; null after a normal response.",
  ),
  breaker_threshold: count.nullable(),
  open_since: timestamp.nullable(),
  next_probe_at: timestamp.nullable(),
  failed_probes: count,
  max_concurrent: count,
  running: count,
  waiting: count,
  scheduled: count.describe(SCHEDULED),
  calls_last_hour: count,
  failed_calls_last_hour: count.describe(
    "Of these, the provider was at fault: no response, 5xx, too many requests.",
  ),
  spent_micros_last_hour: micros,
  spent_micros_last_day: micros,
  budget_micros: micros.nullable(),
  spent_micros_this_month: micros,
  reserved_micros: micros,
});

/** The providers as the database returns them. */
export const providerStandingsSchema = z.object({
  checked_at: timestamp,
  providers: z.array(providerStandingSchema),
});

const providersResponseSchema = z.object({
  checked_at: timestamp,
  providers: z.array(providerStandingSchema.extend({
    error_rate: z.number().min(0).max(1).nullable().describe(
      "failed_calls_last_hour / calls_last_hour; null without calls.",
    ),
  })),
});
export type OpsProviders = z.infer<typeof providersResponseSchema>;

/** A call with an unknown outcome, as the database lists it. */
export const parkedCallSchema = z.object({
  job_id: z.uuid(),
  user_id: userIdSchema,
  job_type: z.string(),
  provider: z.string(),
  status: z.enum(["failed", "cancelled"]),
  error_code: z.string().nullable(),
  error_message: z.string().nullable(),
  marker: z.string(),
  created_at: timestamp,
  parked_at: timestamp,
  call_id: z.uuid(),
  operation: z.string(),
  attempt: z.number().int(),
  call_error_code: z.string().nullable(),
  http_status: z.number().int().nullable(),
  estimated_cost_micros: micros,
  sent_at: timestamp,
  unknown_since: timestamp,
});

const parkedResponseSchema = z.object({
  jobs: z.array(z.object({
    job_id: z.uuid(),
    user_id: userIdSchema,
    job_type: z.string(),
    provider: z.string(),
    status: z.enum(["failed", "cancelled"]),
    error_message: z.string().nullable(),
    marker: z.string().describe("What to search for at the provider."),
    where: z.string().describe("Where the provider shows the marker."),
    created_at: timestamp,
    parked_at: timestamp,
    calls: z.array(z.object({
      call_id: z.uuid(),
      operation: z.string(),
      attempt: z.number().int(),
      error_code: z.string().nullable(),
      http_status: z.number().int().nullable(),
      estimated_cost_micros: micros,
      sent_at: timestamp,
      unknown_since: timestamp,
    })),
  })),
});
export type OpsParked = z.infer<typeof parkedResponseSchema>;

/** The call of a parked job that an answer resolves, as the database lists it. */
export const unknownCallSchema = z.object({
  call_id: z.uuid(),
  provider: z.string(),
  operation: z.string(),
  sent_at: timestamp,
  text: z.string().nullable(),
});

/** Budgets as the database lists them. */
export const budgetsSchema = z.object({
  month: z.string(),
  default_budget_micros: micros.nullable(),
  providers: z.array(z.object({
    provider: z.string(),
    budget_micros: micros.nullable(),
    spent_micros: micros,
    reserved_micros: micros,
    remaining_micros: micros.nullable(),
  })),
  users: z.array(z.object({
    user_id: userIdSchema,
    email: z.string().nullable(),
    budget_micros: micros.nullable(),
    spent_micros: micros,
    reserved_micros: micros,
    is_paused: z.boolean(),
  })),
});
const nextCursor = z.string().nullable().describe("Null on the last page.");
const budgetsResponseSchema = budgetsSchema.extend({ next_cursor: nextCursor });
export type OpsBudgets = z.infer<typeof budgetsResponseSchema>;

/** A job in a list, without its input and output. */
export const opsJobRowSchema = z.object({
  job_id: z.uuid(),
  user_id: userIdSchema,
  job_type: z.string(),
  provider: z.string(),
  status: jobStatusSchema,
  stage: z.string().nullable(),
  progress_percentage: count,
  attempt: count,
  max_attempts: count,
  error_code: z.string().nullable(),
  spend: spendSchema,
  cost_micros: micros,
  created_at: timestamp,
  started_at: timestamp.nullable(),
  completed_at: timestamp.nullable(),
  scheduled_at: timestamp,
  is_cancel_requested: z.boolean(),
});

const searchResponseSchema = z.object({
  jobs: z.array(opsJobRowSchema),
  next_cursor: nextCursor,
});
export type OpsSearch = z.infer<typeof searchResponseSchema>;

const jobResponseSchema = z.object({
  job: z.object({
    id: z.uuid(),
    user_id: userIdSchema,
    user_email: z.string().nullable(),
    job_type: z.string(),
    provider: z.string(),
    provider_job_id: z.string().nullable(),
    marker: z.string(),
    is_parked: z.boolean(),
    is_answer_revocable: z.boolean().describe(
      "An operator's answer can be taken back: action take_back.",
    ),
    status: jobStatusSchema,
    stage: z.string().nullable(),
    progress_percentage: count,
    attempt: count,
    max_attempts: count,
    priority: z.number().int(),
    error_code: z.string().nullable(),
    spend: spendSchema,
    billable_calls: count,
    cost_micros: micros,
    cached_from_job_id: z.uuid().nullable(),
    depends_on_job_id: z.uuid().nullable(),
    is_blocked: z.boolean(),
    cancel_requested_at: timestamp.nullable(),
    retry_requested_at: timestamp.nullable(),
    lease_expires_at: timestamp.nullable(),
    traceparent: z.string(),
    scheduled_at: timestamp,
    created_at: timestamp,
    started_at: timestamp.nullable(),
    completed_at: timestamp.nullable(),
    updated_at: timestamp,
  }),
  costs: z.object({
    cost_micros: micros,
    reserved_micros: micros,
    paid_calls: count,
  }),
  timeline: z.array(z.object({
    seq: count,
    event: z.string(),
    attempt: count,
    data: z.record(z.string(), z.unknown()),
    created_at: timestamp,
  })).describe("The last 500 events, oldest first."),
  journal: z.array(z.object({
    id: z.uuid(),
    provider: z.string(),
    operation: z.string(),
    attempt: count,
    outcome: z.enum([
      "sent",
      "unknown",
      "succeeded",
      "adopted",
      "rejected",
      "absent",
    ]),
    provider_object_id: z.string().nullable(),
    http_status: z.number().int().nullable(),
    error_code: z.string().nullable(),
    units: count,
    estimated_cost_micros: micros,
    cost_micros: micros.nullable(),
    sent_at: timestamp,
    unknown_since: timestamp.nullable(),
    repeated_at: timestamp.nullable().describe(
      "When the request was last sent once more, with the same key.",
    ),
    settled_at: timestamp.nullable(),
    discarded_at: timestamp.nullable(),
    answered_at: timestamp.nullable().describe(
      "When an operator recorded the outcome.",
    ),
    trace_id: z.string().nullable(),
  })).describe("The last 200 paid calls, oldest first."),
});
export type OpsJob = z.infer<typeof jobResponseSchema>;

const payloadResponseSchema = z.object({
  job_id: z.uuid(),
  input_url: z.string().nullable(),
  metadata: z.record(z.string(), z.unknown()),
  output_url: z.string().nullable(),
  result_data: z.record(z.string(), z.unknown()).nullable(),
  error_message: z.string().nullable(),
});
export type OpsPayload = z.infer<typeof payloadResponseSchema>;

/** An entry of the record of operator actions. */
export const operatorActionSchema = z.object({
  id: count,
  operator_id: z.uuid(),
  operator_email: z.string().nullable(),
  action: z.string(),
  details: z.record(z.string(), z.unknown()),
  created_at: timestamp,
});
const actionsResponseSchema = z.object({
  actions: z.array(operatorActionSchema),
  next_cursor: nextCursor,
});
export type OpsActions = z.infer<typeof actionsResponseSchema>;

const previewRedriveResponseSchema = z.object({
  count: count.describe("Jobs that would run again: expected_count."),
  user_count: count.describe("Number of users whose jobs these are."),
  price_micros: micros.describe(
    "Estimated cost of their calls, where such a call was sent before.",
  ),
  without_estimate: count.describe(
    "Jobs that will cost money, for which there is no estimate yet.",
  ),
  oldest_failed_at: timestamp.nullable(),
  newest_failed_at: timestamp.nullable(),
  left_out: z.object({
    spend_unknown: count.describe("Each needs a decision: action resolve."),
    dependency_failed: count.describe(
      "They are retried together with the job that they depend on.",
    ),
    tried_too_often: count,
  }),
});
export type OpsPreviewRedrive = z.infer<typeof previewRedriveResponseSchema>;

const redriveResponseSchema = z.object({
  retried: count,
  refused: count.describe(
    "Their owner's limits have no room for them, or they were deleted.",
  ),
  remaining: count.describe(
    "Jobs beyond the limit of one request: preview and redrive again.",
  ),
});
export type OpsRedrive = z.infer<typeof redriveResponseSchema>;

const pausedResponseSchema = z.object({ is_paused: z.boolean() });

const probeResponseSchema = z.object({
  is_probing: z.boolean().describe("False: its breaker is not open."),
});

/** The status of a job after an action. */
const opsJobStandingSchema = z.object({
  job_id: z.uuid(),
  status: jobStatusSchema,
  spend: spendSchema,
});
export type OpsJobStanding = z.infer<typeof opsJobStandingSchema>;

const budgetResponseSchema = z.object({ budget_micros: micros.nullable() });

/** The response of each action. */
export const OPS_RESPONSES = {
  overview: overviewResponseSchema,
  charts: chartsResponseSchema,
  failures: failuresResponseSchema,
  providers: providersResponseSchema,
  parked: parkedResponseSchema,
  budgets: budgetsResponseSchema,
  search: searchResponseSchema,
  job: jobResponseSchema,
  payload: payloadResponseSchema,
  actions: actionsResponseSchema,
  preview_redrive: previewRedriveResponseSchema,
  redrive: redriveResponseSchema,
  pause: pausedResponseSchema,
  resume: pausedResponseSchema,
  probe: probeResponseSchema,
  resolve: opsJobStandingSchema,
  take_back: opsJobStandingSchema,
  cancel: opsJobStandingSchema,
  retry: opsJobStandingSchema,
  set_budget: budgetResponseSchema,
} as const satisfies Record<OpsAction, z.ZodType>;

/** The response of an action, by its name. */
export type OpsResponse<Action extends OpsAction> = z.infer<
  typeof OPS_RESPONSES[Action]
>;
