import { assert, assertEquals } from "@std/assert";
import { AppError } from "../../../../supabase/functions/_shared/failures/app-error.ts";
import { JobFailure } from "../../../../supabase/functions/_shared/failures/job-failure.ts";
import {
  LeaseLost,
  Snooze,
} from "../../../../supabase/functions/_shared/jobs/outcome.ts";
import { heldTimers } from "../../../_support/held-timers.ts";
import {
  bench,
  DONE,
  fullWork,
  untilAborted,
} from "../../_support/run-bench.ts";

/** The calls of a full run that can find the lease lost. */
const STEPS = [
  "beginProviderCall",
  "settleProviderCall",
  "complete",
] as const;
for (const [index, step] of STEPS.entries()) {
  Deno.test(`JobRun: a lease lost before ${step} is noticed there, and nothing more is written`, async () => {
    const { run, row, repository, platform, remembered, lost } = bench(
      fullWork,
      { values: { inputHash: "hash-1" } },
    );
    repository.interrupt = (method, phase) => {
      if (method === step && phase === "before") repository.takeOver(row);
    };
    await run();
    assertEquals(repository.effects, [...STEPS.slice(0, index)]);
    assertEquals([row.status, row.errorCode], ["processing", null]);
    assertEquals(platform.events().at(-1), "lease_lost");
    assertEquals(remembered, []);
    assertEquals(lost, [row.id], "its files are seen to");
  });
}

for (
  const [how, thrown] of [
    ["failing", new TypeError("a bug")],
    ["failing finally", JobFailure.final("not_found")],
    ["snoozing", new Snooze(5, "rendering")],
    ["stopping", new LeaseLost()],
    [
      "waiting for a provider that is down",
      JobFailure.retryable("provider_unavailable"),
    ],
  ] as const
) {
  Deno.test(`JobRun: a run without its lease writes nothing when ${how}`, async () => {
    const { run, row, repository, platform, lost } = bench(() => {
      repository.takeOver(row);
      return Promise.reject(thrown);
    });
    await run();
    assertEquals([row.status, repository.effects], ["processing", []]);
    assertEquals(platform.events().at(-1), "lease_lost");
    assertEquals(lost, [row.id], "its files are seen to");
    if (thrown instanceof LeaseLost) assertEquals(repository.calls, []);
  });
}

Deno.test("JobRun: the lease is extended every third of its length while the job runs, and not after", async () => {
  using timers = heldTimers();
  const gate = Promise.withResolvers<typeof DONE>();
  const { run, row, repository } = bench(() => gate.promise);
  const running = run();
  const leaseUntil = row.leaseExpiresAt ?? 0;
  await timers.pass(3_333);
  assertEquals(repository.effects, []);
  repository.pass(3.334);
  await timers.pass(1);
  assertEquals(repository.effects, ["heartbeat"]);
  assertEquals(row.leaseExpiresAt, leaseUntil + 3_334);
  await timers.pass(10_000);
  assertEquals(repository.effects.length, 4);
  assertEquals([row.progress, row.stage], [0, null]);

  gate.resolve(DONE);
  await running;
  await timers.pass(60_000);
  assertEquals(repository.calls.length, 5);
  assertEquals(repository.calls.at(-1), "complete");
});

Deno.test("JobRun: a heartbeat that finds the lease lost stops the job, and nothing is written", async () => {
  using timers = heldTimers();
  const reasons: unknown[] = [];
  const { run, row, repository, platform } = bench(({ signal }) => {
    signal.addEventListener("abort", () => reasons.push(signal.reason));
    return untilAborted(signal);
  });
  const running = run();
  await timers.pass(3_334);
  assertEquals(reasons.length, 0);
  repository.takeOver(row);
  await timers.pass(3_334);
  await running;
  assert(reasons[0] instanceof LeaseLost);
  assertEquals(repository.calls, ["heartbeat", "heartbeat"]);
  assertEquals(platform.events(), ["job_started", "lease_lost"]);
});

Deno.test("JobRun: a heartbeat that fails is a warning, and the job continues", async () => {
  using timers = heldTimers();
  const gate = Promise.withResolvers<typeof DONE>();
  const { run, row, repository, platform } = bench(() => gate.promise);
  repository.interrupt = (method) => {
    if (method === "heartbeat") throw new AppError("service_unavailable");
  };
  const running = run();
  await timers.pass(3_334);
  gate.resolve(DONE);
  await running;
  assertEquals(row.status, "completed");
  assertEquals(platform.events(), [
    "job_started",
    "heartbeat_failed",
    "job_completed",
  ]);
});

Deno.test("JobRun: the next heartbeat does not overtake a slow one", async () => {
  using timers = heldTimers();
  const [gate, answer] = [
    Promise.withResolvers<typeof DONE>(),
    Promise.withResolvers<void>(),
  ];
  const { run, repository } = bench(() => gate.promise);
  let begun = 0;
  repository.interrupt = (method, phase) => {
    if (method !== "heartbeat" || phase !== "before") return;
    begun++;
    return answer.promise;
  };
  const running = run();
  await timers.pass(30_000);
  assertEquals(begun, 1);
  answer.resolve();
  await timers.pass(3_334);
  assertEquals(begun, 2);
  gate.resolve(DONE);
  await running;
});

Deno.test("JobRun: a job that ends with its lease keeps its files, however it ends", async (t) => {
  for (
    const [how, work] of [
      ["completed", fullWork],
      ["failed", () => Promise.reject(new TypeError("a bug"))],
      ["snoozed", () => Promise.reject(new Snooze(5, "rendering"))],
    ] as const
  ) {
    await t.step(how, async () => {
      const { run, lost } = bench(work);
      await run();
      assertEquals(lost, []);
    });
  }
});

Deno.test("JobRun: the janitor removes the files that cannot be removed after a lost lease", async () => {
  const { run, row, repository, platform } = bench(() => {
    repository.takeOver(row);
    return Promise.reject(new LeaseLost());
  }, {
    removeLostFiles: () => Promise.reject(new AppError("service_unavailable")),
  });
  await run();
  assertEquals(platform.events().at(-1), "lost_files_not_removed");
});
