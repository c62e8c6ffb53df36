import {
  assert,
  assertEquals,
  assertObjectMatch,
  assertRejects,
} from "@std/assert";
import { JobFailure } from "../../../../supabase/functions/_shared/failures/job-failure.ts";
import { ProviderFailure } from "../../../../supabase/functions/_shared/failures/provider-failure.ts";
import {
  ShuttingDown,
  Snooze,
} from "../../../../supabase/functions/_shared/jobs/outcome.ts";
import { heldTimers, turn } from "../../../_support/held-timers.ts";
import {
  bench,
  DEADLINE_MS,
  DONE,
  untilAborted,
  withPaidCall,
} from "../../_support/run-bench.ts";

Deno.test("JobRun: a shutdown stops unpaid work and releases the job without spending the attempt", async () => {
  const { run, row, repository, platform, shutDown } = bench(({ signal }) =>
    untilAborted(signal)
  );
  const running = run();
  await turn();
  shutDown();
  await running;
  assertEquals(repository.effects, ["release"]);
  assertEquals(
    [row.status, row.attempt, row.errorCode, repository.wait(row)],
    ["pending", 0, null, 0],
  );
  assertObjectMatch(platform.logged().at(-1) ?? {}, {
    level: "info",
    event: "job_released",
  });
});

Deno.test("JobRun: an error of a call that a shutdown aborted does not count as a provider's failure", async () => {
  const { run, row, repository, shutDown } = bench(async ({ signal }) => {
    await untilAborted(signal).catch((cause) => {
      throw JobFailure.retryable("storage_unavailable", { cause });
    });
    return DONE;
  });
  const running = run();
  await turn();
  shutDown();
  await running;
  assertEquals([repository.effects, row.errorCode], [["release"], null]);
});

Deno.test("JobRun: a final failure stays final when the isolate ends at that moment", async () => {
  const { run, row, shutDown } = bench(() => {
    shutDown();
    return Promise.reject(
      JobFailure.final("input_not_found"),
    );
  });
  await run();
  assertEquals([row.status, row.errorCode], ["failed", "input_not_found"]);
});

Deno.test("JobRun: a job claimed by an isolate that is shutting down is released unchanged", async () => {
  const { run, row, repository, shutDown } = bench(() =>
    Promise.reject(new Error("not to be run"))
  );
  shutDown();
  await run();
  assertEquals([row.status, row.attempt], ["pending", 0]);
  assertEquals(repository.effects, ["release"]);
});

for (const [maxAttempts, status] of [[2, "pending"], [1, "failed"]] as const) {
  Deno.test(`JobRun: a job that exceeded its isolate's limits spends an attempt of ${maxAttempts}: ${status}`, async () => {
    const { run, row, repository, shutDownForLimit, platform } = bench(
      ({ signal }) => untilAborted(signal),
      { values: { maxAttempts } },
    );
    const running = run();
    await turn();
    shutDownForLimit();
    await running;
    assertEquals(repository.effects, ["fail"]);
    assertEquals([row.status, row.attempt, row.errorCode], [
      status,
      1,
      "worker_limit_exceeded",
    ]);
    assertEquals(platform.logged().at(-1)?.["error_code"], row.errorCode);
  });
}

Deno.test("JobRun: a job that has paid is released without spending the attempt, even for its isolate's limits", async () => {
  const { run, row, repository, shutDownForLimit } = bench(async (context) => {
    await withPaidCall(() => Promise.resolve("voice-1"))(context);
    shutDownForLimit();
    return await untilAborted(context.signal);
  });
  await run();
  assertEquals([row.status, row.attempt], ["pending", 0]);
  assertEquals(repository.effects.at(-1), "release");
});

Deno.test("JobRun: a shutdown waits for a paid call, and its response completes the job", async () => {
  const answer = Promise.withResolvers<string>();
  const signals: AbortSignal[] = [];
  const { run, row, repository, shutDown } = bench(withPaidCall((signal) => {
    signals.push(signal);
    return answer.promise;
  }));
  const running = run();
  await turn();
  shutDown();
  await turn();
  assertEquals([signals[0]?.aborted, row.status], [false, "processing"]);
  answer.resolve("voice-1");
  await running;
  assertEquals([row.status, row.completion?.resultData], [
    "completed",
    { voice_id: "voice-1" },
  ]);
  assertEquals(repository.effects.at(-1), "complete");
});

Deno.test("JobRun: after a paid call that a shutdown waited for, nothing is started", async () => {
  const { run, row, repository, shutDown } = bench(async (context) => {
    const pay = withPaidCall(() => {
      shutDown();
      return Promise.resolve("voice-1");
    });
    await pay(context);
    assert(context.signal.reason instanceof ShuttingDown);
    await assertRejects(() =>
      context.pay({
        operation: "create_video",
        stage: "x",
        progressBefore: 80,
        progressAfter: 90,
        units: 1,
        send: () => Promise.reject(new Error("not to be sent")),
        find: () => Promise.reject(new Error("not to be queried")),
      }), ShuttingDown);
    context.progress(75, "fetching_output");
    return DONE;
  });
  await run();
  assertEquals([row.status, row.attempt], ["pending", 0]);
  assertEquals(repository.effects, [
    "beginProviderCall",
    "settleProviderCall",
    "release",
  ]);
});

for (
  const [why, failure, effects, status, attempt] of [
    [
      "a retryable refusal",
      ProviderFailure.rejected("provider_rate_limited", {
        retryAfterSeconds: 90,
      }),
      ["beginProviderCall", "settleProviderCall", "fail"],
      "pending",
      1,
    ],
    [
      "a final refusal",
      ProviderFailure.rejected("provider_rejected_input"),
      ["beginProviderCall", "settleProviderCall", "fail"],
      "failed",
      1,
    ],
    [
      "no usable response",
      ProviderFailure.unknown("provider_timeout"),
      ["beginProviderCall", "settleProviderCall", "snooze"],
      "pending",
      0,
    ],
  ] as const
) {
  Deno.test(`JobRun: a paid call that a shutdown waited for and that ends with ${why} is handled as usual`, async () => {
    const { run, row, repository, shutDown } = bench(withPaidCall(() => {
      shutDown();
      return Promise.reject(failure);
    }));
    await run();
    assertEquals(repository.effects, [...effects]);
    assertEquals([row.status, row.attempt], [status, attempt]);
    if (failure.retryAfterSeconds !== undefined) {
      assertEquals(repository.wait(row), failure.retryAfterSeconds);
    }
  });
}

Deno.test("JobRun: a processor that ignores a failed paid call is stopped by the shutdown at its next step", async () => {
  const { run, row, repository, shutDown } = bench(async (context) => {
    const pay = withPaidCall(() => {
      shutDown();
      return Promise.reject(
        ProviderFailure.rejected("provider_rejected_input"),
      );
    });
    await pay(context).catch(() => {});
    context.progress(75, "going_on");
    return DONE;
  });
  await run();
  assertEquals([row.status, repository.effects.at(-1)], ["pending", "release"]);
});

Deno.test("JobRun: a conclusive empty query spends the attempt, even if the isolate ends at that moment", async () => {
  const { run, row, repository, shutDown } = bench(
    withPaidCall(
      () =>
        Promise.reject(
          ProviderFailure.unknown("provider_timeout"),
        ),
      () => {
        shutDown();
        return Promise.resolve(null);
      },
    ),
  );
  await run();
  repository.pass(60);
  await run();
  assertEquals(
    [row.status, row.attempt, row.errorCode],
    ["pending", 1, "provider_unavailable"],
  );
});

// Time

Deno.test("JobRun: when the isolate's time is up, unpaid work is released", async () => {
  using timers = heldTimers();
  const { run, row, platform } = bench(({ signal }) => untilAborted(signal));
  platform.advance(100_000);
  const running = run();
  await timers.pass(DEADLINE_MS - 100_000 - 1);
  assertEquals(row.status, "processing");
  await timers.pass(1);
  await running;
  assertEquals([row.status, row.attempt], ["pending", 0]);
  assertEquals(platform.events().at(-1), "job_released");
});

Deno.test("JobRun: when the isolate's time is up, a paid call is awaited and nothing is started after it", async () => {
  using timers = heldTimers();
  const answer = Promise.withResolvers<string>();
  const signals: AbortSignal[] = [];
  const pay = withPaidCall((signal) => {
    signals.push(signal);
    return answer.promise;
  });
  const { run, row, repository } = bench(async (context) => {
    await pay(context);
    return await untilAborted(context.signal);
  });
  const running = run();
  await timers.pass(DEADLINE_MS);
  assertEquals([signals[0]?.aborted, row.status], [false, "processing"]);
  answer.resolve("voice-1");
  await running;
  assertEquals(repository.journal.calls[0]?.outcome, "succeeded");
  assertEquals([row.status, row.attempt], ["pending", 0]);
  assertEquals(repository.effects.at(-1), "release");
});

Deno.test("JobRun: a job claimed after the isolate's time is released without being run", async () => {
  const { run, row, platform } = bench(({ signal }) => untilAborted(signal));
  platform.advance(DEADLINE_MS + 1);
  await run();
  assertEquals([row.status, row.attempt], ["pending", 0]);
});

Deno.test("JobRun: a finished run leaves no timer", async () => {
  using timers = heldTimers();
  const { run, row, repository, shutDown } = bench(() =>
    Promise.reject(new Snooze(5, "rendering"))
  );
  await run();
  await timers.pass(DEADLINE_MS);
  shutDown();
  await timers.pass(0);
  assertEquals([row.status, repository.effects], ["pending", ["snooze"]]);
});
