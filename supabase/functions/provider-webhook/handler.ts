/** provider-webhook: an AI provider says that something has happened; the job that waits for it looks sooner. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import {
  elevenLabsWebhookSchema,
  heyGenWebhookSchema,
  type NamedJob,
} from "../_shared/contracts/provider-webhooks.ts";
import type { Database } from "../_shared/database.types.ts";
import { fromDatabaseError } from "../_shared/database/errors.ts";
import { AppError } from "../_shared/failures/app-error.ts";
import {
  bodyChunks,
  declaredBytes,
  parse,
  parseJson,
} from "../_shared/http/body.ts";
import {
  type ByteBudget,
  createByteBudget,
} from "../_shared/http/byte-budget.ts";
import {
  type AppDeps,
  createEndpoint,
  type EndpointContext,
} from "../_shared/http/endpoint.ts";
import {
  createJsonOutline,
  type JsonOutline,
} from "../_shared/http/json-outline.ts";
import { jsonResponse } from "../_shared/http/problem.ts";
import {
  type ReadChunks,
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

/** Most bytes of a webhook: the transcript of hours, word by word, or a few addresses. */
const MAX_BYTES = { elevenlabs: 16_777_216, heygen: 262_144, "d-id": 262_144 };

/** Most bytes of all the webhooks together that are being read; those of up to FREE_BYTES do not count. */
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
 * Answers 200 `{status}`: `woken`, `nothing_waits` or `replayed`; 401 when it is not the provider's, 404 when there is no
 * such provider or no secret is set for it. Guarantees: nothing of the body is believed but names; all that can change is
 * when the named job is looked after, and by which id it reads what it ordered, when it knows the order's alone.
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
  { request, url, signal }: EndpointContext,
  budget: ByteBudget,
): Promise<Delivery> {
  const [, rest = ""] = url.pathname.split("/provider-webhook/");
  const [provider = "", ...more] = rest.replace(/\/$/, "").split("/");
  const outline = createJsonOutline();
  const reader = (maxBytes: number): ReadChunks =>
    async function* () {
      const chunks = bodyChunks(request, maxBytes, signal);
      const length = { declaredBytes: declaredBytes(request), maxBytes };
      for await (const chunk of budget(chunks, length)) {
        outline.add(chunk);
        yield chunk;
      }
    };
  const secretOf = (secret: string | undefined, parts: number) => {
    if (secret === undefined || more.length !== parts) {
      throw new AppError("not_found");
    }
    return secret;
  };
  switch (provider) {
    case "elevenlabs": {
      const webhook = await verifyElevenLabsWebhook(
        request.headers,
        reader(MAX_BYTES.elevenlabs),
        secretOf(env.ELEVENLABS_WEBHOOK_SECRET, 0),
      );
      return { provider, webhook, job: read(outline, elevenLabsWebhookSchema) };
    }
    case "heygen": {
      const webhook = await verifyHeyGenWebhook(
        request.headers,
        reader(MAX_BYTES.heygen),
        secretOf(env.HEYGEN_WEBHOOK_SECRET, 0),
      );
      return { provider, webhook, job: read(outline, heyGenWebhookSchema) };
    }
    case "d-id": {
      const secret = secretOf(env.DID_WEBHOOK_SECRET, 2);
      const [jobId = "", token = ""] = more;
      const webhook = await verifyDIdWebhook(
        jobId,
        token,
        reader(MAX_BYTES["d-id"]),
        secret,
      );
      return { provider, webhook, job: { jobId: parse(jobId, z.uuid()) } };
    }
    default:
      throw new AppError("not_found");
  }
}

/** An event that names nothing (of a batch, or of a kind we do not know) is fine, and wakes nobody. */
function read(outline: JsonOutline, schema: z.ZodType<NamedJob>): NamedJob {
  const text = outline.text();
  return text === undefined ? {} : schema.safeParse(parseJson(text)).data ?? {};
}
