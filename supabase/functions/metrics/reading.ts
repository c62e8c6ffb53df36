/** What the database counts, as `public.read_ai_metrics` returns it. */
import { z } from "zod";
import {
  healthDetailsSchema,
  providerStandingSchema,
} from "../_shared/contracts/ops.ts";

const counterSchema = z.object({
  metric: z.string(),
  job_type: z.string(),
  provider: z.string(),
  code: z.string(),
  slot: z.number().int(),
  amount: z.number().int(),
});

/** One counter, cumulative since installation. */
export type Counter = z.infer<typeof counterSchema>;

/** The whole reading. */
export const readingSchema = z.object({
  health: healthDetailsSchema,
  sweep_age_seconds: z.number(),
  janitor_age_seconds: z.number(),
  counters: z.array(counterSchema),
  providers: z.array(providerStandingSchema),
});

/** See {@link readingSchema}. */
export type Reading = z.infer<typeof readingSchema>;
