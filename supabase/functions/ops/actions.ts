/** Maps each operator action to database calls, and their results to a response. */
import { z } from "zod";
import {
  budgetsSchema,
  operatorActionSchema,
  opsJobRowSchema,
  type OpsRequest,
  overviewCountsSchema,
  parkedCallSchema,
  providerStandingsSchema,
  unknownCallSchema,
} from "../_shared/contracts/ops.ts";
import { AppError } from "../_shared/failures/app-error.ts";
import type { AnswerCheck } from "./answer-check.ts";
import { decodeCursor, pageOf } from "./pages.ts";
import { groupByJob } from "./parked.ts";
import type { OpsRepository } from "./repository.ts";
import { judge } from "./verdicts.ts";

const instant = z.iso.datetime({ offset: true });
const number = z.string().regex(/^-?[0-9]{1,18}$/);

/**
 * Returns the function that runs a request as one operator. Its results have the shapes of OPS_RESPONSES, not parsed
 * yet.
 *
 * That function throws an AppError: `not_found` for an unknown job, provider or user, the code of a database refusal,
 * or that of `check`.
 *
 * @param check queries the provider about an answer to a parked job.
 */
export function createActions(
  repository: OpsRepository,
  check: AnswerCheck,
): (request: OpsRequest) => Promise<unknown> {
  return async (request) => {
    switch (request.action) {
      case "overview":
        return judge(overviewCountsSchema.parse(await repository.overview()));
      case "charts":
        return await repository.charts(request.range);
      case "failures":
        return {
          range: request.range,
          failures: await repository.failures(request.range),
        };
      case "providers": {
        const { checked_at, providers } = providerStandingsSchema.parse(
          await repository.providers(),
        );
        return {
          checked_at,
          providers: providers.map((one) => ({
            ...one,
            error_rate: one.calls_last_hour === 0
              ? null
              : one.failed_calls_last_hour / one.calls_last_hour,
          })),
        };
      }
      case "parked":
        return {
          jobs: groupByJob(
            z.array(parkedCallSchema)
              .parse(await repository.parked(request.limit)),
          ),
        };
      case "budgets": {
        const budgets = budgetsSchema.parse(
          await repository.budgets({
            limit: request.limit + 1,
            after: decodeCursor(request.cursor, { at: number, id: z.uuid() }),
          }),
        );
        const { rows, next_cursor } = pageOf(
          budgets.users,
          request.limit,
          (user) => ({ at: String(user.spent_micros), id: user.user_id }),
        );
        return { ...budgets, users: rows, next_cursor };
      }
      case "search": {
        const jobs = z.array(opsJobRowSchema).parse(
          await repository.search(request, {
            limit: request.limit + 1,
            after: decodeCursor(request.cursor, { at: instant, id: z.uuid() }),
          }),
        );
        const { rows, next_cursor } = pageOf(
          jobs,
          request.limit,
          (job) => ({ at: job.created_at, id: job.job_id }),
        );
        return { jobs: rows, next_cursor };
      }
      case "job":
        return found(await repository.job(request.job_id));
      case "payload":
        return found(await repository.payload(request.job_id));
      case "actions": {
        const actions = z.array(operatorActionSchema).parse(
          await repository.actions({
            limit: request.limit + 1,
            after: decodeCursor(request.cursor, { at: instant, id: number }),
          }),
        );
        const { rows, next_cursor } = pageOf(
          actions,
          request.limit,
          (one) => ({ at: one.created_at, id: String(one.id) }),
        );
        return { actions: rows, next_cursor };
      }
      case "preview_redrive":
        return await repository.previewRedrive(request.filter);
      case "redrive":
        return await repository.redrive(
          request.filter,
          request.expected_count,
        );
      case "pause":
      case "resume": {
        const isPaused = request.action === "pause";
        await repository.pause(request, isPaused);
        return { is_paused: isPaused };
      }
      case "probe":
        return { is_probing: await repository.probe(request.provider) };
      case "resolve": {
        const call = unknownCallSchema.parse(
          await repository.parkedCall(request.job_id, request.call_id),
        );
        // The call that was checked: another operator may answer it meanwhile, and the job may have a second one.
        return await repository.resolve(
          request.job_id,
          call.call_id,
          await check(call, request),
        );
      }
      case "take_back":
        return await repository.takeBack(request.job_id);
      case "cancel":
        return await repository.cancel(request.job_id);
      case "retry":
        return await repository.retry(request.job_id);
      case "set_budget":
        await repository.setBudget(request, request.budget_micros);
        return { budget_micros: request.budget_micros };
    }
  };
}

function found(answer: unknown): unknown {
  if (answer === null) throw new AppError("not_found");
  return answer;
}
