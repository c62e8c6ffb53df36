/** provider-webhook: an AI provider says that something has happened; the job that waits for it looks sooner. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import {
  elevenLabsWebhookSchema,
  heyGenWebhookSchema,
  type NamedJob,
} from "../_shared/contracts/provider-webhooks.ts";
import type { Database } from "../_shared/database.types.ts";
import { AppError, fromDatabaseError } from "../_shared/errors.ts";
import { parse, parseJson, readBytes } from "../_shared/http/body.ts";
import { type AppDeps, createEndpoint } from "../_shared/http/endpoint.ts";
import { jsonResponse } from "../_shared/http/problem.ts";
import type { Bytes } from "../_shared/platform/bytes.ts";
import {
  type VerifiedWebhook,
  verifyDIdWebhook,
  verifyElevenLabsWebhook,
  verifyHeyGenWebhook,
} from "../_shared/http/webhook-signatures.ts";

/** What the handler needs beyond the platform. */
export interface WebhookDeps extends AppDeps {
  /** The service's client: a webhook acts for no user. */
  supabase: SupabaseClient<Database>;
}

/** Most bytes of a webhook: the transcript of hours, word by word. */
const MAX_WEBHOOK_BYTES = 16_777_216;

const receiptSchema = z.enum(["woken", "nothing_waits", "replayed"]);

interface Delivery {
  provider: string;
  webhook: VerifiedWebhook;
  job: NamedJob;
}

/**
 * POST `/provider-webhook/<provider>`, for D-ID `/provider-webhook/d-id/<job id>/<token>`.
 *
 * Answers 200 `{status}`: `woken`, `nothing_waits` or `replayed`; 401 when it is not the provider's, 404 when there is no
 * such provider or no secret is set for it. Guarantees: nothing of the body is believed but names; all that can change is
 * when the named job is looked after, and by which id it reads what it ordered, when it knows the order's alone.
 */
export function createHandler(
  deps: WebhookDeps,
): (request: Request) => Promise<Response> {
  const endpoint = createEndpoint(
    deps,
    { name: "provider-webhook", method: "POST" },
    async ({ request, url, log }) => {
      const { provider, webhook, job } = await verify(deps, request, url);
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
          ...(job.orderId === undefined ? {} : { p_order_id: job.orderId }),
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
  // HeyGen probes an address with OPTIONS when it is registered, and takes 200 alone.
  return (request) =>
    request.method === "OPTIONS"
      ? Promise.resolve(new Response(null, { status: 200 }))
      : endpoint(request);
}

async function verify(
  { env }: WebhookDeps,
  request: Request,
  url: URL,
): Promise<Delivery> {
  const [, rest = ""] = url.pathname.split("/provider-webhook/");
  const [provider = "", ...more] = rest.replace(/\/$/, "").split("/");
  let bytes = new Uint8Array();
  const body = async () => bytes = await readBytes(request, MAX_WEBHOOK_BYTES);
  const secretOf = (secret: string | undefined, parts: number) => {
    if (secret === undefined || more.length !== parts) {
      throw new AppError("not_found");
    }
    return secret;
  };
  switch (provider) {
    case "elevenlabs": {
      const secret = secretOf(env.ELEVENLABS_WEBHOOK_SECRET, 0);
      const webhook = await verifyElevenLabsWebhook(
        request.headers,
        body,
        secret,
      );
      return { provider, webhook, job: read(bytes, elevenLabsWebhookSchema) };
    }
    case "heygen": {
      const secret = secretOf(env.HEYGEN_WEBHOOK_SECRET, 0);
      const webhook = await verifyHeyGenWebhook(request.headers, body, secret);
      return { provider, webhook, job: read(bytes, heyGenWebhookSchema) };
    }
    case "d-id": {
      const secret = secretOf(env.DID_WEBHOOK_SECRET, 2);
      const [jobId = "", token = ""] = more;
      const webhook = await verifyDIdWebhook(jobId, token, body, secret);
      return { provider, webhook, job: { jobId: parse(jobId, z.uuid()) } };
    }
    default:
      throw new AppError("not_found");
  }
}

/** An event that names nothing (of a batch, or of a kind we do not know) is fine, and wakes nobody. */
function read(
  bytes: Bytes,
  schema: z.ZodType<NamedJob>,
): NamedJob {
  const body = parseJson(new TextDecoder().decode(bytes));
  return schema.safeParse(body).data ?? {};
}
