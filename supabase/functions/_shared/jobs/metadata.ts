/** The parameters of a claimed job, checked again: a job may come by a plain insert, past create-ai-job's own check. */
import type { z } from "zod";
import { check } from "../contracts/issue-words.ts";
import type { ClaimedJob } from "../contracts/jobs.ts";
import { JobFailure } from "../failures/job-failure.ts";

/**
 * The metadata as its type has them, with defaults.
 *
 * @throws {JobFailure} `metadata_invalid` (final), naming the first field that is wrong.
 */
export function readMetadata<T extends z.ZodType>(
  job: ClaimedJob,
  schema: T,
): z.output<T> {
  const result = check(job.metadata, schema);
  if (result.wrong === undefined) return result.data;
  const [first] = result.wrong;
  const field = ["metadata", ...first?.path ?? []].join(".");
  throw JobFailure.final("metadata_invalid", {
    details: `${field}: ${first?.message}`,
    cause: result.wrong,
  });
}
