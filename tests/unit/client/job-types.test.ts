/** The client's types equal those of the contracts. The type check of this file decides that. */
import { assertEquals } from "@std/assert";
import type { z } from "zod";
import type * as client from "../../../client/mod.ts";
import {
  type aiJobResponseSchema,
  type createAiJobRequestSchema,
  JOB_STATUSES,
  type resultSchemas,
} from "../../../supabase/functions/_shared/contracts/jobs.ts";

/** `true` when each is assignable to the other, with the same members. */
type Same<A, B> = [A, keyof A] extends [B, keyof B]
  ? [B, keyof B] extends [A, keyof A] ? true : false
  : false;

/** `true` when every member is `true`. */
type AllTrue<T> = T extends Record<keyof T, true> ? true : false;

type Request = z.input<typeof createAiJobRequestSchema>;

/** By job type, whether the client's metadata equal those of the function. */
type SameMetadata = {
  [T in client.JobType]: Same<
    client.JobTypes[T]["metadata"],
    NonNullable<Extract<Request, { job_type: T }>["metadata"]>
  >;
};
const isSameMetadata: AllTrue<SameMetadata> = true;

type Results = {
  [T in keyof typeof resultSchemas]: z.output<(typeof resultSchemas)[T]>;
};

/** By job type, whether the client's result equals the processor's. */
type SameResults = {
  [T in client.JobType]: T extends keyof Results
    ? Same<client.JobTypes[T]["result"], Results[T]>
    : false;
};
const isSameResults: AllTrue<SameResults> = true;

/** Whether the function accepts every request of the client. */
type Accepted = client.JobRequest extends Request ? true : false;
const isAccepted: Accepted = true;
const isSameType: Same<
  client.JobType,
  Request["job_type"]
> = true;

/** Every column of a job except the client's `result`. */
type Columns = Same<
  Exclude<keyof client.Job, "result">,
  Exclude<keyof z.output<typeof aiJobResponseSchema>, "result_data">
>;
const hasColumns: Columns = true;

const statuses: client.JobStatus[] = [...JOB_STATUSES];

/** The names of events. */
const EVENTS: Readonly<Record<client.JobEventName, true>> = {
  created: true,
  claimed: true,
  progress: true,
  submitted: true,
  settled: true,
  snoozed: true,
  retried: true,
  released: true,
  rescued: true,
  unblocked: true,
  cancel_requested: true,
  retry_requested: true,
  completed: true,
  failed: true,
  cancelled: true,
};

Deno.test("client types: the names of events are those that the table accepts", async () => {
  const sql = await Deno.readTextFile(
    new URL("../../../supabase/schemas/jobs/events.sql", import.meta.url),
  );
  const list = /event_is_known check \(event in \(([^)]*)\)/.exec(sql)?.[1];
  const names = [...(list ?? "").matchAll(/'(\w+)'/g)].map(([, name]) => name);
  assertEquals(names.sort(), Object.keys(EVENTS).sort());
});

Deno.test("client types: metadata, results, requests and jobs are those of the contracts", () => {
  // The twins: a missing or different member is noticed.
  const differs: Same<{ a: string }, { a: string; b?: string }> = false;
  const hasOne: AllTrue<{ a: true; b: false }> = false;
  assertEquals(
    [
      isSameMetadata,
      isSameResults,
      isAccepted,
      isSameType,
      hasColumns,
      differs,
      hasOne,
    ],
    [true, true, true, true, true, false, false],
  );
  assertEquals(statuses.length, JOB_STATUSES.length);
});
