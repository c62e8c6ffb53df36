/** list-ai-jobs: the caller's jobs, newest first, in pages that stay correct while jobs are added and deleted. */
import { z } from "zod";
import {
  AI_JOB_COLUMNS,
  aiJobSchema,
  listAiJobsQuerySchema,
  type ListAiJobsResponse,
  toJobResponse,
} from "../_shared/contracts/jobs.ts";
import { fromDatabaseError } from "../_shared/database/errors.ts";
import { AppError } from "../_shared/failures/app-error.ts";
import { parse } from "../_shared/http/body.ts";
import { createUserEndpoint } from "../_shared/http/caller.ts";
import type { AppDeps } from "../_shared/http/endpoint.ts";
import { jsonResponse } from "../_shared/http/problem.ts";

/** The sort key of a page's last row, not its number. */
const cursorSchema = z.tuple([z.iso.datetime({ offset: true }), z.uuid()]);

/** GET `?limit=&cursor=&status=&job_type=`: `{jobs, next_cursor}`. */
export function createHandler(
  deps: AppDeps,
): (request: Request) => Promise<Response> {
  return createUserEndpoint(
    deps,
    { name: "list-ai-jobs", method: "GET" },
    async ({ url, supabase, userId, requireAccount }) => {
      const query = parse(
        Object.fromEntries(url.searchParams),
        listAiJobsQuerySchema,
      );
      let select = supabase.from("ai_jobs").select(AI_JOB_COLUMNS)
        .eq("user_id", userId)
        .order("created_at", { ascending: false })
        .order("id", { ascending: false })
        // One row more than requested shows whether there is a next page.
        .limit(query.limit + 1);
      if (query.status !== undefined) {
        select = select.eq("status", query.status);
      }
      if (query.job_type !== undefined) {
        select = select.eq("job_type", query.job_type);
      }
      if (query.cursor !== undefined) {
        const [createdAt, id] = decodeCursor(query.cursor);
        select = select.or(
          `created_at.lt."${createdAt}",and(created_at.eq."${createdAt}",id.lt.${id})`,
        );
      }
      const { data, error } = await select;
      if (error) throw fromDatabaseError(error);
      const rows = z.array(aiJobSchema).parse(data);
      if (rows.length === 0) await requireAccount();
      const jobs = rows.slice(0, query.limit);
      const last = jobs.at(-1);
      const body: ListAiJobsResponse = {
        jobs: jobs.map((job) => toJobResponse(job, null)),
        next_cursor: rows.length > query.limit && last !== undefined
          ? encodeCursor(last)
          : null,
      };
      return jsonResponse(body);
    },
  );
}

function encodeCursor(job: { created_at: string; id: string }): string {
  return btoa(JSON.stringify([job.created_at, job.id]))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function decodeCursor(cursor: string): z.infer<typeof cursorSchema> {
  try {
    const text = atob(cursor.replaceAll("-", "+").replaceAll("_", "/"));
    return cursorSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new AppError("invalid_request", {
      details: "cursor: must be a next_cursor of list-ai-jobs",
      fields: [{
        field: "cursor",
        message: "must be a next_cursor of list-ai-jobs",
      }],
      cause,
    });
  }
}
