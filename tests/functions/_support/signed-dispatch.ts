/** The database's call to process-ai-job, made by a test with a valid or an invalid signature. */
import { assert, assertEquals } from "@std/assert";
import { Webhook } from "standardwebhooks";
import { z } from "zod";
import {
  callFunction,
  type FunctionAnswer,
  signUp,
  type TestUser,
  uploadRecording,
} from "../../_support/as-user.ts";
import type { TestStack } from "../../_support/stack.ts";

const claimedSchema = z.strictObject({ claimed: z.array(z.uuid()) });

/** A dispatch as the database sends it; `change` replaces parts of it after signing. */
export interface Dispatch {
  jobIds?: string[];
  body?: string;
  messageId?: string;
  sentAt?: Date;
  secret?: string;
}

function bodyFor(jobIds: string[]): string {
  return JSON.stringify({
    type: "INSERT",
    table: "ai_jobs",
    schema: "public",
    record: { id: jobIds[0] },
    old_record: null,
    job_ids: jobIds,
  });
}

/** Headers and body, signed by the reference implementation of Standard Webhooks. */
export function signed(
  stack: TestStack,
  {
    jobIds = [],
    body = bodyFor(jobIds),
    messageId = `msg_${crypto.randomUUID()}`,
    sentAt = new Date(),
    secret = stack.dispatchSecret,
  }: Dispatch,
): { body: string; headers: Record<string, string> } {
  return {
    body,
    headers: {
      "webhook-id": messageId,
      "webhook-timestamp": String(Math.floor(sentAt.getTime() / 1000)),
      "webhook-signature": new Webhook(secret).sign(messageId, sentAt, body),
    },
  };
}

/** Sends a signed dispatch. */
export function dispatch(
  stack: TestStack,
  given: Dispatch,
): Promise<FunctionAnswer> {
  return callFunction(stack, "process-ai-job", {
    method: "POST",
    ...signed(stack, given),
  });
}

/** The ids that an accepted dispatch claimed; fails when it was not accepted. */
export function claimedBy(answer: FunctionAnswer): string[] {
  assertEquals(answer.status, 202, JSON.stringify(answer.body));
  return claimedSchema.parse(answer.body).claimed;
}

/** The job's complete row and timeline. */
export async function rowOf(stack: TestStack, jobId: string): Promise<unknown> {
  const [row] = await stack.sql`
    select to_jsonb(j) as job,
      (select jsonb_agg(to_jsonb(e) order by e.seq) from public.ai_job_events as e where e.job_id = j.id) as events
    from public.ai_jobs as j where j.id = ${jobId}`;
  assert(row !== undefined);
  return row;
}

/**
 * A due job that nothing else will start. It becomes due in the last step: a worker that has just
 * finished another test's job claims once more, and would claim it.
 */
export async function waitingJob(
  stack: TestStack,
): Promise<{ user: TestUser; jobId: string }> {
  await stack.sql`delete from public.ai_jobs where status = 'pending'`;
  const user = await signUp(stack);
  const { data, error } = await user.client.from("ai_jobs").insert({
    job_type: "voice_clone",
    input_url: await uploadRecording(user),
    metadata: { voice_name: "A voice" },
    scheduled_at: secondsAgo(-3600).toISOString(),
  }).select("id").single();
  assertEquals(error, null);
  const jobId = data?.id ?? "";
  await stack
    .sql`update public.ai_jobs set scheduled_at = now() where id = ${jobId}`;
  return { user, jobId };
}

/** A moment before now; after it when negative. */
export const secondsAgo = (seconds: number) =>
  new Date(Date.now() - seconds * 1000);
