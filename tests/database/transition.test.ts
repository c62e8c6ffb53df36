/** The state machine as the table enforces it for every writer: transitions by a trigger, states by constraints. */
import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import type { TestDatabase } from "../_support/database.ts";
import { withDatabase } from "../_support/database.ts";
import {
  insertJob,
  pictureOf,
  readJob,
  refusalOf,
} from "./_support/factories.ts";

type Columns = Record<string, postgres.ParameterOrJSON<never>>;

/** The columns of a valid row of each status. */
const states: Record<string, Columns> = {
  pending: {
    status: "pending",
    lease_token: null,
    lease_expires_at: null,
    completed_at: null,
    result_data: null,
    progress_percentage: 0,
  },
  processing: {
    status: "processing",
    attempt: 1,
    lease_token: crypto.randomUUID(),
    lease_expires_at: "2036-01-01",
    started_at: "2190-01-01",
    completed_at: null,
    result_data: null,
    progress_percentage: 0,
  },
  completed: {
    status: "completed",
    lease_token: null,
    lease_expires_at: null,
    completed_at: "2199-01-01",
    result_data: {},
    progress_percentage: 100,
    error_code: null,
  },
  failed: {
    status: "failed",
    lease_token: null,
    lease_expires_at: null,
    completed_at: "2199-01-01",
    result_data: null,
    error_code: "internal_error",
  },
  cancelled: {
    status: "cancelled",
    lease_token: null,
    lease_expires_at: null,
    completed_at: "2199-01-01",
    result_data: null,
  },
};

const allowed = new Set([
  "pending → processing",
  "pending → cancelled",
  "processing → pending",
  "processing → completed",
  "processing → failed",
  "processing → cancelled",
  "failed → pending",
  // Its dependency failed.
  "pending → failed",
]);

/** Brings a new job into each status. */
const paths: Record<string, string[]> = {
  pending: [],
  processing: ["processing"],
  completed: ["processing", "completed"],
  failed: ["processing", "failed"],
  cancelled: ["cancelled"],
};

async function put(db: TestDatabase, id: string, status: string) {
  await db.sql`update public.ai_jobs set ${
    db.sql(states[status] ?? {})
  } where id = ${id}`;
}

Deno.test("guard_ai_job_transition: eight of all 20 changes of status are allowed; the others are AJ050", async (t) => {
  await withDatabase(async (db) => {
    const names = Object.keys(states);
    let tried = 0;
    for (const from of names) {
      for (const to of names.filter((name) => name !== from)) {
        const transition = `${from} → ${to}`;
        tried++;
        await t.step(transition, async () => {
          const { id } = await insertJob(db);
          for (const step of paths[from] ?? []) await put(db, id, step);
          assertEquals((await readJob(db, id)).status, from);
          if (allowed.has(transition)) {
            await put(db, id, to);
            assertEquals((await readJob(db, id)).status, to);
          } else {
            const before = await pictureOf(db);
            const { code } = await refusalOf(() => put(db, id, to));
            assertEquals(code, "AJ050");
            assertEquals(await pictureOf(db), before);
          }
        });
      }
    }
    assertEquals(tried, 20);
  });
});

Deno.test("guard_ai_job_transition: it applies to the service role too", async () => {
  await withDatabase(async (db) => {
    const { id } = await insertJob(db);
    for (const step of ["processing", "completed"]) await put(db, id, step);
    const { code } = await refusalOf(() =>
      db.asService((sql) =>
        sql`update public.ai_jobs set ${
          sql(states.pending ?? {})
        } where id = ${id}`
      )
    );
    assertEquals(code, "AJ050");
  });
});

Deno.test("ai_jobs: an inconsistent row is refused by its constraint", async (t) => {
  const cases: { from: string; change: Columns; constraint: string }[] = [
    {
      from: "processing",
      change: { progress_percentage: 101 },
      constraint: "ai_jobs_progress_in_range",
    },
    {
      from: "processing",
      change: { progress_percentage: -1 },
      constraint: "ai_jobs_progress_in_range",
    },
    {
      from: "completed",
      change: { progress_percentage: 99 },
      constraint: "ai_jobs_progress_is_full_when_completed",
    },
    {
      from: "pending",
      change: {
        lease_token: crypto.randomUUID(),
        lease_expires_at: "2036-01-01",
      },
      constraint: "ai_jobs_lease_matches_status",
    },
    {
      from: "processing",
      change: { lease_token: null, lease_expires_at: null },
      constraint: "ai_jobs_lease_matches_status",
    },
    {
      from: "processing",
      change: { lease_expires_at: null },
      constraint: "ai_jobs_lease_matches_status",
    },
    {
      from: "pending",
      change: { completed_at: "2199-01-01" },
      constraint: "ai_jobs_completed_at_matches_status",
    },
    {
      from: "failed",
      change: { completed_at: null },
      constraint: "ai_jobs_completed_at_matches_status",
    },
    {
      from: "failed",
      change: { error_code: null },
      constraint: "ai_jobs_failed_has_error_code",
    },
    {
      from: "completed",
      change: { error_code: "internal_error" },
      constraint: "ai_jobs_completed_has_no_error",
    },
    {
      from: "completed",
      change: { error_message: "Something went wrong." },
      constraint: "ai_jobs_completed_has_no_error",
    },
    {
      from: "failed",
      change: { result_data: {} },
      constraint: "ai_jobs_result_only_when_completed",
    },
    {
      from: "processing",
      change: { output_url: "outputs/owner/file.mp3" },
      constraint: "ai_jobs_result_only_when_completed",
    },
    {
      from: "completed",
      change: { result_data: null },
      constraint: "ai_jobs_result_when_completed",
    },
    {
      from: "pending",
      change: { attempt: 6 },
      constraint: "ai_jobs_attempt_within_max",
    },
    {
      from: "pending",
      change: { max_attempts: 101 },
      constraint: "ai_jobs_max_attempts_in_range",
    },
    {
      from: "processing",
      change: { started_at: null },
      constraint: "ai_jobs_started_when_processing",
    },
    {
      from: "processing",
      change: { started_at: "2001-01-01" },
      constraint: "ai_jobs_started_after_created",
    },
    {
      from: "cancelled",
      change: { completed_at: "2001-01-01" },
      constraint: "ai_jobs_completed_after_created",
    },
    {
      from: "completed",
      change: { completed_at: "2150-01-01" },
      constraint: "ai_jobs_completed_after_started",
    },
    {
      from: "pending",
      change: { scheduled_at: "2199-01-01" },
      constraint: "ai_jobs_scheduled_within_a_month",
    },
    {
      from: "pending",
      change: { input_url: "https://example.com/a.mp3" },
      constraint: "ai_jobs_input_url_is_object_path",
    },
    {
      from: "pending",
      change: { idempotency_key: "" },
      constraint: "ai_jobs_idempotency_key_length",
    },
    {
      from: "pending",
      change: { cost_micros: -1 },
      constraint: "ai_jobs_cost_is_not_negative",
    },
    {
      from: "pending",
      change: { billable_calls: -1 },
      constraint: "ai_jobs_cost_is_not_negative",
    },
    {
      from: "pending",
      change: { cost_currency: "usd" },
      constraint: "ai_jobs_cost_currency_is_iso",
    },
    {
      from: "pending",
      change: { event_seq: 0 },
      constraint: "ai_jobs_event_seq_is_positive",
    },
  ];
  await withDatabase(async (db) => {
    for (const { from, change, constraint } of cases) {
      await t.step(`${from} with ${JSON.stringify(change)}`, async () => {
        const { id } = await insertJob(db);
        for (const step of paths[from] ?? []) await put(db, id, step);
        const refusal = await refusalOf(() =>
          db.sql`update public.ai_jobs set ${db.sql(change)} where id = ${id}`
        );
        assertEquals(refusal.constraint, constraint, refusal.message);
        assert((await readJob(db, id)).status === from);
      });
    }
    await t.step("a new job with an unknown status", async () => {
      const { user_id, input_url } = await insertJob(db);
      const { constraint } = await refusalOf(() =>
        db.asService((sql) =>
          sql`
          insert into public.ai_jobs (user_id, job_type, input_url, status)
          values (${user_id}, 'voice_clone', ${input_url}, 'waiting')`
        )
      );
      assertEquals(constraint, "ai_jobs_status_is_known");
    });
  });
});
