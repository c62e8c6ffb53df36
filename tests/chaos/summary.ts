/** The last line of a storm, for programs that run it. */
import { z } from "zod";

const summarySchema = z.object({
  seed: z.number(),
  jobs: z.number(),
  points: z.number(),
  storms: z.number(),
  /** By job type: the points tried, and how the jobs ended that were in hand there. */
  types: z.record(
    z.string(),
    z.object({
      points: z.number(),
      completed: z.number(),
      failed: z.number(),
      /** As `outcome_unknown`, for a person to decide. */
      parked: z.number(),
      /** Billable creations of all of them. */
      creations: z.number(),
    }),
  ),
  /** What the audit found, jobs that do not end, points that were not reached; in words. */
  problems: z.array(z.string()),
});

/** What happened in a storm. */
export type ChaosSummary = z.output<typeof summarySchema>;

/** Reads the summary, the last line on standard output that is JSON. Throws when there is none. */
export function readSummary(output: string): ChaosSummary {
  const line = output.split("\n").findLast((line) => line.startsWith("{"));
  if (line === undefined) {
    throw new Error(`the storm did not come to its end:\n${output}`);
  }
  return summarySchema.parse(JSON.parse(line));
}
