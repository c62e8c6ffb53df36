/** Queries the provider to check an operator's answer about a parked job. */
import type { z } from "zod";
import type {
  OpsRequest,
  unknownCallSchema,
} from "../_shared/contracts/ops.ts";
import { AppError } from "../_shared/failures/app-error.ts";
import {
  ERROR_CATALOGUE,
  type ErrorCode,
} from "../_shared/failures/catalogue.ts";
import { ProviderFailure } from "../_shared/failures/provider-failure.ts";
import type { ProviderInventory } from "../_shared/providers/inventory.ts";

type UnknownCall = z.infer<typeof unknownCallSchema>;
type Answer = Extract<OpsRequest, { action: "resolve" }>;

/** An answer that may be recorded. */
export interface CheckedAnswer {
  /** As the journal writes it; undefined when nothing was made. */
  providerObjectId: string | undefined;
  /** The provider could not be queried. */
  isUnchecked: boolean;
}

/** Checks an answer about the call; see {@link answerCheck}. */
export type AnswerCheck = (
  call: UnknownCall,
  answer: Answer,
) => Promise<CheckedAnswer>;

/**
 * Returns the check of answers. An object must exist, and have the job's marker where the provider shows markers; a
 * speech, which has none, must speak a part of the job's text. "Nothing was made" is refused when the provider has an
 * object with the marker.
 *
 * The check throws an AppError: `provider_object_missing`, `provider_object_mismatch`, `provider_object_found`, or,
 * unless the answer is to be recorded unchecked, `provider_not_checked` when the provider cannot be queried.
 */
export function answerCheck(
  openInventory: (provider: string) => Promise<ProviderInventory | null>,
  bounds: { signal: AbortSignal; seconds: number },
): AnswerCheck {
  return async (call, answer) => {
    const { provider_object_id: id, job_id: jobId } = answer;
    const signal = AbortSignal.any([
      bounds.signal,
      AbortSignal.timeout(bounds.seconds * 1000),
    ]);
    try {
      const inventory = await openInventory(call.provider);
      if (inventory === null) {
        throw new AppError("provider_not_checked", {
          details:
            `There is no key of ${call.provider}, so nothing was recorded.`,
        });
      }
      const providerObjectId = id === undefined
        ? await requireNothing(inventory, call, jobId, signal)
        : await requireObject(inventory, call, { id, jobId }, signal);
      return { providerObjectId, isUnchecked: false };
    } catch (error) {
      const failure = error instanceof ProviderFailure
        ? new AppError("provider_not_checked", { cause: error })
        : error;
      if (
        answer.is_unchecked && failure instanceof AppError &&
        failure.code === "provider_not_checked"
      ) {
        return { providerObjectId: id, isUnchecked: true };
      }
      throw failure;
    }
  };
}

async function requireNothing(
  inventory: ProviderInventory,
  { operation }: UnknownCall,
  jobId: string,
  signal: AbortSignal,
): Promise<undefined> {
  const found = await inventory.find(operation, `job:${jobId}`, signal)
    .catch((error) => {
      // It keeps no markers: only the operator can know.
      if (
        error instanceof ProviderFailure && error.code === "outcome_unknown"
      ) return null;
      throw error;
    });
  if (found === null) return undefined;
  throw refusal(
    "was_made",
    "provider_object_found",
    `The provider has ${found} with the marker of this job: it was made.`,
  );
}

/** Returns the id by which the journal knows the object. */
async function requireObject(
  inventory: ProviderInventory,
  call: UnknownCall,
  { id, jobId }: { id: string; jobId: string },
  signal: AbortSignal,
): Promise<string> {
  const object = await inventory.inspect({
    id,
    objectType: call.operation,
    madeAt: new Date(call.sent_at),
  }, signal).catch((error) => {
    // No object has an id that it does not accept.
    if (
      error instanceof ProviderFailure &&
      error.code === "provider_rejected_input"
    ) return null;
    throw error;
  });
  const field = "provider_object_id";
  if (object === null) throw refusal(field, "provider_object_missing");
  if (object.jobId !== undefined && object.jobId !== jobId) {
    throw refusal(
      field,
      "provider_object_mismatch",
      `It does not have the marker job:${jobId}.`,
    );
  }
  if (
    object.text !== undefined && call.text !== null &&
    !plain(call.text).includes(plain(object.text))
  ) {
    throw refusal(
      field,
      "provider_object_mismatch",
      "Its text differs from that of the job.",
    );
  }
  return object.id;
}

function plain(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}

function refusal(
  field: string,
  code: ErrorCode,
  message: string = ERROR_CATALOGUE[code].message,
): AppError {
  return new AppError(code, {
    details: message,
    fields: [{ field, message }],
  });
}
