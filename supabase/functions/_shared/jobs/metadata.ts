/** The parameters of a claimed job. They are validated again, because a plain insert bypasses create-ai-job. */
import type { z } from "zod";
import { check } from "../contracts/issue-words.ts";
import type { ClaimedJob } from "../contracts/jobs.ts";
import { JobFailure } from "../failures/job-failure.ts";

/**
 * Parses the metadata with the schema of the job's type, which also fills in defaults.
 *
 * @throws {JobFailure} `metadata_invalid` (final), naming the first invalid field.
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
