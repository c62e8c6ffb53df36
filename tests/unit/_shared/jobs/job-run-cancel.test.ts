import { assert, assertEquals } from "@std/assert";
import { AppError } from "../../../../supabase/functions/_shared/failures/app-error.ts";
import { JobFailure } from "../../../../supabase/functions/_shared/failures/job-failure.ts";
import { ProviderFailure } from "../../../../supabase/functions/_shared/failures/provider-failure.ts";
import { CancelRequested } from "../../../../supabase/functions/_shared/jobs/outcome.ts";
import { heldTimers, turn } from "../../../_support/held-timers.ts";
import {
  bench,
  DONE,
  fullWork,
  untilAborted,
  withPaidCall,
  type Work,
} from "../../_support/run-bench.ts";

/** A provider's client whose request ends with its signal, with an unknown outcome. */
const brokenOff = (signal: AbortSignal) =>
  untilAborted(signal).catch((cause) => {
    throw ProviderFailure.unknown("provider_timeout", { cause });
  });

/** Long enough for a heartbeat to report the cancellation. */
const HEARTBEAT_MS = 3_334;

Deno.test("JobRun: a job whose owner cancels stops within a heartbeat and ends as cancelled", async () => {
  using timers = heldTimers();
  const reasons: unknown[] = [];
  const { run, row, repository, platform } = bench(({ signal }) => {
    signal.addEventListener("abort", () => reasons.push(signal.reason));
    return untilAborted(signal);
  });
  const running = run();
  await timers.pass(0);
  repository.requestCancel(row);
  await timers.pass(HEARTBEAT_MS);
  await running;
  assert(reasons[0] instanceof CancelRequested);
  assertEquals([row.status, row.errorCode], ["cancelled", "cancelled"]);
  assertEquals(repository.effects, ["heartbeat", "cancel"]);
  assertEquals(platform.events(), ["job_started", "job_cancelled"]);
});

Deno.test("JobRun: a job that was cancelled before its paid call sends none", async () => {
  const { run, row, repository, platform } = bench((context) => {
    repository.requestCancel(row);
    return withPaidCall(() => Promise.reject(new Error("not to be sent")))(
      context,
    );
  });
  await run();
  assertEquals(row.status, "cancelled");
  assertEquals(repository.journal.calls, []);
  assertEquals(repository.effects, ["beginProviderCall", "cancel"]);
  assertEquals(platform.events().at(-1), "job_cancelled");
});

Deno.test("JobRun: a report whose response has the cancellation prevents the next paid call", async () => {
  const { run, row, repository, platform } = bench((context) => {
    platform.advance(500);
    repository.requestCancel(row);
    return fullWork(context);
  });
  await run();
  assertEquals(row.status, "cancelled");
  assertEquals(repository.calls, ["heartbeat", "cancel"]);
});

Deno.test("JobRun: a cancellation aborts a paid call; its object is found, removed and recorded", async () => {
  using timers = heldTimers();
  const undone: string[] = [];
  const { run, row, repository, platform } = bench(withPaidCall(
    brokenOff,
    () => Promise.resolve("voice-1"),
    (id) => {
      undone.push(id);
      return Promise.resolve();
    },
  ));
  const running = run();
  await timers.pass(0);
  repository.requestCancel(row);
  await timers.pass(HEARTBEAT_MS);
  await running;
  assertEquals(undone, ["voice-1"]);
  const [call] = repository.journal.calls;
  assertEquals([call?.outcome, call?.providerObjectId], ["adopted", "voice-1"]);
  assertEquals([row.status, row.completion], ["cancelled", null]);
  assertEquals(repository.effects, [
    "beginProviderCall",
    "heartbeat",
    "settleProviderCall",
    "settleProviderCall",
    "cancel",
  ]);
  assertEquals(platform.events().at(-1), "job_cancelled");
});

Deno.test("JobRun: a cancelled paid call whose result cannot be found stays unknown in the journal", async () => {
  using timers = heldTimers();
  const { run, row, repository } = bench(withPaidCall(brokenOff));
  const running = run();
  await timers.pass(0);
  repository.requestCancel(row);
  await timers.pass(HEARTBEAT_MS);
  await running;
  assertEquals(row.status, "cancelled");
  assertEquals(
    repository.journal.calls.map((call) => call.outcome),
    ["unknown"],
  );
  assertEquals(repository.effects.at(-1), "cancel");
});

Deno.test("JobRun: the lease is kept while the provider is queried after a cancellation", async () => {
  using timers = heldTimers();
  const found = Promise.withResolvers<string>();
  const { run, row, repository } = bench(
    withPaidCall(brokenOff, () => found.promise, () => Promise.resolve()),
  );
  const running = run();
  await timers.pass(0);
  repository.requestCancel(row);
  await timers.pass(HEARTBEAT_MS);
  for (let second = 0; second < 20; second++) {
    repository.pass(1);
    await timers.pass(1_000);
    repository.rescue();
  }
  assertEquals(row.status, "processing");
  found.resolve("voice-1");
  await running;
  assertEquals(row.status, "cancelled");
});

Deno.test("JobRun: a response that arrives before the cancellation completes the job", async () => {
  const { run, row, repository } = bench(withPaidCall(() => {
    repository.requestCancel(row);
    return Promise.resolve("voice-1");
  }));
  await run();
  assertEquals(
    [row.status, row.completion?.resultData],
    ["completed", { voice_id: "voice-1" }],
  );
});

Deno.test("JobRun: a cancellation also aborts a paid call that a shutdown waits for", async () => {
  using timers = heldTimers();
  const { run, row, repository, shutDown } = bench(
    withPaidCall(
      brokenOff,
      () => Promise.resolve("voice-1"),
      () => Promise.resolve(),
    ),
  );
  const running = run();
  await timers.pass(0);
  shutDown();
  repository.requestCancel(row);
  await timers.pass(HEARTBEAT_MS);
  await running;
  assertEquals([row.status, repository.effects.at(-1)], [
    "cancelled",
    "cancel",
  ]);
});

Deno.test("JobRun: a cancelled job that another worker owns is not changed", async () => {
  const { run, row, repository, platform } = bench(
    async ({ progress, signal }) => {
      platform.advance(500);
      repository.requestCancel(row);
      progress(10, "fetching_input");
      await turn();
      assert(signal.aborted);
      repository.takeOver(row);
      signal.throwIfAborted();
      return DONE;
    },
  );
  await run();
  assertEquals([row.status, repository.effects], ["processing", ["heartbeat"]]);
  assertEquals(platform.events().at(-1), "lease_lost");
});

Deno.test("JobRun: a cancellation after the paid call removes its object before the job ends", async () => {
  for (const decision of ["send", "done"]) {
    const order: string[] = [];
    const { run, row, repository, platform } = bench(async (context) => {
      const work = withPaidCall(
        () => Promise.resolve("voice-1"),
        undefined,
        (id, signal) => {
          assertEquals(signal.aborted, false, "it has its own time limit");
          order.push(`undo ${id} while ${row.status}`);
          return Promise.reject(new Error("what cannot be removed stays"));
        },
      );
      const done = await work(context);
      repository.requestCancel(row);
      platform.advance(500);
      context.progress(80, "writing_result");
      await turn();
      context.signal.throwIfAborted();
      return done;
    });
    if (decision === "done") {
      const earlier = repository.claim(row);
      const begun = await repository.beginProviderCall(
        earlier,
        {
          callId: crypto.randomUUID(),
          operation: "create_voice",
          stage: "calling_provider",
          progress: 30,
          units: 1,
        },
      );
      assert(begun?.decision === "send");
      await repository.settleProviderCall(earlier, begun.call_id, {
        outcome: "succeeded",
        providerObjectId: "voice-1",
      });
      await repository.release(earlier);
    }
    await run();
    assertEquals(order, ["undo voice-1 while processing"], decision);
    assertEquals([row.status, repository.effects.at(-1)], [
      "cancelled",
      "cancel",
    ]);
  }
});

Deno.test("JobRun: any other ending after a paid call removes nothing, so the next claim can use it", async () => {
  const { run, row } = bench(async (context) => {
    await withPaidCall(
      () => Promise.resolve("voice-1"),
      undefined,
      () => Promise.reject(new Error("not to be undone")),
    )(context);
    throw new Error("Storage is unavailable");
  });
  await run();
  assertEquals([row.status, row.errorCode], ["pending", "internal_error"]);
});

/** A clone whose last step pays for a voice, and whose owner cancels in between, which a heartbeat reports. */
function cancelledClone(
  afterwards: (signal: AbortSignal) => void,
  options: Parameters<typeof bench>[1] = {},
) {
  const undone: string[] = [];
  const clone = withPaidCall(
    () => Promise.resolve("voice-1"),
    undefined,
    (id) => {
      undone.push(id);
      return Promise.resolve();
    },
  );
  const work: Work = async (context) => {
    const done = await clone({
      ...context,
      pay: (call) => context.pay({ ...call, isLast: true }),
    });
    repository.requestCancel(row);
    platform.advance(500);
    context.progress(80, "writing_result");
    await turn();
    assert(context.signal.reason instanceof CancelRequested);
    afterwards(context.signal);
    return done;
  };
  const { run, row, repository, platform } = bench(work, options);
  return { run, row, repository, undone };
}

const goOn = () => {};

Deno.test("JobRun: a completion that was committed unseen keeps its voice although the owner cancelled", async () => {
  const { run, row, repository, undone } = cancelledClone(goOn);
  const complete = repository.complete.bind(repository);
  repository.complete = async (...completion) => {
    await complete(...completion);
    // The response was lost, so the queue repeats the write.
    return await complete(...completion);
  };
  await run();
  assertEquals([row.status, undone], ["completed", []]);
});

Deno.test("JobRun: a completion without any response keeps its voice although the owner cancelled", async () => {
  const { run, row, repository, undone } = cancelledClone(goOn);
  repository.interrupt = (method, phase) => {
    if (method === "complete" && phase === "after") {
      repository.interrupt = (method) => {
        if (method !== "heartbeat") throw new AppError("service_unavailable");
      };
      throw new AppError("service_unavailable");
    }
  };
  await run();
  assertEquals([row.status, undone], ["completed", []]);
});

Deno.test("JobRun: a completed job keeps its voice when its result cannot be remembered", async () => {
  const { run, row, undone } = cancelledClone(goOn, {
    values: { inputHash: "hash-1" },
    results: { remember: () => Promise.reject(new TypeError("a bug")) },
  });
  await run();
  assertEquals([row.status, undone], ["completed", []]);
});

Deno.test("JobRun: a cancelled job whose lease turns out to be lost leaves the voice to its new owner", async () => {
  const { run, row, repository, undone } = cancelledClone((signal) => {
    repository.takeOver(row);
    signal.throwIfAborted();
  });
  await run();
  assertEquals([row.status, undone], ["processing", []]);
});

Deno.test("JobRun: twin: a cancelled job that holds its lease removes the voice of its last call", async () => {
  const { run, row, undone } = cancelledClone((signal) =>
    signal.throwIfAborted()
  );
  await run();
  assertEquals([row.status, undone], ["cancelled", ["voice-1"]]);
});

Deno.test("JobRun: twin: a cancelled job whose result is refused removes the voice", async () => {
  const { run, row, repository, undone } = cancelledClone(goOn);
  repository.interrupt = (method) => {
    if (method === "complete") throw JobFailure.final("result_not_saved");
  };
  await run();
  assertEquals([row.status, undone], ["cancelled", ["voice-1"]]);
});
