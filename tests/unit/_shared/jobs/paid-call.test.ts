import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { AppError } from "../../../../supabase/functions/_shared/failures/app-error.ts";
import { JobFailure } from "../../../../supabase/functions/_shared/failures/job-failure.ts";
import { ProviderFailure } from "../../../../supabase/functions/_shared/failures/provider-failure.ts";
import {
  CancelRequested,
  LeaseLost,
  ShuttingDown,
  Snooze,
} from "../../../../supabase/functions/_shared/jobs/outcome.ts";
import {
  makePaidCall,
  type PaidCall,
} from "../../../../supabase/functions/_shared/jobs/paid-call.ts";
import {
  OWN_LOAD_PAUSE_SECONDS,
  RECONCILE_PAUSE_SECONDS,
  RECOVERY_STAGE,
} from "../../../../supabase/functions/_shared/jobs/pauses.ts";
import {
  type FakeJob,
  FakeRepository,
} from "../../../_support/fake-repository.ts";

const RECONCILE_SECONDS = 60;
const never = new AbortController().signal;

/** A job, its journal, and a provider with the test's responses that records its calls. */
function bench() {
  const repository = new FakeRepository({
    reconcileSeconds: RECONCILE_SECONDS,
  });
  const row = repository.insert();
  const providerCalls: ("send" | "find" | "undo")[] = [];
  const unexpected = () => Promise.reject(new Error("not expected"));
  return {
    repository,
    row,
    providerCalls,
    outcomes: () => repository.journal.calls.map((call) => call.outcome),
    /** Claims the job again, as after a crash, and calls. */
    attempt: (
      provider: Partial<
        Pick<PaidCall, "send" | "find" | "undo" | "unitsNote" | "repeat">
      >,
      job = repository.claim(row),
      signal: AbortSignal = never,
    ) =>
      makePaidCall(
        repository,
        job,
        {
          operation: "create_voice",
          stage: "calling_provider",
          progressBefore: 30,
          progressAfter: 70,
          units: 1,
          unitsNote: provider.unitsNote,
          repeat: provider.repeat,
          send: (signal, endedCalls) => {
            providerCalls.push("send");
            return (provider.send ?? unexpected)(signal, endedCalls);
          },
          find: (signal) => {
            providerCalls.push("find");
            return (provider.find ?? unexpected)(signal);
          },
          undo: (id, signal) => {
            providerCalls.push("undo");
            return (provider.undo ?? unexpected)(id, signal);
          },
        },
        signal,
        () => true,
      ),
  };
}

const answers = (id: string | null) => () => Promise.resolve(id);
const creates = (id: string) => () => Promise.resolve(id);
const fails = (error: unknown) => () => Promise.reject(error);
const noAnswer = ProviderFailure.unknown("provider_timeout");

/** The isolate dies: its lease expires, and the sweep requeues the job. */
function die(repository: FakeRepository, row: FakeJob): void {
  repository.pass(11);
  repository.rescue();
  assertEquals(row.status, "pending");
}

/** A call was sent and its outcome is unknown; the job waits. */
async function withUnknownOutcome() {
  const used = bench();
  await assertRejects(() => used.attempt({ send: fails(noAnswer) }), Snooze);
  await used.repository.snooze(
    { id: used.row.id, lease_token: used.row.leaseToken ?? "" },
    RECONCILE_PAUSE_SECONDS,
    "reconciling",
  );
  used.providerCalls.length = 0;
  return used;
}

Deno.test("makePaidCall: the call is journalled before it is sent, and its outcome after it", async () => {
  const { attempt, repository, row, outcomes } = bench();
  const id = await attempt({
    send: () => {
      assertEquals(outcomes(), ["sent"]);
      assertEquals([row.progress, row.stage], [30, "calling_provider"]);
      return Promise.resolve("voice-1");
    },
  });
  assertEquals(id, "voice-1");
  assertEquals(outcomes(), ["succeeded"]);
  assertEquals(repository.journal.calls[0]?.providerObjectId, "voice-1");
  assertEquals(row.progress, 70);
});

for (
  const [code, isRetryable, retryAfterSeconds] of [
    ["provider_rejected_input", false, undefined],
    ["provider_unauthorized", false, undefined],
    ["provider_rate_limited", true, 17],
    ["provider_rate_limited", true, undefined],
  ] as const
) {
  Deno.test(`makePaidCall: ${code} (Retry-After ${retryAfterSeconds}) is settled as rejected, ends the attempt`, async () => {
    const { attempt, repository, providerCalls } = bench();
    const no = ProviderFailure.rejected(code, {
      isRetryable,
      httpStatus: 429,
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    });
    const failure = await assertRejects(
      () => attempt({ send: fails(no) }),
      JobFailure,
    );
    assertEquals(failure.code, code);
    assertEquals(failure.isRetryable, isRetryable);
    assertEquals(failure.retryAfterSeconds, retryAfterSeconds);
    assertStrictEquals(failure.cause, no);
    const [call] = repository.journal.calls;
    assertEquals(
      [call?.outcome, call?.errorCode, call?.httpStatus],
      ["rejected", code, 429],
    );
    assertEquals(providerCalls, ["send"]);
  });
}

for (
  const [retryAfterSeconds, seconds] of [
    [undefined, OWN_LOAD_PAUSE_SECONDS],
    [3, 3],
    [90, 90],
  ] as const
) {
  Deno.test(`makePaidCall: at the concurrency limit the job waits ${seconds} s without spending an attempt`, async () => {
    const { attempt, outcomes } = bench();
    const busy = ProviderFailure.rejected("provider_concurrency_limited", {
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    });
    const snooze = await assertRejects(
      () => attempt({ send: fails(busy) }),
      Snooze,
    );
    assertEquals([snooze.seconds, snooze.stage], [
      seconds,
      "waiting_for_provider",
    ]);
    assertStrictEquals(snooze.failure?.cause, busy);
    assertEquals(outcomes(), ["rejected"]);
  });
}

Deno.test("makePaidCall: a query at the account's concurrency limit is delayed; the outcome stays unknown", async () => {
  const { attempt, outcomes } = await withUnknownOutcome();
  const busy = ProviderFailure.rejected("provider_concurrency_limited", {});
  const snooze = await assertRejects(
    () => attempt({ find: fails(busy) }),
    Snooze,
  );
  assertEquals([snooze.stage, outcomes()], ["reconciling", ["unknown"]]);
});

Deno.test("makePaidCall: a failed query is reported to the breaker; a settled call already counts there", async () => {
  const { attempt } = bench();
  const sent = await assertRejects(
    () => attempt({ send: fails(noAnswer) }),
    Snooze,
  );
  assertEquals(sent.failure, undefined);
  const used = await withUnknownOutcome();
  const queried = await assertRejects(
    () => used.attempt({ find: fails(noAnswer) }),
    Snooze,
  );
  assertEquals(queried.failure?.code, "provider_timeout");
});

Deno.test("makePaidCall: an unavailable provider's Retry-After delays the query about the outcome", async () => {
  for (const [retryAfterSeconds, seconds] of [[120, 120], [1, 10]] as const) {
    const { attempt } = bench();
    const unavailable = ProviderFailure.unknown("provider_unavailable", {
      httpStatus: 503,
      retryAfterSeconds,
    });
    const snooze = await assertRejects(
      () => attempt({ send: fails(unavailable) }),
      Snooze,
    );
    assertEquals([snooze.seconds, snooze.stage], [seconds, "reconciling"]);
  }
});

Deno.test("makePaidCall: after a refusal, the next attempt may send", async () => {
  const { attempt, repository, row, outcomes, providerCalls } = bench();
  const no = ProviderFailure.rejected("provider_rate_limited");
  await assertRejects(() => attempt({ send: fails(no) }), JobFailure);
  die(repository, row);
  assertEquals(await attempt({ send: creates("voice-2") }), "voice-2");
  assertEquals(outcomes(), ["rejected", "succeeded"]);
  assertEquals(providerCalls, ["send", "send"]);
});

Deno.test("makePaidCall: after a refusal the idempotency key changes, after an absent call it does not", async () => {
  const seen: number[] = [];
  const { attempt, repository, row, outcomes } = bench();
  const sends = (result: () => Promise<string>): PaidCall["send"] => (_, n) => {
    seen.push(n);
    return result();
  };
  const attemptAfter = async (failure: ProviderFailure) => {
    await assertRejects(() => attempt({ send: sends(fails(failure)) }));
    die(repository, row);
  };
  await attemptAfter(ProviderFailure.rejected("provider_rate_limited"));
  await attemptAfter(noAnswer);
  repository.pass(RECONCILE_SECONDS);
  await assertRejects(() => attempt({ find: answers(null) }), JobFailure);
  die(repository, row);
  await attempt({ send: sends(creates("voice-2")) });
  assertEquals(outcomes(), ["rejected", "absent", "succeeded"]);
  assertEquals(seen, [0, 1, 1]);
});

for (
  const [why, error] of [
    ["no usable response", noAnswer],
    ["an unexpected error", new TypeError("undefined is not a function")],
    ["a thrown value that is not an Error", "boom"],
  ] as const
) {
  Deno.test(`makePaidCall: after ${why} money may be spent: the job waits, and queries before it sends`, async () => {
    const { attempt, repository, row, outcomes, providerCalls } = bench();
    const snooze = await assertRejects(
      () => attempt({ send: fails(error) }),
      Snooze,
    );
    assertEquals(
      [snooze.seconds, snooze.stage],
      [RECONCILE_PAUSE_SECONDS, "reconciling"],
    );
    assertEquals(outcomes(), ["unknown"]);
    die(repository, row);
    await assertRejects(() => attempt({ find: answers(null) }), Snooze);
    assertEquals(providerCalls, ["send", "find"]);
  });
}

Deno.test("makePaidCall: an object that the provider created is adopted, and nothing is sent", async () => {
  const { attempt, repository, row, providerCalls } =
    await withUnknownOutcome();
  assertEquals(await attempt({ find: answers("voice-1") }), "voice-1");
  const [call] = repository.journal.calls;
  assertEquals([call?.outcome, call?.providerObjectId], ["adopted", "voice-1"]);
  assertEquals(row.progress, 70);
  assertEquals(providerCalls, ["find"]);
});

Deno.test("makePaidCall: an object that another job adopted in the meantime is left to it, and queried again", async () => {
  const { attempt, repository, outcomes } = await withUnknownOutcome();
  repository.settleProviderCall = () =>
    Promise.reject(new AppError("provider_object_mismatch"));
  const snooze = await assertRejects(
    () => attempt({ find: answers("speech-1") }),
    Snooze,
  );
  assertEquals(
    [snooze.seconds, snooze.stage],
    [RECONCILE_PAUSE_SECONDS, "reconciling"],
  );
  assertEquals(outcomes(), ["unknown"]);
});

Deno.test("makePaidCall: while the provider's listing may lag, an empty query makes the job wait", async () => {
  const { attempt, repository, row, outcomes, providerCalls } =
    await withUnknownOutcome();
  for (
    let look = 1;
    look < RECONCILE_SECONDS / RECONCILE_PAUSE_SECONDS;
    look++
  ) {
    const job = repository.claim(row);
    const snooze = await assertRejects(
      () => attempt({ find: answers(null) }, job),
      Snooze,
    );
    await repository.snooze(job, snooze.seconds, snooze.stage);
    assertEquals([providerCalls.length, outcomes()], [look, ["unknown"]]);
  }
  assertEquals(providerCalls.includes("send"), false);
  // The twin: after that time the same result is conclusive.
  await assertRejects(() => attempt({ find: answers(null) }), JobFailure);
});

Deno.test("makePaidCall: a conclusive empty query spends the attempt, and only the next one sends", async () => {
  const { attempt, repository, row, outcomes, providerCalls } =
    await withUnknownOutcome();
  repository.pass(RECONCILE_SECONDS);
  const job = repository.claim(row);
  const failure = await assertRejects(
    () => attempt({ find: answers(null) }, job),
    JobFailure,
  );
  assertEquals(
    [failure.code, failure.isRetryable],
    ["provider_unavailable", true],
  );
  assertEquals([outcomes(), providerCalls], [["absent"], ["find"]]);
  await repository.fail(job, failure);
  assertEquals(await attempt({ send: creates("voice-2") }), "voice-2");
  assertEquals(outcomes(), ["absent", "succeeded"]);
});

const repeat = { withinSeconds: 600, pauseSeconds: 15 };

Deno.test("makePaidCall: where the provider knows its key, the call is repeated after an empty query", async () => {
  const { attempt, repository, row, outcomes, providerCalls } = bench();
  const snooze = await assertRejects(
    () =>
      attempt({
        repeat,
        send: fails(ProviderFailure.unknown("provider_unavailable")),
      }),
    Snooze,
  );
  assertEquals(
    [snooze.seconds, snooze.stage],
    [repeat.pauseSeconds, RECOVERY_STAGE],
  );
  await repository.snooze(
    { id: row.id, lease_token: row.leaseToken ?? "" },
    snooze.seconds,
    snooze.stage,
  );
  const id = await attempt({
    repeat,
    find: answers(null),
    send: () => {
      assertEquals([outcomes(), row.stage], [["sent"], "calling_provider"]);
      return Promise.resolve("voice-1");
    },
  });
  assertEquals(id, "voice-1");
  assertEquals([outcomes(), providerCalls], [["succeeded"], [
    "send",
    "find",
    "send",
  ]]);
});

Deno.test("makePaidCall: an object that the query finds is adopted, also where the call could be repeated", async () => {
  const { attempt, outcomes, providerCalls } = await withUnknownOutcome();
  assertEquals(await attempt({ repeat, find: answers("voice-1") }), "voice-1");
  assertEquals([outcomes(), providerCalls], [["adopted"], ["find"]]);
});

for (
  const [code, certainty] of [
    ["provider_unavailable", "unknown"],
    ["provider_quota_exceeded", "rejected"],
    ["provider_rate_limited", "rejected"],
    ["provider_concurrency_limited", "rejected"],
  ] as const
) {
  Deno.test(`makePaidCall: a repeated call that ends with ${code} proves nothing about the first`, async () => {
    const { attempt, repository, row, outcomes, providerCalls } =
      await withUnknownOutcome();
    const since = repository.journal.calls[0]?.unknownSince ?? 0;
    repository.pass(20);
    await assertRejects(
      () =>
        attempt({
          repeat,
          find: answers(null),
          send: fails(ProviderFailure[certainty](code)),
        }),
      Snooze,
    );
    assertEquals([outcomes(), providerCalls], [["unknown"], ["find", "send"]]);
    // An empty query becomes conclusive only when the last sender has been gone for long enough.
    const [call] = repository.journal.calls;
    assertEquals((call?.unknownSince ?? 0) >= since + 20_000, true);
    assertEquals(repository.journal.spendOf(row.id), "unknown");
  });
}

Deno.test("makePaidCall: a call that was first sent too long ago is not repeated, only queried", async () => {
  const { attempt, outcomes, providerCalls } = await withUnknownOutcome();
  await assertRejects(
    () =>
      attempt({
        repeat: { ...repeat, withinSeconds: 1 },
        find: answers(null),
      }),
    Snooze,
  );
  assertEquals([outcomes(), providerCalls], [["unknown"], ["find"]]);
});

Deno.test("makePaidCall: a repetition whose lease has expired is not sent, and the outcome stays unknown", async () => {
  const { attempt, outcomes, providerCalls } = await withUnknownOutcome();
  const stopping = new AbortController();
  await assertRejects(
    () =>
      attempt(
        {
          repeat,
          find: () => {
            stopping.abort(new ShuttingDown("test"));
            return Promise.resolve(null);
          },
        },
        undefined,
        stopping.signal,
      ),
    Snooze,
  );
  assertEquals([outcomes(), providerCalls], [["unknown"], ["find"]]);
});

Deno.test("makePaidCall: a call that succeeded is reused without a query", async () => {
  const { attempt, repository, row, providerCalls } = bench();
  await attempt({ send: creates("voice-1") });
  die(repository, row);
  assertEquals(await attempt({}), "voice-1");
  assertEquals(providerCalls, ["send"]);
});

Deno.test("makePaidCall: another step of the same job has a separate call", async () => {
  const { attempt, repository, row } = bench();
  await attempt({ send: creates("voice-1") });
  const id = await makePaidCall(
    repository,
    { id: row.id, lease_token: row.leaseToken ?? "" },
    {
      operation: "create_video",
      stage: "calling_provider",
      progressBefore: 80,
      progressAfter: 90,
      units: 1,
      send: creates("video-1"),
      find: fails(new Error("not expected")),
    },
    never,
    () => true,
  );
  assertEquals(id, "video-1");
});

for (const isRetryable of [true, false]) {
  Deno.test(`makePaidCall: a failed query (retryable: ${isRetryable}) fails the attempt; the outcome is unknown`, async () => {
    const { attempt, outcomes, providerCalls } = await withUnknownOutcome();
    const error = ProviderFailure.rejected("provider_unauthorized", {
      isRetryable,
    });
    const failure = await assertRejects(
      () => attempt({ find: fails(error) }),
      JobFailure,
    );
    assertEquals(
      [failure.code, failure.isRetryable],
      ["provider_unauthorized", isRetryable],
    );
    assertEquals([outcomes(), providerCalls], [["unknown"], ["find"]]);
  });
}

Deno.test("makePaidCall: a query during an outage is repeated later without spending the attempt", async () => {
  for (
    const [retryAfterSeconds, seconds] of [
      [undefined, RECONCILE_PAUSE_SECONDS],
      [60, 60],
    ] as const
  ) {
    const { attempt, outcomes, providerCalls } = await withUnknownOutcome();
    const error = ProviderFailure.unknown("provider_unavailable", {
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    });
    const snooze = await assertRejects(
      () => attempt({ find: fails(error) }),
      Snooze,
    );
    assertEquals([snooze.seconds, snooze.stage], [seconds, "reconciling"]);
    assertEquals([outcomes(), providerCalls], [["unknown"], ["find"]]);
  }
});

Deno.test("makePaidCall: a query that fails unexpectedly leaves the outcome unknown", async () => {
  const { attempt, outcomes } = await withUnknownOutcome();
  const bug = new RangeError("a bug");
  const error = await assertRejects(() => attempt({ find: fails(bug) }));
  assertStrictEquals(error, bug);
  assertEquals(outcomes(), ["unknown"]);
});

Deno.test("makePaidCall: nothing is sent for a job whose lease is lost", async () => {
  const { attempt, repository, row, providerCalls } = bench();
  const job = repository.claim(row);
  repository.takeOver(row);
  await assertRejects(() => attempt({}, job), LeaseLost);
  assertEquals([providerCalls, repository.journal.calls.length], [[], 0]);
});

for (
  const [how, end] of [
    ["succeeds", creates("voice-1")],
    ["is refused", fails(ProviderFailure.rejected("not_found"))],
    ["has no response", fails(noAnswer)],
  ] as const
) {
  Deno.test(`makePaidCall: a lease lost while the call ${how} leaves the journal to the next worker`, async () => {
    const { attempt, repository, row, outcomes } = bench();
    await assertRejects(
      () =>
        attempt({
          send: () => {
            repository.takeOver(row);
            return end();
          },
        }),
      LeaseLost,
    );
    assertEquals(outcomes(), ["sent"]);
    assertEquals(row.progress, 30);
  });
}

for (const found of ["voice-1", null]) {
  Deno.test(`makePaidCall: a lease lost while ${found ?? "nothing"} is found leaves the journal to the next worker`, async () => {
    const { attempt, repository, row, outcomes } = await withUnknownOutcome();
    repository.pass(RECONCILE_SECONDS);
    await assertRejects(
      () =>
        attempt({
          find: () => {
            repository.takeOver(row);
            return Promise.resolve(found);
          },
        }),
      LeaseLost,
    );
    assertEquals(outcomes(), ["unknown"]);
  });
}

const unavailable = new Error("the database is unavailable");

Deno.test("makePaidCall: a call that cannot be journalled is not sent", async () => {
  const { attempt, repository, providerCalls } = bench();
  repository.interrupt = (method, phase) => {
    if (method === "beginProviderCall" && phase === "before") throw unavailable;
  };
  assertStrictEquals(await assertRejects(() => attempt({})), unavailable);
  assertEquals(providerCalls, []);
});

Deno.test("makePaidCall: a crash between journal and request costs a query, never a second voice", async () => {
  const { attempt, repository, row, providerCalls, outcomes } = bench();
  repository.interrupt = (method, phase) => {
    if (method === "beginProviderCall" && phase === "after") throw unavailable;
  };
  assertStrictEquals(await assertRejects(() => attempt({})), unavailable);
  repository.interrupt = () => {};
  die(repository, row);
  assertEquals(outcomes(), ["unknown"]);
  await assertRejects(() => attempt({ find: answers(null) }), Snooze);
  assertEquals(providerCalls, ["find"]);
});

for (
  const [phase, decision] of [
    ["before", "reconcile"],
    ["after", "done"],
  ] as const
) {
  Deno.test(`makePaidCall: after a crash ${phase} settling, the next attempt is ${decision} and sends nothing`, async () => {
    const { attempt, repository, row, providerCalls } = bench();
    repository.interrupt = (method, now) => {
      if (method === "settleProviderCall" && now === phase) throw unavailable;
    };
    assertStrictEquals(
      await assertRejects(() => attempt({ send: creates("voice-1") })),
      unavailable,
    );
    repository.interrupt = () => {};
    die(repository, row);
    assertEquals(
      await attempt(
        decision === "reconcile" ? { find: answers("voice-1") } : {},
      ),
      "voice-1",
    );
    assertEquals(providerCalls.filter((one) => one === "send").length, 1);
  });
}

// Cancelled by the owner

Deno.test("makePaidCall: for a job cancelled before the call, nothing is sent or journalled", async () => {
  const { attempt, repository, row, providerCalls } = bench();
  const job = repository.claim(row);
  repository.requestCancel(row);
  await assertRejects(() => attempt({}, job), CancelRequested);
  assertEquals([providerCalls, repository.journal.calls], [[], []]);
});

/** A request that a cancellation aborts, as the provider's client reports it. */
function abortedRequest(stop: AbortController): PaidCall["send"] {
  return (signal) => {
    stop.abort(new CancelRequested());
    assertStrictEquals(signal.reason, stop.signal.reason);
    return Promise.reject(noAnswer);
  };
}

Deno.test("makePaidCall: the object of a call aborted by a cancellation is found, removed and recorded", async () => {
  const { attempt, repository, row, providerCalls } = bench();
  const stop = new AbortController();
  const undone: string[] = [];
  await assertRejects(() =>
    attempt(
      {
        send: abortedRequest(stop),
        find: (signal) => {
          assertEquals(
            signal.aborted,
            false,
            "the query has its own time limit",
          );
          return Promise.resolve("voice-1");
        },
        undo: (id, signal) => {
          assertEquals(signal.aborted, false);
          undone.push(id);
          return Promise.resolve();
        },
      },
      repository.claim(row),
      stop.signal,
    )
  );
  assertEquals([providerCalls, undone], [["send", "find", "undo"], [
    "voice-1",
  ]]);
  const [call] = repository.journal.calls;
  assertEquals([call?.outcome, call?.providerObjectId], ["adopted", "voice-1"]);
  assertEquals(row.progress, 30);
});

Deno.test("makePaidCall: an object that cannot be removed is recorded", async () => {
  const { attempt, repository, row, providerCalls, outcomes } = bench();
  const stop = new AbortController();
  await assertRejects(() =>
    attempt(
      {
        send: abortedRequest(stop),
        find: answers("voice-1"),
        undo: fails(noAnswer),
      },
      repository.claim(row),
      stop.signal,
    )
  );
  assertEquals([providerCalls, outcomes()], [["send", "find", "undo"], [
    "adopted",
  ]]);
});

for (
  const [why, find] of [
    ["finds nothing", answers(null)],
    ["fails", fails(noAnswer)],
  ] as const
) {
  Deno.test(`makePaidCall: if the query after a cancellation ${why}, the outcome stays unknown`, async () => {
    const { attempt, repository, row, providerCalls, outcomes } = bench();
    const stop = new AbortController();
    await assertRejects(() =>
      attempt(
        { send: abortedRequest(stop), find },
        repository.claim(row),
        stop.signal,
      )
    );
    assertEquals([providerCalls, outcomes()], [["send", "find"], ["unknown"]]);
  });
}

/** The owner cancels during a query; another query with its own time limit follows the aborted one. */
function cancelledQuery(
  stop: AbortController,
  then: () => Promise<string | null>,
) {
  let isFirst = true;
  return (signal: AbortSignal) => {
    if (!isFirst) {
      assertEquals(signal.aborted, false, "it has its own time limit");
      return then();
    }
    isFirst = false;
    stop.abort(new CancelRequested());
    assertStrictEquals(signal.reason, stop.signal.reason);
    return Promise.reject(noAnswer);
  };
}

Deno.test("makePaidCall: cancelled during a query, the object is found, removed and recorded", async () => {
  const { attempt, repository, row, providerCalls, outcomes } =
    await withUnknownOutcome();
  const stop = new AbortController();
  const undone: string[] = [];
  await assertRejects(
    () =>
      attempt(
        {
          find: cancelledQuery(stop, answers("voice-1")),
          undo: (id) => {
            undone.push(id);
            return Promise.resolve();
          },
        },
        repository.claim(row),
        stop.signal,
      ),
    CancelRequested,
  );
  assertEquals([providerCalls, undone], [["find", "find", "undo"], [
    "voice-1",
  ]]);
  assertEquals(outcomes(), ["adopted"]);
});

Deno.test("makePaidCall: cancelled during a query that finds nothing, the outcome stays unknown", async () => {
  for (const then of [answers(null), fails(noAnswer)]) {
    const { attempt, repository, row, providerCalls, outcomes } =
      await withUnknownOutcome();
    const stop = new AbortController();
    await assertRejects(
      () =>
        attempt(
          { find: cancelledQuery(stop, then) },
          repository.claim(row),
          stop.signal,
        ),
      CancelRequested,
    );
    assertEquals([providerCalls, outcomes()], [["find", "find"], ["unknown"]]);
  }
});

Deno.test("makePaidCall: cancelled during a conclusive query, an empty result proves that nothing was paid", async () => {
  for (
    const [then, outcome] of [
      [answers(null), "absent"],
      [fails(noAnswer), "unknown"],
      [answers("voice-1"), "adopted"],
    ] as const
  ) {
    const { attempt, repository, row, outcomes } = await withUnknownOutcome();
    repository.pass(RECONCILE_SECONDS);
    const stop = new AbortController();
    await assertRejects(
      () =>
        attempt(
          { find: cancelledQuery(stop, then), undo: () => Promise.resolve() },
          repository.claim(row),
          stop.signal,
        ),
      CancelRequested,
    );
    assertEquals(outcomes(), [outcome]);
  }
});

Deno.test("makePaidCall: after a refusal of a cancelled call, the provider is not queried", async () => {
  const { attempt, repository, row, providerCalls, outcomes } = bench();
  const stop = new AbortController();
  const no = ProviderFailure.rejected("provider_rejected_input");
  await assertRejects(() =>
    attempt(
      {
        send: () => {
          stop.abort(new CancelRequested());
          return Promise.reject(no);
        },
      },
      repository.claim(row),
      stop.signal,
    ), JobFailure);
  assertEquals([providerCalls, outcomes()], [["send"], ["rejected"]]);
});

Deno.test("makePaidCall: any other abort removes nothing, because the next claim uses the object", async () => {
  const { attempt, repository, row, providerCalls, outcomes } = bench();
  const stop = new AbortController();
  await assertRejects(() =>
    attempt(
      {
        send: () => {
          stop.abort(new ShuttingDown("time is up"));
          return Promise.reject(noAnswer);
        },
      },
      repository.claim(row),
      stop.signal,
    ), Snooze);
  assertEquals([providerCalls, outcomes()], [["send"], ["unknown"]]);
});

for (
  const [whose, decision, code] of [
    ["the owner's", "over_budget", "budget_exceeded"],
    ["the provider's", "over_provider_budget", "provider_budget_exceeded"],
  ] as const
) {
  Deno.test(`makePaidCall: a call that exceeds ${whose} budget is not sent, and the job fails`, async () => {
    const { attempt, providerCalls, repository, outcomes } = bench();
    repository.overBudget = decision;
    const failure = await assertRejects(() => attempt({}), JobFailure);
    assertEquals([failure.code, failure.isRetryable], [code, false]);
    assertEquals([providerCalls, outcomes()], [[], []]);
  });
}

Deno.test("makePaidCall: budget_exceeded explains an uncertain estimate", async () => {
  const { attempt, repository } = bench();
  repository.overBudget = "over_budget";
  const unitsNote = "It counts as 36000 s.";
  const { message } = await assertRejects(
    () => attempt({ unitsNote }),
    JobFailure,
  );
  assertEquals(
    message,
    "The job would cost more than the rest of your budget. It counts as 36000 s.",
  );
});

Deno.test("makePaidCall: the estimate is journalled before the call, and the reported usage after it", async () => {
  const repository = new FakeRepository();
  const job = repository.claim(repository.insert());
  const journalled: unknown[] = [];
  const id = await makePaidCall(
    {
      beginProviderCall: (lease, intent) => {
        journalled.push(intent.units);
        return repository.beginProviderCall(lease, intent);
      },
      settleProviderCall: (lease, callId, settlement) => {
        journalled.push("units" in settlement ? settlement.units : null);
        return repository.settleProviderCall(lease, callId, settlement);
      },
    },
    job,
    {
      operation: "speak",
      stage: "speaking",
      progressBefore: 10,
      progressAfter: 20,
      units: 3_000,
      send: () =>
        Promise.resolve({ providerObjectId: "speech-1", units: 2_500 }),
      find: answers(null),
    },
    never,
    () => true,
  );
  assertEquals([id, journalled], ["speech-1", [3_000, 2_500]]);
});
