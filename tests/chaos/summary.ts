/** The JSON line that ends the output, for programs that run `deno task chaos`. */
import { z } from "zod";

const summarySchema = z.object({
  seed: z.number(),
  jobs: z.number(),
  points: z.number(),
  storms: z.number(),
  /** By job type: the points tried, and how the jobs ended that were running there. */
  types: z.record(
    z.string(),
    z.object({
      points: z.number(),
      completed: z.number(),
      failed: z.number(),
      /** As `outcome_unknown`, for an operator to resolve. */
      parked: z.number(),
      /** Billable creations of all of them. */
      creations: z.number(),
    }),
  ),
  /** As text: findings of the audit, jobs that did not end, points that were not reached. */
  problems: z.array(z.string()),
});

/** The result of a run. */
export type ChaosSummary = z.output<typeof summarySchema>;

/** Reads the summary, the last line on standard output that is JSON. Throws when there is none. */
export function readSummary(output: string): ChaosSummary {
  const line = output.split("\n").findLast((line) => line.startsWith("{"));
  if (line === undefined) {
    throw new Error(`the run printed no summary:\n${output}`);
  }
  return summarySchema.parse(JSON.parse(line));
}
