/** provider-webhook: an AI provider reports progress, and the job that waits for it polls sooner. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { Database } from "../_shared/database.types.ts";
import { fromDatabaseError } from "../_shared/database/errors.ts";
import { AppError } from "../_shared/failures/app-error.ts";
import { bodyChunks, declaredBytes, parseJson } from "../_shared/http/body.ts";
import {
  type ByteBudget,
  createByteBudget,
} from "../_shared/http/byte-budget.ts";
import {
  type AppDeps,
  createEndpoint,
  type EndpointContext,
} from "../_shared/http/endpoint.ts";
import { createJsonOutline } from "../_shared/http/json-outline.ts";
import { jsonResponse } from "../_shared/http/problem.ts";
import { webhookOf } from "../_shared/providers/index.ts";
import type {
  NamedJob,
  VerifiedWebhook,
  WebhookDelivery,
} from "../_shared/providers/webhook.ts";

/** What the handler needs beyond the platform. */
export interface WebhookDeps extends AppDeps {
  /** The service's client: a webhook acts for no user. */
  supabase: SupabaseClient<Database>;
}

/** Maximum bytes of all webhooks that are being read at the same time; those of up to FREE_BYTES do not count. */
const MAX_BYTES_IN_FLIGHT = 67_108_864;
const FREE_BYTES = 65_536;

const receiptSchema = z.enum(["woken", "nothing_waits", "replayed"]);

interface Delivery {
  provider: string;
  webhook: VerifiedWebhook;
  job: NamedJob;
}

/**
 * POST `/provider-webhook/<provider>`, for D-ID `/provider-webhook/d-id/<job id>/<token>`.
 *
 * Returns 200 `{status}`: `woken`, `nothing_waits` or `replayed`; 401 when the signature is invalid, 404 when the
 * provider is unknown or has no secret. Guarantees: only ids are read from the body. A webhook can change when the
 * named job polls, and by which id it reads its result if it only knew the request's id.
 */
export function createHandler(
  deps: WebhookDeps,
): (request: Request) => Promise<Response> {
  const budget = createByteBudget({
    maxBytes: MAX_BYTES_IN_FLIGHT,
    freeBytes: FREE_BYTES,
  });
  const endpoint = createEndpoint(
    deps,
    { name: "provider-webhook", method: "POST" },
    async (context) => {
      const { log } = context;
      const { provider, webhook, job } = await verify(deps, context, budget);
      const { data, error } = await deps.supabase.rpc(
        "receive_provider_webhook",
        {
          p_provider: provider,
          p_event_ids: webhook.eventIds,
          p_tolerance_seconds: webhook.toleranceSeconds,
          ...(job.jobId === undefined ? {} : { p_job_id: job.jobId }),
          ...(job.providerJobId === undefined
            ? {}
            : { p_provider_job_id: job.providerJobId }),
          ...(job.submissionId === undefined
            ? {}
            : { p_submission_id: job.submissionId }),
          ...(webhook.sentAtUnix === undefined
            ? {}
            : { p_sent_at_unix: webhook.sentAtUnix }),
        },
      );
      if (error) throw fromDatabaseError(error);
      const status = receiptSchema.parse(data);
      log.info("webhook_received", {
        provider,
        receipt: status,
        job_id: job.jobId,
        provider_job_id: job.providerJobId,
      });
      return jsonResponse({ status });
    },
  );
  // HeyGen probes a URL with OPTIONS when it is registered, and accepts only 200.
  return (request) =>
    request.method === "OPTIONS"
      ? Promise.resolve(new Response(null, { status: 200 }))
      : endpoint(request);
}

async function verify(
  { env }: WebhookDeps,
  { request, url, signal }: EndpointContext,
  budget: ByteBudget,
): Promise<Delivery> {
  const [, rest = ""] = url.pathname.split("/provider-webhook/");
  const [provider = "", ...segments] = rest.replace(/\/$/, "").split("/");
  const receiver = webhookOf(provider);
  const secret = receiver?.secretOf(env);
  if (
    receiver === undefined || secret === undefined ||
    segments.length !== receiver.segments
  ) throw new AppError("not_found");
  const outline = createJsonOutline();
  const delivery: WebhookDelivery = {
    headers: request.headers,
    segments,
    async *readBody() {
      const { maxBytes } = receiver;
      const chunks = bodyChunks(request, maxBytes, signal);
      const length = { declaredBytes: declaredBytes(request), maxBytes };
      for await (const chunk of budget(chunks, length)) {
        outline.add(chunk);
        yield chunk;
      }
    },
  };
  const webhook = await receiver.verify(delivery, secret);
  const job = receiver.readJob(delivery, () => {
    const text = outline.text();
    return text === undefined ? undefined : parseJson(text);
  });
  return { provider, webhook, job };
}
