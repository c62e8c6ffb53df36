/**
 * Outages of a provider that begin before a paid call, or that do not affect its listing: the breaker opens, only one
 * probe is sent at a time, no attempt is spent, and after the outage every job completes and is paid for once.
 */
import { assert, assertEquals } from "@std/assert";
import { signUp } from "../_support/as-user.ts";
import {
  assertVideoOnce,
  AVATAR_PROVIDERS,
  requestVideo,
  uploadPortrait,
} from "../_support/avatar-jobs.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import { sweepJob, waitForJob, waitUntil } from "../_support/wait-for.ts";

const running = useStack();

const JOBS = 3;
const UPLOADS = { "d-id": "images.create", heygen: "assets.create" } as const;

interface Breaker {
  state: string;
  failed_probes: number;
  last_error_code: string | null;
}

async function breakerOf(stack: TestStack, provider: string): Promise<Breaker> {
  const [row] = await stack.sql<Breaker>`
    select state, failed_probes, last_error_code from private.ai_provider_states where provider = ${provider}`;
  assert(row !== undefined);
  return row;
}

/** Lets every wait of the jobs pass, with the lag of the provider's listing, and sweeps. */
async function passTime(stack: TestStack, jobIds: string[]): Promise<void> {
  await stack.sql`
    update public.ai_provider_calls set unknown_since = unknown_since - interval '1 day' where outcome = 'unknown'`;
  for (const jobId of jobIds) await sweepJob(stack, jobId);
}

for (const { provider, create, list } of AVATAR_PROVIDERS) {
  const upload = UPLOADS[provider];
  for (
    const [failing, operations] of [
      ["uploads", [upload]],
      ["submissions, while the listing works,", [create]],
      ["submissions and the listing", [create, list]],
    ] as const
  ) {
    Deno.test(`${provider}: an outage of ${failing} opens the breaker, and then each job completes`, async () => {
      const stack = running();
      await stack.simulator.set({ render_ms: 0, webhooks: "lost" }, provider);
      await stack.sql`
        update public.ai_providers set breaker_threshold = ${JOBS}, breaker_pause_seconds = 1, breaker_max_pause_seconds = 1
        where provider = ${provider}`;
      await stack.simulator.fail(
        ...operations.map((operation) => ({
          provider,
          operation,
          times: null,
          fault: { kind: "html", status: 503 },
        })),
      );
      const user = await signUp(stack);
      const photo = await uploadPortrait(user);
      const jobIds: string[] = [];
      for (let nth = 0; nth < JOBS; nth++) {
        jobIds.push(
          await requestVideo(user, photo, { provider, text: `Hello, ${nth}.` }),
        );
      }
      await waitUntil("two failed probes", async () => {
        await passTime(stack, jobIds);
        return (await breakerOf(stack, provider)).failed_probes >= 2;
      });
      const { state, last_error_code } = await breakerOf(stack, provider);
      assert(state === "open" || state === "probing", state);
      assertEquals(last_error_code, "provider_unavailable");
      const [spent] = await stack.sql<{ attempts: number; failed: number }>`
        select max(attempt) as attempts, count(*) filter (where status = 'failed')::int as failed
        from public.ai_jobs where id = any (${jobIds}::uuid[])`;
      assertEquals(spent?.failed, 0);
      assert((spent?.attempts ?? 9) <= 2, `${spent?.attempts} attempts`);

      await stack.simulator.clearFaults();
      await waitUntil("the breaker closes", async () => {
        await passTime(stack, jobIds);
        return (await breakerOf(stack, provider)).state === "working";
      });
      await waitUntil("all jobs end", async () => {
        await passTime(stack, jobIds);
        const [row] = await stack.sql<{ left: number }>`
          select count(*)::int as left from public.ai_jobs
          where id = any (${jobIds}::uuid[]) and status in ('pending', 'processing')`;
        return row?.left === 0;
      });
      for (const jobId of jobIds) {
        await waitForJob(stack, user, jobId, "completed");
        await assertVideoOnce(stack, jobId);
      }
    });
  }
}
