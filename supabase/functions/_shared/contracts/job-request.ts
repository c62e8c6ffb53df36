/** The members that the requests of several job types share. */
import { z } from "zod";

/** Members that a request of any job type may have. */
export const jobOptions = {
  depends_on: z.uuid().optional().describe(
    "Id of one of your jobs. This job waits until it completes and uses its result.",
  ),
};

/** The input object, as `<bucket>/<path>`. `what` names it in the error for a missing one, such as "recording". */
export const inputUrl = (what: string) =>
  z.string({
    error: ({ input }) =>
      input === undefined
        ? `is required: the ${what}, as <bucket>/<path>`
        : undefined,
  }).min(1).max(2048);
