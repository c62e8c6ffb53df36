/** get-ai-job: one of the caller's jobs, with a signed URL of its output. */
import { z } from "zod";
import {
  AI_JOB_COLUMNS,
  aiJobSchema,
  toJobResponse,
} from "../_shared/contracts/jobs.ts";
import { parseObjectPath } from "../_shared/contracts/object-path.ts";
import { fromDatabaseError } from "../_shared/database/errors.ts";
import { AppError } from "../_shared/failures/app-error.ts";
import { parse } from "../_shared/http/body.ts";
import {
  createUserEndpoint,
  type UserContext,
} from "../_shared/http/caller.ts";
import type { AppDeps } from "../_shared/http/endpoint.ts";
import { jsonResponse } from "../_shared/http/problem.ts";
import { signDownload } from "../_shared/storage/signed-url.ts";

/** Seconds that the URL of an output is valid. */
const OUTPUT_URL_SECONDS = 3600;

const querySchema = z.object({ id: z.uuid("must be the id of a job") });

/** GET `?id=`: the row of `ai_jobs`, `output_url` freshly signed; 404 for a job that is not the caller's. */
export function createHandler(
  deps: AppDeps,
): (request: Request) => Promise<Response> {
  return createUserEndpoint(
    deps,
    { name: "get-ai-job", method: "GET" },
    async (context) => {
      const { id } = parse({
        id: context.url.searchParams.get("id") ?? undefined,
      }, querySchema);
      const { data, error } = await context.supabase.from("ai_jobs").select(
        AI_JOB_COLUMNS,
      ).eq("id", id).maybeSingle();
      if (error) throw fromDatabaseError(error);
      if (data === null) throw new AppError("not_found");
      const job = aiJobSchema.parse(data);
      const output = await signOutput(deps, context, job.output_url);
      return jsonResponse(toJobResponse(job, output));
    },
  );
}

async function signOutput(
  deps: AppDeps,
  context: UserContext,
  objectPath: string | null,
) {
  const object = objectPath === null ? null : parseObjectPath(objectPath);
  if (object === null) return null;
  const signed = await signDownload(
    context.supabase,
    deps.env,
    object,
    OUTPUT_URL_SECONDS,
  );
  // The owner may have deleted the file; the job can still be read.
  if (signed === null) {
    context.log.warn("output_not_signed", { output_path: objectPath });
  }
  return signed;
}
