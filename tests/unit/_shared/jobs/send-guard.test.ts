/** The last check before a request is sent, which prevents a suspended worker from withPaidCall twice. */
import { assertEquals, assertRejects } from "@std/assert";
import { claimedJobSchema } from "../../../../supabase/functions/_shared/contracts/jobs.ts";
import { JobFailure } from "../../../../supabase/functions/_shared/failures/job-failure.ts";
import { Heartbeats } from "../../../../supabase/functions/_shared/jobs/heartbeats.ts";
import {
  CancelRequested,
  LeaseLost,
} from "../../../../supabase/functions/_shared/jobs/outcome.ts";
import {
  makePaidCall,
  type PaidCall,
} from "../../../../supabase/functions/_shared/jobs/paid-call.ts";
import type {
  Beat,
  CallSettlement,
} from "../../../../supabase/functions/_shared/jobs/repository.ts";
import { createLogger } from "../../../../supabase/functions/_shared/platform/log.ts";

const LEASE = {
  id: "00000000-0000-4000-8000-000000000001",
  lease_token: "00000000-0000-4000-8000-000000000002",
};
const CALL_ID = "00000000-0000-4000-8000-000000000003";

/** A journal that decides `send`, and a provider that counts its calls. The lease may be lost at settlement. */
function bench(options: { isLeaseHeld: boolean }) {
  const steps: string[] = [];
  const settled: CallSettlement[] = [];
  const journal = {
    beginProviderCall: () => {
      steps.push("begin");
      return Promise.resolve(
        { decision: "send", call_id: CALL_ID, ended_calls: 0 } as const,
      );
    },
    settleProviderCall: (
      _lease: unknown,
      _callId: string,
      settlement: CallSettlement,
    ) => {
      settled.push(settlement);
      return Promise.resolve(options.isLeaseHeld);
    },
  };
  const call: PaidCall = {
    operation: "create_voice",
    stage: "calling_provider",
    progressBefore: 30,
    progressAfter: 70,
    units: 1,
    prepare: () => {
      steps.push("prepare");
      return Promise.resolve();
    },
    send: () => {
      steps.push("send");
      return Promise.resolve("voice-1");
    },
    find: () => Promise.reject(new Error("not expected")),
  };
  return { steps, settled, journal, call };
}

const never = new AbortController().signal;

Deno.test("makePaidCall: nothing is sent once the lease may have expired, and the next worker is not affected", async () => {
  const { steps, settled, journal, call } = bench({ isLeaseHeld: false });
  await assertRejects(
    () => makePaidCall(journal, LEASE, call, never, () => false),
    LeaseLost,
  );
  assertEquals(steps, ["prepare", "begin"]);
  assertEquals(settled.map(({ outcome }) => outcome), ["rejected"]);
});

Deno.test("makePaidCall: if the lease was still valid, the attempt is retryable and nothing was spent", async () => {
  const { steps, settled, journal, call } = bench({ isLeaseHeld: true });
  const failure = await assertRejects(
    () => makePaidCall(journal, LEASE, call, never, () => false),
    JobFailure,
  );
  assertEquals([failure.code, failure.isRetryable], ["lease_expired", true]);
  assertEquals(steps, ["prepare", "begin"]);
  assertEquals(settled.map(({ outcome }) => outcome), ["rejected"]);
});

Deno.test("makePaidCall: nothing is sent if the owner cancels while the journal is written", async () => {
  const { steps, settled, journal, call } = bench({ isLeaseHeld: true });
  const stop = new AbortController();
  stop.abort(new CancelRequested());
  await assertRejects(
    () => makePaidCall(journal, LEASE, call, stop.signal, () => true),
    JobFailure,
  );
  assertEquals(steps, ["prepare", "begin"]);
  assertEquals(settled.map(({ outcome }) => outcome), ["rejected"]);
});

Deno.test("makePaidCall: twin: with a valid lease the request is sent, after the preparation", async () => {
  const { steps, journal, call } = bench({ isLeaseHeld: true });
  const id = await makePaidCall(journal, LEASE, call, never, () => true);
  assertEquals(id, "voice-1");
  assertEquals(steps, ["prepare", "begin", "send"]);
});

Deno.test("Heartbeats: a lease is valid for its length after the last successful heartbeat, by uptime", async () => {
  let uptimeMs = 1000;
  const platform = {
    uptimeMs: () => uptimeMs,
    now: () => new Date(0),
    writeLine: () => {},
  };
  let isDatabaseThere = true;
  const heartbeats = new Heartbeats(
    platform,
    {
      heartbeat: (beats: readonly Beat[]) =>
        isDatabaseThere
          ? Promise.resolve(
            new Map(
              beats.map(({ lease }) => [lease.id, {
                isCancelRequested: false,
              }]),
            ),
          )
          : Promise.reject(new Error("the database is unavailable")),
    },
    createLogger(platform, { level: "error", secrets: [] }),
  );
  const job = claimedJobSchema.parse({
    id: LEASE.id,
    user_id: LEASE.id,
    job_type: "voice_clone",
    provider: "elevenlabs",
    spend: "none",
    started_at: "2026-11-22T12:00:00Z",
    input_url: null,
    cached_from_job_id: null,
    metadata: {},
    attempt: 1,
    max_attempts: 5,
    input_hash: null,
    depends_on_job_id: null,
    lease_token: LEASE.lease_token,
    updated_at: "2026-11-22T12:00:00Z",
    lease_expires_at: "2026-11-22T12:00:10Z",
  });
  const heartbeat = heartbeats.watch(job, () => {});
  const isValidAt = (ms: number) => {
    uptimeMs = ms;
    return heartbeat.leaseIsValid();
  };
  assertEquals([isValidAt(10_999), isValidAt(11_000)], [true, false]);

  uptimeMs = 9000;
  heartbeat.report(10, "fetching_input");
  await heartbeat.flushed();
  assertEquals([isValidAt(18_999), isValidAt(19_000)], [true, false]);

  isDatabaseThere = false;
  uptimeMs = 15_000;
  heartbeat.report(20, "fetching_input");
  await heartbeat.flushed();
  assertEquals([isValidAt(18_999), isValidAt(19_000)], [true, false]);
  await heartbeat.stop();
});
