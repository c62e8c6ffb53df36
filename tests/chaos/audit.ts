/**
 * The audit: rules that a project's database and the providers' ledgers must satisfy after any number of faults. It is a
 * pure function of facts, so that a test can violate each rule and expect a finding.
 */
import { z } from "zod";
import type { Sessions } from "../../dev/stack/extensions/sessions.ts";

const count = z.coerce.number().int();
const time = z.date();

const jobSchema = z.object({
  id: z.string(),
  user_id: z.string(),
  job_type: z.string(),
  provider: z.string(),
  status: z.string(),
  attempt: count,
  max_attempts: count,
  error_code: z.string().nullable(),
  spend: z.string(),
  billable_calls: count,
  provider_job_id: z.string().nullable(),
  cached_from_job_id: z.string().nullable(),
  depends_on_job_id: z.string().nullable(),
  output_url: z.string().nullable(),
  cancel_requested_at: time.nullable(),
  scheduled_at: time,
  lease_expires_at: time.nullable(),
  completed_at: time.nullable(),
  created_at: time,
  event_seq: count,
  last_event: z.string(),
});
const eventSchema = z.object({
  job_id: z.string(),
  seq: count,
  event: z.string(),
  created_at: time,
});
const callSchema = z.object({
  job_id: z.string(),
  operation: z.string(),
  outcome: z.string(),
  provider_object_id: z.string().nullable(),
});
const voiceSchema = z.object({
  job_id: z.string().nullable(),
  provider_voice_id: z.string(),
});
const productSchema = z.object({
  job_id: z.string().nullable(),
  kind: z.enum(["avatar", "pdf"]),
});
const providerSchema = z.object({
  provider: z.string(),
  max_concurrent: count,
});
const limitSchema = z.object({
  user_id: z.string().nullable(),
  max_concurrent_jobs: count.nullable(),
  active_jobs_at_most: count,
  jobs_that_day: count,
  is_counted_today: z.boolean(),
  is_paused: z.boolean(),
});
const typeSchema = z.object({
  job_type: z.string(),
  provider: z.string(),
  may_run: z.boolean(),
  lease_seconds: count,
});

/** One billable creation at a provider. */
export interface AuditedCreation {
  id: string;
  provider: string;
  operation: string;
  /** The marker: the job's id. */
  marker: string | null;
}

/** Number of running jobs of a user at a provider at one moment. */
export const sampleSchema = z.object({
  provider: z.string(),
  user_id: z.string(),
  running: count,
});
export type Sample = z.output<typeof sampleSchema>;

/** Everything that the audit examines. */
export interface Facts {
  /** By the database's clock. */
  now: Date;
  jobs: z.output<typeof jobSchema>[];
  events: z.output<typeof eventSchema>[];
  calls: z.output<typeof callSchema>[];
  voices: z.output<typeof voiceSchema>[];
  /** Rows of `avatars` and `pdfs`. */
  products: z.output<typeof productSchema>[];
  /** Objects in Storage, as `<bucket>/<path>`. */
  files: string[];
  providers: z.output<typeof providerSchema>[];
  limits: z.output<typeof limitSchema>[];
  types: z.output<typeof typeSchema>[];
  creations: AuditedCreation[];
  /** When the caps were last changed. */
  capsSince: Date;
  /** Samples since then. */
  samples: Sample[][];
}

/** A violated rule. */
export interface Finding {
  rule: AuditRule;
  /** The job, user or provider. */
  about: string;
  detail: string;
}

/** Each rule as a sentence. */
export const AUDIT_RULES = {
  unfinished: "every job is final, or waits for a recorded reason",
  overdue: "no lease is overdue by more than its own length and a sweep",
  attempts:
    "no job has more attempts than allowed, and none waits without one left",
  "billed twice": "at most one billable creation per job and step",
  "billed without a job": "every creation belongs to a job",
  spend: "spend on the row agrees with the ledger",
  parked: "a job with an unknown spend has failed as outcome_unknown",
  journal: "a call is in flight only while its job is processing",
  caps: "no provider and no user ever ran more jobs than its cap",
  limits: "every user's quota counts all of the user's jobs",
  events:
    "events are numbered without a gap, and the newest one matches the row",
  voices:
    "every completed voice clone has exactly one voice, and no other job has one",
  products:
    "every other completed job has exactly one file and row, and no other job has one",
} as const;
export type AuditRule = keyof typeof AUDIT_RULES;

/** Seconds between two sweeps, as scheduled by the migrations. */
const SWEEP_SECONDS = 2;
/** Allowance for a busy machine. */
const SLACK_SECONDS = 60;

/** Reads the facts from a database in one snapshot. The role of `database` must be allowed to read every row. */
export async function readFacts(
  database: Sessions,
  seen: Pick<Facts, "creations" | "capsSince" | "samples">,
): Promise<Facts> {
  return await database.transaction(async (session) => {
    await session.query("set transaction isolation level repeatable read");
    const read = async <T>(schema: z.ZodType<T>, text: string) =>
      z.array(schema).parse((await session.query(text)).rows);
    const [clock] = await read(z.object({ now: time }), "select now()");
    if (clock === undefined) throw new Error("the database has no clock");
    const files = await read(
      z.object({ file: z.string() }),
      "select bucket_id || '/' || name as file from storage.objects",
    );
    return {
      now: clock.now,
      jobs: await read(jobSchema, "select * from public.ai_jobs"),
      events: await read(
        eventSchema,
        "select job_id, seq, event, created_at from public.ai_job_events order by job_id, seq",
      ),
      calls: await read(
        callSchema,
        "select job_id, operation, outcome, provider_object_id from public.ai_provider_calls",
      ),
      voices: await read(
        voiceSchema,
        "select job_id, provider_voice_id from public.voices",
      ),
      products: await read(
        productSchema,
        "select job_id, 'avatar' as kind from public.avatars union all select job_id, 'pdf' from public.pdfs",
      ),
      files: files.map(({ file }) => file),
      providers: await read(
        providerSchema,
        "select provider, max_concurrent from public.ai_providers",
      ),
      limits: await read(
        limitSchema,
        `select user_id, max_concurrent_jobs, active_jobs_at_most, jobs_that_day, counted_on = current_date as is_counted_today,
          paused_at is not null as is_paused
        from public.ai_limits`,
      ),
      types: await read(
        typeSchema,
        `select t.job_type, t.provider, t.lease_seconds,
          t.is_enabled and t.paused_at is null and p.paused_at is null as may_run
        from public.ai_job_types as t join public.ai_providers as p on p.provider = t.provider`,
      ),
      ...seen,
    };
  });
}

/** All findings; empty when every rule holds. */
export function audit(facts: Facts): Finding[] {
  return [
    ...auditEnds(facts),
    ...auditMoney(facts),
    ...auditCaps(facts),
    ...auditLimits(facts),
    ...auditEvents(facts),
    ...auditVoices(facts),
    ...auditProducts(facts),
  ];
}

const FINAL = new Set(["completed", "failed", "cancelled"]);

/** `provider` of jobs that call none. */
const NO_PROVIDER = "internal";

function auditEnds({ jobs, types, limits, providers, now }: Facts): Finding[] {
  const findings: Finding[] = [];
  const policy = new Map(types.map((type) => [type.job_type, type]));
  const limitOf = new Map(limits.map((limit) => [limit.user_id, limit]));
  const default_ = limitOf.get(null)?.max_concurrent_jobs ?? 0;
  const running = jobs.filter(({ status }) => status === "processing");
  for (const job of jobs) {
    const type = policy.get(job.job_type);
    const find = (rule: AuditRule, detail: string) =>
      findings.push({ rule, about: job.id, detail });
    const toleratedSeconds = (type?.lease_seconds ?? 0) + SWEEP_SECONDS +
      SLACK_SECONDS;
    const isLate = (since: Date) =>
      now.getTime() - since.getTime() > toleratedSeconds * 1000;
    if (job.attempt > job.max_attempts) {
      find("attempts", `${job.attempt} of ${job.max_attempts}`);
    }
    if (job.lease_expires_at !== null && isLate(job.lease_expires_at)) {
      find("overdue", `since ${job.lease_expires_at.toISOString()}`);
    }
    if (FINAL.has(job.status) || job.status === "processing") continue;
    if (job.attempt >= job.max_attempts) {
      find("attempts", "waits without an attempt left");
    }
    if (job.cancel_requested_at !== null) {
      find("unfinished", "waits although its owner has cancelled it");
    }
    const limit = limitOf.get(job.user_id);
    const ofProvider = running.filter(({ provider }) =>
      provider === job.provider
    ).length;
    const ofUser =
      running.filter(({ user_id }) => user_id === job.user_id).length;
    const waitsFor = jobs.find(({ id }) => id === job.depends_on_job_id);
    const isHeldBack = type?.may_run !== true || limit?.is_paused === true ||
      (waitsFor !== undefined && !FINAL.has(waitsFor.status)) ||
      ofProvider >= capOf(providers, job.provider) ||
      ofUser >= (limit?.max_concurrent_jobs ?? default_);
    if (!isHeldBack && isLate(job.scheduled_at)) {
      find(
        "unfinished",
        `due since ${job.scheduled_at.toISOString()} without a reason to wait`,
      );
    }
  }
  return findings;
}

function capOf(providers: Facts["providers"], name: string): number {
  return providers.find(({ provider }) => provider === name)?.max_concurrent ??
    0;
}

function auditMoney({ jobs, calls, creations }: Facts): Finding[] {
  const findings: Finding[] = [];
  const known = new Set(jobs.map(({ id }) => id));
  for (const { marker, id, operation } of creations) {
    if (marker !== null && known.has(marker)) continue;
    findings.push({
      rule: "billed without a job",
      about: marker ?? id,
      detail: operation,
    });
  }
  for (const job of jobs) {
    const find = (rule: AuditRule, detail: string) =>
      findings.push({ rule, about: job.id, detail });
    const created = creations.filter(({ marker }) => marker === job.id);
    const perStep = new Map<string, number>();
    for (const { operation } of created) {
      perStep.set(operation, (perStep.get(operation) ?? 0) + 1);
    }
    for (const [operation, times] of perStep) {
      if (times > 1) find("billed twice", `${operation} ${times} times`);
    }
    if (created.length > job.billable_calls) {
      find("spend", `${created.length} created, ${job.billable_calls} counted`);
    }
    if (job.spend === "none" && created.length > 0) {
      find("spend", `none, but ${created.length} created`);
    }
    if (job.spend === "incurred" && created.length === 0) {
      find("spend", "incurred, but nothing was created");
    }
    const ofJob = calls.filter(({ job_id }) => job_id === job.id);
    const isOpen = ofJob.some(({ outcome }) =>
      outcome === "sent" || outcome === "unknown"
    );
    if ((job.spend === "unknown") !== isOpen) {
      find("spend", `${job.spend}, which contradicts its calls`);
    }
    if (
      job.status === "completed" && job.cached_from_job_id === null &&
      job.spend !== (job.provider === NO_PROVIDER ? "none" : "incurred")
    ) find("spend", `completed with spend ${job.spend}`);
    const isParked = job.status === "failed" &&
      job.error_code === "outcome_unknown";
    const isSilent = job.status === "failed" && isOpen && !isParked ||
      job.status === "completed" && isOpen;
    if (isSilent || (isParked && !isOpen)) {
      find("parked", `${job.status}, ${job.error_code}`);
    }
    if (
      job.status !== "processing" &&
      ofJob.some(({ outcome }) => outcome === "sent")
    ) find("journal", `${job.status} with a call in flight`);
    for (const { outcome, provider_object_id } of ofJob) {
      if (outcome !== "succeeded" && outcome !== "adopted") continue;
      if (!created.some(({ id }) => id === provider_object_id)) {
        find(
          "spend",
          `${outcome} ${provider_object_id}, which was never created`,
        );
      }
    }
  }
  return findings;
}

/** Events after which a job no longer counts against a cap. */
const ENDS = new Set([
  "completed",
  "failed",
  "cancelled",
  "retried",
  "snoozed",
  "released",
  "rescued",
]);

function auditCaps(facts: Facts): Finding[] {
  const { jobs, samples, limits, providers } = facts;
  const events = facts.events.filter(({ created_at }) =>
    created_at >= facts.capsSince
  );
  const findings: Finding[] = [];
  const default_ = limits.find(({ user_id }) => user_id === null)
    ?.max_concurrent_jobs ?? 0;
  const capOfUser = (user: string) =>
    limits.find(({ user_id }) => user_id === user)?.max_concurrent_jobs ??
      default_;
  const check = (kind: string, name: string, most: number, cap: number) => {
    if (most <= cap) return;
    findings.push({
      rule: "caps",
      about: name,
      detail: `${most} at the same time by ${kind}, ${cap} allowed`,
    });
  };
  for (
    const { kind, most } of [
      { kind: "events", most: overlapsIn(jobs, events) },
      { kind: "samples", most: mostIn(samples) },
    ]
  ) {
    for (const [name, at] of most.users) check(kind, name, at, capOfUser(name));
    for (const [name, at] of most.providers) {
      check(kind, name, at, capOf(providers, name));
    }
  }
  return findings;
}

interface Most {
  users: Map<string, number>;
  providers: Map<string, number>;
}

function raise(of: Map<string, number>, name: string, at: number): void {
  of.set(name, Math.max(of.get(name) ?? 0, at));
}

/** The most jobs that ran at the same time according to the events, from `claimed` to the event that ended the claim. */
function overlapsIn(jobs: Facts["jobs"], events: Facts["events"]): Most {
  const most: Most = { users: new Map(), providers: new Map() };
  const owners = new Map(jobs.map((job) => [job.id, job]));
  const running: Most = { users: new Map(), providers: new Map() };
  const inOrder = [...events].sort((a, b) =>
    a.created_at.getTime() - b.created_at.getTime() ||
    // Within a millisecond the end comes first: the claim needed its slot.
    Number(ENDS.has(b.event)) - Number(ENDS.has(a.event))
  );
  const isRunning = new Set<string>();
  for (const { job_id, event } of inOrder) {
    const job = owners.get(job_id);
    if (job === undefined) continue;
    const change = event === "claimed" && !isRunning.has(job_id)
      ? 1
      : ENDS.has(event) && isRunning.has(job_id)
      ? -1
      : 0;
    if (change === 0) continue;
    if (change > 0) isRunning.add(job_id);
    else isRunning.delete(job_id);
    const ofUser = (running.users.get(job.user_id) ?? 0) + change;
    const ofProvider = (running.providers.get(job.provider) ?? 0) + change;
    running.users.set(job.user_id, ofUser);
    running.providers.set(job.provider, ofProvider);
    raise(most.users, job.user_id, ofUser);
    raise(most.providers, job.provider, ofProvider);
  }
  return most;
}

function mostIn(samples: Sample[][]): Most {
  const most: Most = { users: new Map(), providers: new Map() };
  for (const sample of samples) {
    const ofUser = new Map<string, number>();
    const ofProvider = new Map<string, number>();
    for (const { user_id, provider, running } of sample) {
      ofUser.set(user_id, (ofUser.get(user_id) ?? 0) + running);
      ofProvider.set(provider, (ofProvider.get(provider) ?? 0) + running);
    }
    for (const [name, at] of ofUser) raise(most.users, name, at);
    for (const [name, at] of ofProvider) raise(most.providers, name, at);
  }
  return most;
}

function auditLimits({ jobs, limits, now }: Facts): Finding[] {
  const findings: Finding[] = [];
  const today = now.toISOString().slice(0, 10);
  const users = new Set(jobs.map(({ user_id }) => user_id));
  for (const user of users) {
    const ofUser = jobs.filter(({ user_id }) => user_id === user);
    const active = ofUser.filter(({ status }) => !FINAL.has(status)).length;
    const created = ofUser.filter(({ created_at }) =>
      created_at.toISOString().slice(0, 10) === today
    ).length;
    const counted = limits.find(({ user_id }) =>
      user_id === user
    );
    const countedToday = counted?.is_counted_today ? counted.jobs_that_day : 0;
    if (counted === undefined || counted.active_jobs_at_most < active) {
      findings.push({
        rule: "limits",
        about: user,
        detail:
          `${counted?.active_jobs_at_most} counted as active, ${active} are`,
      });
    }
    if (countedToday !== created) {
      findings.push({
        rule: "limits",
        about: user,
        detail: `${countedToday} counted today, ${created} created`,
      });
    }
  }
  return findings;
}

function auditEvents({ jobs, events }: Facts): Finding[] {
  const findings: Finding[] = [];
  const ofJobs = new Map<string, Facts["events"]>();
  for (const event of events) {
    const known = ofJobs.get(event.job_id) ?? [];
    known.push(event);
    ofJobs.set(event.job_id, known);
  }
  for (const job of jobs) {
    const own = (ofJobs.get(job.id) ?? []).sort((a, b) => a.seq - b.seq);
    const isGapless = own.every(({ seq }, index) => seq === index + 1) &&
      own.length === job.event_seq;
    if (!isGapless || own.at(-1)?.event !== job.last_event) {
      findings.push({
        rule: "events",
        about: job.id,
        detail: `${
          own.map(({ seq, event }) => `${seq} ${event}`).join(", ")
        }; the row has ${job.event_seq} ${job.last_event}`,
      });
    }
  }
  return findings;
}

function auditVoices({ jobs, voices, creations }: Facts): Finding[] {
  const findings: Finding[] = [];
  const find = (about: string, detail: string) =>
    findings.push({ rule: "voices", about, detail });
  for (const job of jobs) {
    const own = voices.filter(({ job_id }) => job_id === job.id);
    const isOwed = job.job_type === "voice_clone" &&
      job.status === "completed" &&
      job.cached_from_job_id === null;
    if (own.length !== (isOwed ? 1 : 0)) {
      find(job.id, `${job.status}, with ${own.length} voices`);
    }
    for (const { provider_voice_id } of own) {
      const isCreated = creations.some(({ id, marker }) =>
        id === provider_voice_id && marker === job.id
      );
      if (!isCreated) {
        find(job.id, `${provider_voice_id} was not created for the job`);
      }
    }
  }
  return findings;
}

/** The kind of row that a job type creates, besides the file in `output_url`. */
const ROW_OF: Readonly<
  Record<string, Facts["products"][number]["kind"] | null>
> = {
  text_to_speech: null,
  transcription: null,
  avatar_video: "avatar",
  pdf_render: "pdf",
};

function auditProducts({ jobs, products, files }: Facts): Finding[] {
  const findings: Finding[] = [];
  const stored = new Set(files);
  for (const job of jobs) {
    const find = (detail: string) =>
      findings.push({ rule: "products", about: job.id, detail });
    const rows = products.filter(({ job_id }) => job_id === job.id);
    const row = ROW_OF[job.job_type];
    const isOwed = job.status === "completed" && row !== undefined &&
      job.cached_from_job_id === null;
    const owed = isOwed && row !== null ? 1 : 0;
    if (rows.length !== owed || rows.some(({ kind }) => kind !== row)) {
      find(`${job.job_type}, ${job.status}, with ${rows.length} rows`);
    }
    if (isOwed && !stored.has(job.output_url ?? "")) {
      find(`its file ${job.output_url} does not exist`);
    }
  }
  return findings;
}
