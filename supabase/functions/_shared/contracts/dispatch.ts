/** The body by which the database asks for work: the shape of a database webhook, of which only the ids count. */
import { z } from "zod";

/** Most ids that one dispatch may name. */
export const MAX_DISPATCHED_JOBS = 100;

/** Parses the body of a dispatch into the ids it names, each once. Everything else in it is dropped. */
export const dispatchSchema = z.object({
  type: z.enum(["INSERT", "UPDATE"]),
  table: z.literal("ai_jobs"),
  schema: z.literal("public"),
  record: z.object({ id: z.uuid() }),
  job_ids: z.array(z.uuid()).max(MAX_DISPATCHED_JOBS).optional(),
}).transform((body) => ({
  jobIds: [...new Set([body.record.id, ...body.job_ids ?? []])],
}));

/** The body by which the database asks the janitor for a run. */
export const janitorDispatchSchema = z.object({ type: z.literal("JANITOR") });
