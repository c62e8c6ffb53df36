/** The repository's writes: a short outage of the database costs neither an attempt nor a known outcome. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type {
  DatabaseError,
  FunctionName,
} from "../../../../supabase/functions/_shared/database/rpc.ts";
import { AppError } from "../../../../supabase/functions/_shared/failures/app-error.ts";
import type { JobRepository } from "../../../../supabase/functions/_shared/jobs/repository.ts";
import { createJobRepository } from "../../../../supabase/functions/_shared/jobs/rpc-repository.ts";
import { heldTimers, turn } from "../../../_support/held-timers.ts";

const LEASE = {
  id: "00000000-0000-4000-8000-000000000001",
  lease_token: "00000000-0000-4000-8000-000000000002",
};
const CALL = "00000000-0000-4000-8000-0000000000cc";
/** `admin_shutdown`: the server restarts. */
const OUTAGE = { code: "57P01", message: "terminating connection" };

/** A queue whose first calls fail with `failures`; later ones return `value`. */
function queue(failures: DatabaseError[], value: unknown = true) {
  const calls: { name: FunctionName; args: unknown }[] = [];
  const left = [...failures];
  const repository = createJobRepository((name, args) => {
    calls.push({ name, args });
    const error = left.shift() ?? null;
    return Promise.resolve({ data: error ? null : value, error });
  });
  return { calls, repository };
}

const WRITES: readonly [
  FunctionName,
  (repository: JobRepository) => Promise<unknown>,
  value: unknown,
][] = [
  ["begin_provider_calls", (repository) =>
    repository.beginProviderCall(LEASE, {
      callId: CALL,
      operation: "speak",
      stage: "speaking",
      progress: 1,
      units: 1,
    }), [{
    job_id: LEASE.id,
    error: null,
    decision: "send",
    call_id: CALL,
    ended_calls: 0,
  }]],
  [
    "settle_provider_calls",
    (repository) =>
      repository.settleProviderCall(LEASE, CALL, {
        outcome: "succeeded",
        providerObjectId: "voice-1",
      }),
    [{ job_id: LEASE.id, error: null, is_settled: true }],
  ],
  [
    "revise_provider_call",
    (repository) => repository.reviseProviderCall(LEASE, "speak", 2),
    true,
  ],
  [
    "complete_ai_jobs",
    (repository) => repository.complete(LEASE, { resultData: {} }),
    [{ job_id: LEASE.id, error: null }],
  ],
  [
    "reuse_ai_job_result",
    (repository) => repository.reuseResult(LEASE, CALL),
    true,
  ],
  ["fail_ai_job", (repository) =>
    repository.fail(LEASE, {
      code: "internal_error",
      message: "m",
      isRetryable: true,
    }), "pending"],
  [
    "snooze_ai_job",
    (repository) => repository.snooze(LEASE, 1, "waiting"),
    true,
  ],
  ["release_ai_job", (repository) => repository.release(LEASE), true],
  ["cancel_ai_job", (repository) => repository.cancel(LEASE), true],
];

for (const [name, write, value] of WRITES) {
  Deno.test(`createJobRepository: ${name} is repeated, unchanged, until the database is back`, async () => {
    using timers = heldTimers();
    const { calls, repository } = queue([OUTAGE, OUTAGE, OUTAGE], value);
    const result = write(repository);
    await timers.pass(4_000);
    assert(await result);
    assertEquals(calls.length, 4);
    assertEquals(calls, calls.map(() => ({ name, args: calls[0]?.args })));
  });
}

Deno.test("createJobRepository: a write that fails for twelve seconds throws service_unavailable", async () => {
  using timers = heldTimers();
  const { calls, repository } = queue(Array(20).fill(OUTAGE));
  const error = assertRejects(
    () => repository.complete(LEASE, { resultData: {} }),
    AppError,
  );
  await timers.pass(20_000);
  assertEquals((await error).code, "service_unavailable");
  assertEquals(calls.length, 7);
});

Deno.test("createJobRepository: a write is still repeated after three seconds", async () => {
  using timers = heldTimers();
  const { repository } = queue(Array(5).fill(OUTAGE));
  let result: boolean | undefined;
  void repository.release(LEASE).then((value) => result = value);
  await timers.pass(3_000);
  assertEquals(result, undefined);
  await timers.pass(9_000);
  assertEquals(result, true);
});

Deno.test("createJobRepository: an error that no retry can fix is thrown without a retry", async () => {
  const { calls, repository } = queue([{ code: "42883", message: "no such" }]);
  const error = await assertRejects(
    () => repository.complete(LEASE, { resultData: {} }),
    AppError,
  );
  assertEquals([error.code, calls.length], ["internal_error", 1]);
});

Deno.test("createJobRepository: claims, polls, heartbeats and wake are not repeated", async () => {
  const { calls, repository } = queue(Array(5).fill(OUTAGE));
  for (
    const call of [
      () => repository.claimDue(1),
      () =>
        repository.claimDispatched({ messageId: "msg_1", sentAtUnix: 1 }, 1),
      () => repository.poll({ id: LEASE.id, isLast: false }, 1),
      () => repository.heartbeat([{ lease: LEASE }]),
      () => repository.wake(),
    ]
  ) {
    await assertRejects(call, AppError);
    await turn();
  }
  assertEquals(calls.map(({ name }) => name), [
    "claim_ai_jobs",
    "claim_dispatched_ai_jobs",
    "poll_ai_jobs",
    "heartbeat_ai_jobs",
    "wake_ai_job_worker",
  ]);
});
