/** The parameters of a claimed job, checked again: a job may come by a plain insert, past create-ai-job's own check. */
import type { z } from "zod";
import type { ClaimedJob } from "../../_shared/contracts/jobs.ts";
import { fieldErrors } from "../../_shared/http/body.ts";
import { JobFailure } from "../../_shared/jobs/outcome.ts";

/**
 * The metadata as its type has them, with defaults.
 *
 * @throws {JobFailure} `metadata_invalid` (final), naming the first field that is wrong.
 */
export function readMetadata<T>(job: ClaimedJob, schema: z.ZodType<T>): T {
  const metadata = schema.safeParse(job.metadata);
  if (metadata.success) return metadata.data;
  const [first] = fieldErrors(metadata.error);
  throw new JobFailure("metadata_invalid", {
    isRetryable: false,
    details: `metadata.${first?.field}: ${first?.message}`,
    cause: metadata.error,
  });
}
