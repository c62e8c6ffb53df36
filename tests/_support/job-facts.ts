/** All rows about a job, read as the project's owner, and the invariants that they must satisfy. */
import { assert, assertEquals } from "@std/assert";
import type { TestStack } from "./stack.ts";

/** A row of the money journal. */
export interface JournalEntry {
  attempt: number;
  outcome: string;
  http_status: number | null;
  error_code: string | null;
  provider_object_id: string | null;
}

/** A job with its timeline, journal and results. */
export interface JobFacts {
  status: string;
  stage: string | null;
  attempt: number;
  progress: number;
  billableCalls: number;
  errorCode: string | null;
  errorMessage: string | null;
  resultData: Record<string, unknown> | null;
  /** Whether it may be claimed only later, by the database's clock. */
  isPostponed: boolean;
  /** Names of the events, in order. */
  events: string[];
  journal: JournalEntry[];
  /** Ids of the provider's voices among the rows of `voices`. */
  voices: string[];
  /** Provider ids of the objects that were paid for. */
  paid: string[];
}

interface Row {
  status: string;
  stage: string | null;
  attempt: number;
  progress_percentage: number;
  billable_calls: number;
  error_code: string | null;
  error_message: string | null;
  result_data: Record<string, unknown> | null;
  is_postponed: boolean;
  events: { seq: number; event: string }[];
  journal: JournalEntry[];
  voices: string[];
}

/**
 * The facts of a job. Fails when an invariant of every job is violated: the timeline is numbered without a gap, every
 * paid call is counted before it is sent, and everything paid for is in the journal.
 */
export async function jobFacts(
  stack: TestStack,
  jobId: string,
): Promise<JobFacts> {
  const [row] = await stack.sql<Row>`
    select j.status, j.stage, j.attempt, j.progress_percentage, j.billable_calls, j.error_code, j.error_message,
      j.result_data, j.scheduled_at > j.updated_at as is_postponed,
      (
        select coalesce(jsonb_agg(jsonb_build_object('seq', e.seq, 'event', e.event) order by e.seq), '[]')
        from public.ai_job_events as e where e.job_id = j.id
      ) as events,
      (
        select coalesce(jsonb_agg(jsonb_build_object(
          'attempt', c.attempt, 'outcome', c.outcome, 'http_status', c.http_status, 'error_code', c.error_code,
          'provider_object_id', c.provider_object_id
        ) order by c.sent_at), '[]')
        from public.ai_provider_calls as c where c.job_id = j.id
      ) as journal,
      (
        select coalesce(jsonb_agg(v.provider_voice_id), '[]') from public.voices as v where v.job_id = j.id
      ) as voices
    from public.ai_jobs as j where j.id = ${jobId}`;
  assert(row !== undefined, `there is no job ${jobId}`);
  const paid = (await stack.simulator.creations(jobId)).map(({ id }) => id);
  assertEquals(
    row.events.map(({ seq }) => seq),
    row.events.map((_, index) => index + 1),
    "the timeline has a gap",
  );
  assertEquals(row.billable_calls, row.journal.length);
  assert(
    paid.length <= row.journal.length,
    `paid ${paid.length} times, journalled ${row.journal.length} times`,
  );
  return {
    status: row.status,
    stage: row.stage,
    attempt: row.attempt,
    progress: row.progress_percentage,
    billableCalls: row.billable_calls,
    errorCode: row.error_code,
    errorMessage: row.error_message,
    resultData: row.result_data,
    isPostponed: row.is_postponed,
    events: row.events.map(({ event }) => event),
    journal: row.journal,
    voices: row.voices,
    paid,
  };
}

/** Fails unless the job is completed with one voice, paid for once, and its row shows no earlier error. */
export async function assertDoneOnce(
  stack: TestStack,
  jobId: string,
): Promise<JobFacts> {
  const facts = await jobFacts(stack, jobId);
  assertEquals(facts.status, "completed");
  assertEquals(facts.progress, 100);
  assertEquals([facts.errorCode, facts.errorMessage], [null, null]);
  assertEquals(facts.paid.length, 1, "paid for once");
  assertEquals(facts.voices, facts.paid);
  assertEquals(facts.resultData?.["provider_voice_id"], facts.paid[0]);
  return facts;
}
