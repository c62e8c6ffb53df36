/** The stored format of results: one JSON object per line. */
import { z } from "zod";

/** One contender in one scenario. */
export const resultSchema = z.object({
  at: z.iso.datetime(),
  run: z.string(),
  scenario: z.string(),
  contender: z.string(),
  title: z.string(),
  library: z.string(),
  settings: z.record(z.string(), z.unknown()),
  options: z.record(z.string(), z.unknown()),
  figures: z.record(
    z.string(),
    z.union([z.number(), z.boolean(), z.null()]),
  ),
  is_quick: z.boolean(),
  commit: z.string(),
  postgres: z.string(),
  deno: z.string(),
  machine: z.object({
    cores: z.number(),
    memory_gb: z.number(),
    os: z.string(),
    arch: z.string(),
  }),
  /** Load average of the last minute when the scenario was measured, including the benchmark itself. */
  load: z.number(),
  /** The same before the run, which shows the load of others. */
  load_before: z.number(),
});

/** See {@link resultSchema}. */
export type Result = z.infer<typeof resultSchema>;
