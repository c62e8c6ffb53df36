/** Queries of the journal of paid calls (`ai_provider_calls`). Only the repository writes its rows. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { ClaimedJob } from "../contracts/jobs.ts";
import type { Database } from "../database.types.ts";
import { fromDatabaseError } from "../database/errors.ts";

const sentSchema = z.object({ sent_at: z.string() }).nullable();
const settledSchema = z.object({ sent_at: z.string(), settled_at: z.string() })
  .nullable();
const objectIdsSchema = z.array(
  z.object({ provider_object_id: z.string() }),
);

/** When a call was sent and settled, by the database's clock. */
export interface SettledTimes {
  sentAt: Date;
  settledAt: Date;
}

/**
 * Reads earlier paid calls of a job for its processor. Every method throws an AppError when the database cannot be
 * read.
 */
export interface CallJournal {
  /** When the open call of a step was sent, by the database's clock; null when no call of the step is open. */
  openCallSentAt(
    job: Pick<ClaimedJob, "id">,
    operation: string,
  ): Promise<Date | null>;
  /** The times of the call that made an object; null when there is no such settled call. */
  settledCall(
    job: Pick<ClaimedJob, "id">,
    operation: string,
    providerObjectId: string,
  ): Promise<SettledTimes | null>;
  /** The given object ids of the provider that no call of any job has recorded, in the order given. */
  unrecorded(provider: string, objectIds: string[]): Promise<string[]>;
}

/** The journal over the Data API. */
export function createCallJournal(
  supabase: SupabaseClient<Database>,
): CallJournal {
  return {
    async openCallSentAt(job, operation) {
      const { data, error } = await supabase.from("ai_provider_calls")
        .select("sent_at").eq("job_id", job.id).eq("operation", operation)
        .is("settled_at", null).maybeSingle();
      if (error) throw fromDatabaseError(error);
      const call = sentSchema.parse(data);
      return call && new Date(call.sent_at);
    },
    async settledCall(job, operation, providerObjectId) {
      const { data, error } = await supabase.from("ai_provider_calls")
        .select("sent_at,settled_at").eq("job_id", job.id)
        .eq("operation", operation).eq("provider_object_id", providerObjectId)
        .not("settled_at", "is", null).maybeSingle();
      if (error) throw fromDatabaseError(error);
      const call = settledSchema.parse(data);
      return call && {
        sentAt: new Date(call.sent_at),
        settledAt: new Date(call.settled_at),
      };
    },
    async unrecorded(provider, objectIds) {
      if (objectIds.length === 0) return [];
      const { data, error } = await supabase.from("ai_provider_calls")
        .select("provider_object_id").eq("provider", provider)
        .in("provider_object_id", objectIds);
      if (error) throw fromDatabaseError(error);
      const recorded = new Set(
        objectIdsSchema.parse(data).map((call) => call.provider_object_id),
      );
      return objectIds.filter((id) => !recorded.has(id));
    },
  };
}
