/** The body of a dispatch from the database. It has the shape of a database webhook; only the job ids are used. */
import { z } from "zod";

/** Maximum number of job ids in one dispatch. */
export const MAX_DISPATCHED_JOBS = 100;

/** Parses the body of a dispatch into its distinct job ids. Drops all other members. */
export const dispatchSchema = z.object({
  type: z.enum(["INSERT", "UPDATE"]),
  table: z.literal("ai_jobs"),
  schema: z.literal("public"),
  record: z.object({ id: z.uuid() }),
  job_ids: z.array(z.uuid()).max(MAX_DISPATCHED_JOBS).optional(),
}).transform((body) => ({
  jobIds: [...new Set([body.record.id, ...body.job_ids ?? []])],
}));

/** The body with which the database starts a run of the janitor. */
export const janitorDispatchSchema = z.object({ type: z.literal("JANITOR") });
