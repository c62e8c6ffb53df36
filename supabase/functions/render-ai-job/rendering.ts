/** The common part of the steps of a keepsake. */
import type { SupabaseClient } from "@supabase/supabase-js";
import type { PdfRenderMetadata } from "../_shared/contracts/pdf-render.ts";
import type { Database } from "../_shared/database.types.ts";
import type { Checkpoints } from "../_shared/jobs/checkpoints.ts";
import { Snooze } from "../_shared/jobs/outcome.ts";
import type { JobContext } from "../_shared/jobs/job-context.ts";
import type { ResumableUploads } from "../_shared/storage/resumable-uploads.ts";
import type { Budget } from "./budget.ts";
import type { Plan } from "./plan.ts";

/** The dependencies of the steps. */
export interface RenderDeps {
  supabase: SupabaseClient<Database>;
  checkpoints: Checkpoints;
  uploads: ResumableUploads;
}

/** A keepsake in progress. */
export interface Rendering {
  context: JobContext;
  metadata: PdfRenderMetadata;
  plan: Plan;
  /** The upload of the book, once it has started. */
  uploadId: string | null;
  budget: Budget;
  /** Saves the checkpoint. @throws {LeaseLost} */
  save(): Promise<void>;
}

/** Ends a request whose processor time is used up; the next one continues. */
export function pause(stage: string): Snooze {
  return new Snooze(0, stage);
}
