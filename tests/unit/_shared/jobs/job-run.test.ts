import { assert, assertEquals, assertObjectMatch } from "@std/assert";
import { AppError } from "../../../../supabase/functions/_shared/failures/app-error.ts";
import { ERROR_CATALOGUE } from "../../../../supabase/functions/_shared/failures/catalogue.ts";
import { JobFailure } from "../../../../supabase/functions/_shared/failures/job-failure.ts";
import { ProviderFailure } from "../../../../supabase/functions/_shared/failures/provider-failure.ts";
import { Snooze } from "../../../../supabase/functions/_shared/jobs/outcome.ts";
import type { JobContext } from "../../../../supabase/functions/_shared/jobs/job-context.ts";
import { CACHE_TTL_SECONDS } from "../../../../supabase/functions/_shared/contracts/jobs.ts";
import { turn } from "../../../_support/held-timers.ts";
import {
  bench,
  DEADLINE_MS,
  DONE,
  fullWork,
  withPaidCall,
  type Work,
} from "../../_support/run-bench.ts";

Deno.test("JobRun: completes the job with the processor's result, and logs each step with its job", async () => {
  const { run, row, repository, platform } = bench(fullWork);
  await run();
  assertEquals([row.status, row.completion], ["completed", DONE]);
  assertEquals(repository.effects, [
    "beginProviderCall",
    "settleProviderCall",
    "complete",
  ]);
  assertEquals(platform.events(), [
    "job_started",
    "job_progress",
    "provider_call_sent",
    "provider_call_settled",
    "job_completed",
  ]);
  for (const line of platform.logged()) {
    assertObjectMatch(line, {
      job_id: row.id,
      job_type: "voice_clone",
      attempt: 1,
      request_id: "dispatch-1",
    });
  }
});

Deno.test("JobRun: the processor gets the claimed job, the remaining time and a signal that is not aborted", async () => {
  const { run, row, platform } = bench((context) => {
    assertEquals(context.job.id, row.id);
    assertEquals(context.job.metadata, { voice_name: "Grandma" });
    assertEquals(context.signal.aborted, false);
    platform.advance(35_000);
    assertEquals(context.remainingMs(), DEADLINE_MS - 35_000);
    platform.advance(DEADLINE_MS);
    assertEquals(context.remainingMs(), 0);
    return Promise.resolve(DONE);
  });
  await run();
  assertEquals(row.status, "completed");
});

Deno.test("JobRun: progress reaches the job soon, without delaying the processor", async () => {
  const { run, row, platform } = bench(async ({ progress }) => {
    platform.advance(500);
    progress(10, "fetching_input");
    assertEquals([row.progress, row.stage], [0, null]);
    await turn();
    assertEquals([row.progress, row.stage], [10, "fetching_input"]);
    return DONE;
  });
  await run();
  assertEquals(row.status, "completed");
});

Deno.test("JobRun: a report is sent with the begin of a paid call, and with the completion", async () => {
  const { run, repository } = bench(async (context) => {
    context.progress(10, "fetching_input");
    const completion = await withPaidCall(() => Promise.resolve("voice-1"))(
      context,
    );
    context.progress(90, "storing_output");
    return completion;
  });
  await run();
  assertEquals(repository.carried, [{ progress: 10, stage: "fetching_input" }]);
  assertEquals(repository.extras, [
    { report: { progress: 90, stage: "storing_output" } },
  ]);
  assertEquals(repository.beats, []);
});

const bug = new TypeError("undefined is not a function");
for (
  const [why, thrown, code, status, message] of [
    [
      "a final failure",
      JobFailure.final("provider_rejected_input"),
      "provider_rejected_input",
      "failed",
      ERROR_CATALOGUE.provider_rejected_input.message,
    ],
    [
      "a retryable failure",
      JobFailure.retryable("storage_unavailable"),
      "storage_unavailable",
      "pending",
      ERROR_CATALOGUE.storage_unavailable.message,
    ],
    [
      "a failure with details",
      JobFailure.final("metadata_invalid", {
        details: "metadata.name: is required",
        cause: bug,
      }),
      "metadata_invalid",
      "failed",
      "metadata.name: is required",
    ],
    [
      "a bug",
      bug,
      "internal_error",
      "pending",
      ERROR_CATALOGUE.internal_error.message,
    ],
    [
      "a thrown value that is not an Error",
      "boom",
      "internal_error",
      "pending",
      ERROR_CATALOGUE.internal_error.message,
    ],
    [
      "an unavailable database",
      new AppError("service_unavailable", { cause: bug }),
      "service_unavailable",
      "pending",
      ERROR_CATALOGUE.service_unavailable.message,
    ],
    [
      "an error meant for a response",
      new AppError("not_found", { details: "row 7 of tenant 3" }),
      "internal_error",
      "pending",
      ERROR_CATALOGUE.internal_error.message,
    ],
    [
      "a provider's failure outside a paid call",
      ProviderFailure.unknown("provider_timeout"),
      "provider_timeout",
      "pending",
      ERROR_CATALOGUE.provider_timeout.message,
    ],
    [
      "a provider's refusal outside a paid call",
      ProviderFailure.rejected("provider_unauthorized"),
      "provider_unauthorized",
      "failed",
      ERROR_CATALOGUE.provider_unauthorized.message,
    ],
  ] as const
) {
  Deno.test(`JobRun: ${why} leaves the job ${status} with ${code} and a message that is safe to show`, async () => {
    const { run, row, repository, platform } = bench(() =>
      Promise.reject(thrown)
    );
    await run();
    assertEquals(repository.effects, ["fail"]);
    assertEquals(
      [row.status, row.errorCode, row.errorMessage, row.attempt],
      [status, code, message, 1],
    );
    const last = platform.logged().at(-1);
    assertObjectMatch(last ?? {}, {
      level: "warn",
      event: status === "failed" ? "job_failed" : "job_will_retry",
      error_code: code,
    });
    if (code === "internal_error") {
      const said = thrown instanceof Error ? thrown.message : thrown;
      assert(JSON.stringify(last).includes(said), "the cause is in the log");
    }
  });
}

Deno.test("JobRun: a job whose attempts are used up fails", async () => {
  const { run, row, repository } = bench(() => Promise.reject(bug), {
    values: { maxAttempts: 2 },
  });
  await run();
  assertEquals([row.status, repository.wait(row)], ["pending", 2]);
  await run();
  assertEquals([row.status, row.attempt], ["failed", 2]);
});

Deno.test("JobRun: the provider's Retry-After is written with the failure", async () => {
  const { run, row, repository } = bench(() =>
    Promise.reject(
      JobFailure.retryable("provider_rate_limited", {
        retryAfterSeconds: 90,
      }),
    )
  );
  await run();
  assertEquals([row.status, repository.wait(row)], ["pending", 90]);
});

Deno.test("JobRun: a snooze requeues the job without spending the attempt", async () => {
  const { run, row, repository, platform } = bench(() =>
    Promise.reject(new Snooze(25, "rendering"))
  );
  await run();
  assertEquals(repository.effects, ["snooze"]);
  assertEquals(
    [row.status, row.attempt, row.stage, repository.wait(row)],
    ["pending", 0, "rendering", 25],
  );
  assertEquals(platform.events().at(-1), "job_snoozed");
});

Deno.test("JobRun: a job of a type without a processor fails", async () => {
  const { run, row } = bench(() => Promise.resolve(DONE), {
    values: { jobType: "pdf_render" },
  });
  await run();
  assertEquals(
    [row.status, row.errorCode],
    ["failed", "job_type_not_supported"],
  );
});

Deno.test("JobRun: an ending that cannot be written is logged, and the lease expires", async () => {
  const { run, row, repository, platform } = bench(() => Promise.reject(bug));
  repository.interrupt = () => {
    throw new AppError("service_unavailable");
  };
  await run();
  assertEquals([row.status, repository.effects], ["processing", []]);
  const last = platform.logged().at(-1);
  assertObjectMatch(last ?? {}, {
    level: "error",
    event: "job_end_not_written",
  });
  assert(JSON.stringify(last).includes(bug.message));
});

const SOURCE = { inputHash: "hash-1" };

Deno.test("JobRun: a job with a hash is cached once it is completed", async () => {
  const { run, row, remembered } = bench(fullWork, { values: SOURCE });
  await run();
  assertEquals(remembered, [["hash-1", row.id, row.userId]]);
});

Deno.test("JobRun: a job without a hash is neither looked up nor cached", async () => {
  const { run, row, remembered } = bench(fullWork, {
    results: { find: () => Promise.reject(new Error("not expected")) },
  });
  await run();
  assertEquals([row.status, remembered], ["completed", []]);
});

Deno.test("JobRun: the result of an equal job completes this one, without a processor", async () => {
  const earlier: string[] = [];
  const { run, row, repository, platform } = bench(
    () => Promise.reject(new Error("not expected")),
    {
      values: SOURCE,
      results: { find: () => Promise.resolve(earlier[0] ?? null) },
    },
  );
  const source = repository.insert(SOURCE);
  await repository.complete(repository.claim(source), DONE);
  earlier.push(source.id);
  await run();
  assertEquals(
    [row.status, row.cachedFrom, row.completion],
    ["completed", source.id, DONE],
  );
  assertEquals(platform.events(), ["job_started", "job_completed"]);
});

for (
  const [why, values] of [
    ["belongs to another user", {
      ...SOURCE,
      userId: "00000000-0000-4000-8000-0000000000bb",
    }],
    ["has another input", { inputHash: "hash-2" }],
  ] as const
) {
  Deno.test(`JobRun: a cache entry that names a job that ${why} is ignored`, async () => {
    const earlier: string[] = [];
    const { run, row, repository, platform } = bench(fullWork, {
      values: SOURCE,
      results: { find: () => Promise.resolve(earlier[0] ?? null) },
    });
    const source = repository.insert(values);
    await repository.complete(repository.claim(source), {
      resultData: { voice_id: "voice-of-someone" },
    });
    earlier.push(source.id);
    await run();
    assertEquals([row.completion, row.cachedFrom], [DONE, null]);
    assertEquals(platform.events()[1], "cached_result_unusable");
  });
}

Deno.test("JobRun: a cache entry of the job itself is ignored", async () => {
  const own: string[] = [];
  const { run, row, repository } = bench(fullWork, {
    values: SOURCE,
    results: { find: () => Promise.resolve(own[0] ?? null) },
  });
  own.push(row.id);
  await run();
  assertEquals(row.status, "completed");
  assertEquals(repository.calls[0], "beginProviderCall");
});

Deno.test("JobRun: with the database's cache, the claim names an equal job and the completion writes the entry", async () => {
  const { run, row, repository } = bench(fullWork, {
    values: SOURCE,
    results: "database",
  });
  const source = repository.insert(SOURCE);
  await repository.complete(repository.claim(source), DONE);
  await run();
  assertEquals([row.status, row.cachedFrom], ["completed", null]);
  assertEquals(
    repository.extras.at(-1)?.cacheSeconds,
    CACHE_TTL_SECONDS,
  );

  const second = repository.insert(SOURCE);
  repository.cached = source.id;
  await run(repository.claim(second));
  assertEquals([second.status, second.cachedFrom], ["completed", source.id]);
  assertEquals(repository.effects.at(-1), "reuseResult");
});

/** Work that declares its paid call as the last step; `rest` is what it does nevertheless. */
function lastCall(rest: Work = () => Promise.resolve(DONE)): Work {
  return async (context) => {
    await withPaidCall(() => Promise.resolve("voice-1"))({
      ...context,
      pay: (call) => context.pay({ ...call, isLast: true }),
    });
    return await rest(context);
  };
}

Deno.test("JobRun: the success of a last call is written by the completion", async () => {
  const { run, row, repository, platform } = bench(lastCall());
  await run();
  assertEquals(row.status, "completed");
  assertEquals(repository.effects, ["beginProviderCall", "complete"]);
  assertEquals(
    repository.journal.calls.map(({ outcome }) => outcome),
    ["succeeded"],
  );
  assertEquals(platform.events().slice(-2), [
    "provider_call_settled",
    "job_completed",
  ]);
});

for (
  const [what, rest, effects] of [
    ["throws", () => Promise.reject(JobFailure.final("not_found")), [
      "settleProviderCall",
      "fail",
    ]],
    ["records its usage", async ({ recordUsage }: JobContext) => {
      await recordUsage("create_voice", 1);
      return DONE;
    }, ["settleProviderCall", "reviseProviderCall", "complete"]],
    ["pays again", async (context: JobContext) => {
      await withPaidCall(() => Promise.resolve("voice-2"))({
        ...context,
        pay: (call) => context.pay({ ...call, operation: "second" }),
      });
      return DONE;
    }, [
      "settleProviderCall",
      "beginProviderCall",
      "settleProviderCall",
      "complete",
    ]],
  ] as const
) {
  Deno.test(`JobRun: the success of a last call is written first when the processor then ${what}`, async () => {
    const { run, repository } = bench(lastCall(rest));
    await run();
    assertEquals(repository.effects, ["beginProviderCall", ...effects]);
    assertEquals(repository.journal.calls[0]?.outcome, "succeeded");
  });
}

Deno.test("JobRun: a result that cannot be saved after a last call fails the job, and the call stays settled", async () => {
  const { run, row, repository } = bench(lastCall());
  repository.interrupt = (method, phase) => {
    if (method === "complete" && phase === "before") {
      throw JobFailure.final("result_not_saved");
    }
  };
  await run();
  assertEquals([row.status, row.errorCode], ["failed", "result_not_saved"]);
  assertEquals(repository.journal.calls[0]?.outcome, "succeeded");
});

Deno.test("JobRun: a last call that no write settles stays open, and its job ends all the same", async () => {
  const { run, row, repository, platform } = bench(
    lastCall(() => Promise.reject(JobFailure.final("not_found"))),
  );
  repository.interrupt = (method, phase) => {
    if (method === "settleProviderCall" && phase === "before") {
      throw new AppError("service_unavailable");
    }
  };
  await run();
  assertEquals(repository.journal.calls[0]?.outcome, "unknown");
  assertEquals(row.status, "failed");
  assert(platform.events().includes("provider_call_not_settled"));
});

Deno.test("JobRun: the processor gets the result of the job's dependency, and null without one", async () => {
  const outputUrl = "outputs/u/j/speech.mp3";
  const seen: unknown[] = [];
  const { repository, run } = bench(async ({ dependency }) => {
    seen.push(await dependency());
    return DONE;
  });
  await run();
  const first = repository.insert();
  await repository.complete(repository.claim(first), { ...DONE, outputUrl });
  const second = repository.insert({ dependsOn: first.id });
  await run(repository.claim(second));
  assertEquals(seen, [null, {
    id: first.id,
    job_type: "voice_clone",
    output_url: outputUrl,
    result_data: DONE.resultData,
  }]);
});

for (
  const [code, cause] of [
    [
      "storage_unavailable",
      JobFailure.retryable("storage_unavailable"),
    ],
    ["service_unavailable", new AppError("service_unavailable")],
    [
      "provider_unavailable",
      ProviderFailure.unknown("provider_unavailable"),
    ],
  ] as const
) {
  Deno.test(`JobRun: ${code} after a paid call spends no attempt: the job waits and continues later`, async () => {
    const failures: Error[] = [cause, cause];
    const { run, row, repository } = bench(async (context) => {
      const completion = await withPaidCall(() => Promise.resolve("voice-1"))(
        context,
      );
      const failure = failures.pop();
      if (failure !== undefined) throw failure;
      return completion;
    });
    for (let n = 0; n < 2; n++) {
      await run();
      assertEquals(
        [row.status, row.attempt, row.stage, repository.wait(row)],
        ["pending", 0, "waiting_for_recovery", 5],
      );
      assertEquals(row.errorCode, code);
    }
    await run();
    assertEquals([row.status, row.attempt], ["completed", 1]);
    assertEquals(repository.journal.calls.length, 1);
  });
}

Deno.test("JobRun: an outage before payment, a final failure, and a refused second call spend the attempt", async () => {
  const unpaid = bench(() =>
    Promise.reject(
      JobFailure.retryable("storage_unavailable"),
    )
  );
  await unpaid.run();
  assertEquals([unpaid.row.status, unpaid.row.attempt], ["pending", 1]);

  const spoilt = bench(async (context) => {
    await withPaidCall(() => Promise.resolve("voice-1"))(context);
    throw JobFailure.final("output_too_large");
  });
  await spoilt.run();
  assertEquals([spoilt.row.status, spoilt.row.attempt], ["failed", 1]);

  const refused = bench(async (context) => {
    await withPaidCall(() => Promise.resolve("voice-1"))(context);
    await context.pay({
      operation: "create_video",
      stage: "x",
      progressBefore: 80,
      progressAfter: 90,
      units: 1,
      send: () =>
        Promise.reject(
          ProviderFailure.rejected("provider_unavailable"),
        ),
      find: () => Promise.resolve(null),
    });
    return DONE;
  });
  await refused.run();
  assertEquals(
    [refused.row.status, refused.row.attempt, refused.row.errorCode],
    ["pending", 1, "provider_unavailable"],
  );
});
