import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
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
} from "../../../../supabase/functions/_shared/jobs/pauses.ts";
import {
  type FakeJob,
  FakeRepository,
} from "../../../_support/fake-repository.ts";

const RECONCILE_SECONDS = 60;
const never = new AbortController().signal;

/** A job, its journal, and a provider that answers what the test says and remembers being asked. */
function bench() {
  const repository = new FakeRepository({
    reconcileSeconds: RECONCILE_SECONDS,
  });
  const row = repository.insert();
  const asked: ("send" | "find" | "undo")[] = [];
  const unexpected = () => Promise.reject(new Error("not expected"));
  return {
    repository,
    row,
    asked,
    outcomes: () => repository.journal.calls.map((call) => call.outcome),
    /** Claims the job anew, as after a crash, and makes the call. */
    attempt: (
      provider: Partial<
        Pick<PaidCall, "send" | "find" | "undo" | "unitsNote">
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
          send: (signal) => {
            asked.push("send");
            return (provider.send ?? unexpected)(signal);
          },
          find: (signal) => {
            asked.push("find");
            return (provider.find ?? unexpected)(signal);
          },
          undo: (id, signal) => {
            asked.push("undo");
            return (provider.undo ?? unexpected)(id, signal);
          },
        },
        signal,
        () => true,
      ),
  };
}

const answers = (id: string | null) => () => Promise.resolve(id);
const made = (id: string) => () => Promise.resolve(id);
const fails = (error: unknown) => () => Promise.reject(error);
const noAnswer = ProviderFailure.unknown("provider_timeout");

/** The isolate dies: its lease runs out, and the sweep puts the job back. */
function die(repository: FakeRepository, row: FakeJob): void {
  repository.pass(11);
  repository.rescue();
  assertEquals(row.status, "pending");
}

/** A call was sent and nobody knows what became of it; the job waits. */
async function withUnknownOutcome() {
  const used = bench();
  await assertRejects(() => used.attempt({ send: fails(noAnswer) }), Snooze);
  await used.repository.snooze(
    { id: used.row.id, lease_token: used.row.leaseToken ?? "" },
    RECONCILE_PAUSE_SECONDS,
    "reconciling",
  );
  used.asked.length = 0;
  return used;
}

Deno.test("makePaidCall: the call stands in the journal before it is sent, and the answer after it", async () => {
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
  Deno.test(`makePaidCall: a definite ${code}${retryAfterSeconds ? " with a pause" : ""} is settled as rejected and ends the attempt`, async () => {
    const { attempt, repository, asked } = bench();
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
    assertEquals(asked, ["send"]);
  });
}

for (
  const [retryAfterSeconds, seconds] of [
    [undefined, OWN_LOAD_PAUSE_SECONDS],
    [3, 3],
    [90, 90],
  ] as const
) {
  Deno.test(`makePaidCall: when our own other calls stand in the way, the job waits ${seconds} s, rejected, without spending the attempt`, async () => {
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
    assertStrictEquals(snooze.cause, busy);
    assertEquals(outcomes(), ["rejected"]);
  });
}

Deno.test("makePaidCall: a look-up that our own other calls stand in the way of is put off, and the outcome stays unknown", async () => {
  const { attempt, outcomes } = await withUnknownOutcome();
  const busy = ProviderFailure.rejected("provider_concurrency_limited", {});
  const snooze = await assertRejects(
    () => attempt({ find: fails(busy) }),
    Snooze,
  );
  assertEquals([snooze.stage, outcomes()], ["reconciling", ["unknown"]]);
});

Deno.test("makePaidCall: a provider that is away asks for a pause before it is asked about the outcome", async () => {
  for (const [retryAfterSeconds, seconds] of [[120, 120], [1, 10]] as const) {
    const { attempt } = bench();
    const away = ProviderFailure.unknown("provider_unavailable", {
      httpStatus: 503,
      retryAfterSeconds,
    });
    const snooze = await assertRejects(
      () => attempt({ send: fails(away) }),
      Snooze,
    );
    assertEquals([snooze.seconds, snooze.stage], [seconds, "reconciling"]);
  }
});

Deno.test("makePaidCall: after a definite no, the next attempt may send", async () => {
  const { attempt, repository, row, outcomes, asked } = bench();
  const no = ProviderFailure.rejected("provider_rate_limited");
  await assertRejects(() => attempt({ send: fails(no) }), JobFailure);
  die(repository, row);
  assertEquals(await attempt({ send: made("voice-2") }), "voice-2");
  assertEquals(outcomes(), ["rejected", "succeeded"]);
  assertEquals(asked, ["send", "send"]);
});

for (
  const [why, error] of [
    ["no usable answer", noAnswer],
    ["an error that nobody foresaw", new TypeError("undefined is no function")],
    ["something thrown that is no error", "boom"],
  ] as const
) {
  Deno.test(`makePaidCall: ${why} means that money may be spent: the job waits, and asks before it sends`, async () => {
    const { attempt, repository, row, outcomes, asked } = bench();
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
    assertEquals(asked, ["send", "find"]);
  });
}

Deno.test("makePaidCall: what the provider is found to have made is adopted, and nothing is sent", async () => {
  const { attempt, repository, row, asked } = await withUnknownOutcome();
  assertEquals(await attempt({ find: answers("voice-1") }), "voice-1");
  const [call] = repository.journal.calls;
  assertEquals([call?.outcome, call?.providerObjectId], ["adopted", "voice-1"]);
  assertEquals(row.progress, 70);
  assertEquals(asked, ["find"]);
});

Deno.test("makePaidCall: while the provider's listing may lag, finding nothing means waiting", async () => {
  const { attempt, repository, row, outcomes, asked } =
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
    assertEquals([asked.length, outcomes()], [look, ["unknown"]]);
  }
  assertEquals(asked.includes("send"), false);
  // The twin: once the time is over, the same answer counts.
  await assertRejects(() => attempt({ find: answers(null) }), JobFailure);
});

Deno.test("makePaidCall: an empty look-up that counts costs the attempt, and only the next one sends", async () => {
  const { attempt, repository, row, outcomes, asked } =
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
  assertEquals([outcomes(), asked], [["absent"], ["find"]]);
  await repository.fail(job, failure);
  assertEquals(await attempt({ send: made("voice-2") }), "voice-2");
  assertEquals(outcomes(), ["absent", "succeeded"]);
});

Deno.test("makePaidCall: a call that succeeded is used, and the provider is not even asked", async () => {
  const { attempt, repository, row, asked } = bench();
  await attempt({ send: made("voice-1") });
  die(repository, row);
  assertEquals(await attempt({}), "voice-1");
  assertEquals(asked, ["send"]);
});

Deno.test("makePaidCall: another step of the same job has a call of its own", async () => {
  const { attempt, repository, row } = bench();
  await attempt({ send: made("voice-1") });
  const id = await makePaidCall(
    repository,
    { id: row.id, lease_token: row.leaseToken ?? "" },
    {
      operation: "create_video",
      stage: "calling_provider",
      progressBefore: 80,
      progressAfter: 90,
      units: 1,
      send: made("video-1"),
      find: fails(new Error("not expected")),
    },
    never,
    () => true,
  );
  assertEquals(id, "video-1");
});

for (const isRetryable of [true, false]) {
  Deno.test(`makePaidCall: a provider that cannot be asked (${isRetryable ? "for now" : "at all"}) fails the attempt and leaves the outcome unknown`, async () => {
    const { attempt, outcomes, asked } = await withUnknownOutcome();
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
    assertEquals([outcomes(), asked], [["unknown"], ["find"]]);
  });
}

Deno.test("makePaidCall: a provider in trouble that passes is asked again later, at no attempt's cost", async () => {
  for (
    const [retryAfterSeconds, seconds] of [
      [undefined, RECONCILE_PAUSE_SECONDS],
      [60, 60],
    ] as const
  ) {
    const { attempt, outcomes, asked } = await withUnknownOutcome();
    const error = ProviderFailure.unknown("provider_unavailable", {
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    });
    const snooze = await assertRejects(
      () => attempt({ find: fails(error) }),
      Snooze,
    );
    assertEquals([snooze.seconds, snooze.stage], [seconds, "reconciling"]);
    assertEquals([outcomes(), asked], [["unknown"], ["find"]]);
  }
});

Deno.test("makePaidCall: a look-up that breaks in a way nobody foresaw leaves the outcome unknown too", async () => {
  const { attempt, outcomes } = await withUnknownOutcome();
  const bug = new RangeError("a bug");
  const error = await assertRejects(() => attempt({ find: fails(bug) }));
  assertStrictEquals(error, bug);
  assertEquals(outcomes(), ["unknown"]);
});

Deno.test("makePaidCall: a job that is no longer ours is not paid for", async () => {
  const { attempt, repository, row, asked } = bench();
  const job = repository.claim(row);
  repository.takeOver(row);
  await assertRejects(() => attempt({}, job), LeaseLost);
  assertEquals([asked, repository.journal.calls.length], [[], 0]);
});

for (
  const [how, end] of [
    ["succeeds", made("voice-1")],
    ["is refused", fails(ProviderFailure.rejected("not_found"))],
    ["has no answer", fails(noAnswer)],
  ] as const
) {
  Deno.test(`makePaidCall: a lease lost while the call ${how} leaves the journal to the next owner`, async () => {
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
  Deno.test(`makePaidCall: a lease lost while ${found ?? "nothing"} is found leaves the journal to the next owner`, async () => {
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

const away = new Error("the database is away");

Deno.test("makePaidCall: what cannot be journalled is not sent", async () => {
  const { attempt, repository, asked } = bench();
  repository.interrupt = (method, phase) => {
    if (method === "beginProviderCall" && phase === "before") throw away;
  };
  assertStrictEquals(await assertRejects(() => attempt({})), away);
  assertEquals(asked, []);
});

Deno.test("makePaidCall: a crash between journal and sending costs a look-up, never a voice", async () => {
  const { attempt, repository, row, asked, outcomes } = bench();
  repository.interrupt = (method, phase) => {
    if (method === "beginProviderCall" && phase === "after") throw away;
  };
  assertStrictEquals(await assertRejects(() => attempt({})), away);
  repository.interrupt = () => {};
  die(repository, row);
  assertEquals(outcomes(), ["unknown"]);
  await assertRejects(() => attempt({ find: answers(null) }), Snooze);
  assertEquals(asked, ["find"]);
});

for (
  const [phase, decision] of [
    ["before", "reconcile"],
    ["after", "done"],
  ] as const
) {
  Deno.test(`makePaidCall: a crash ${phase} the answer is written down makes the next run ${decision}, and nothing is sent twice`, async () => {
    const { attempt, repository, row, asked } = bench();
    repository.interrupt = (method, now) => {
      if (method === "settleProviderCall" && now === phase) throw away;
    };
    assertStrictEquals(
      await assertRejects(() => attempt({ send: made("voice-1") })),
      away,
    );
    repository.interrupt = () => {};
    die(repository, row);
    assertEquals(
      await attempt(
        decision === "reconcile" ? { find: answers("voice-1") } : {},
      ),
      "voice-1",
    );
    assertEquals(asked.filter((one) => one === "send").length, 1);
  });
}

// Cancelled by the owner

Deno.test("makePaidCall: a job that was cancelled before the call is begun has nothing sent and nothing journalled", async () => {
  const { attempt, repository, row, asked } = bench();
  const job = repository.claim(row);
  repository.requestCancel(row);
  await assertRejects(() => attempt({}, job), CancelRequested);
  assertEquals([asked, repository.journal.calls], [[], []]);
});

/** A send under way that a cancellation breaks off, as the provider's client reports it. */
function brokenOff(stop: AbortController): PaidCall["send"] {
  return (signal) => {
    stop.abort(new CancelRequested());
    assertStrictEquals(signal.reason, stop.signal.reason);
    return Promise.reject(noAnswer);
  };
}

Deno.test("makePaidCall: what a call that a cancellation broke off has made is looked for, undone, and stays on record", async () => {
  const { attempt, repository, row, asked } = bench();
  const stop = new AbortController();
  const undone: string[] = [];
  await assertRejects(() =>
    attempt(
      {
        send: brokenOff(stop),
        find: (signal) => {
          assertEquals(signal.aborted, false, "the look-up has its own time");
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
  assertEquals([asked, undone], [["send", "find", "undo"], ["voice-1"]]);
  const [call] = repository.journal.calls;
  assertEquals([call?.outcome, call?.providerObjectId], ["adopted", "voice-1"]);
  assertEquals(row.progress, 30);
});

Deno.test("makePaidCall: what cannot be undone is on record all the same", async () => {
  const { attempt, repository, row, asked, outcomes } = bench();
  const stop = new AbortController();
  await assertRejects(() =>
    attempt(
      {
        send: brokenOff(stop),
        find: answers("voice-1"),
        undo: fails(noAnswer),
      },
      repository.claim(row),
      stop.signal,
    )
  );
  assertEquals([asked, outcomes()], [["send", "find", "undo"], ["adopted"]]);
});

for (
  const [why, find] of [
    ["finds nothing", answers(null)],
    ["fails", fails(noAnswer)],
  ] as const
) {
  Deno.test(`makePaidCall: when the one look after a cancellation ${why}, the outcome stays unknown`, async () => {
    const { attempt, repository, row, asked, outcomes } = bench();
    const stop = new AbortController();
    await assertRejects(() =>
      attempt(
        { send: brokenOff(stop), find },
        repository.claim(row),
        stop.signal,
      )
    );
    assertEquals([asked, outcomes()], [["send", "find"], ["unknown"]]);
  });
}

/** The owner cancels while the provider is asked; the look-up that this breaks off is followed by one of its own time. */
function cancelledLookUp(
  stop: AbortController,
  then: () => Promise<string | null>,
) {
  let isFirst = true;
  return (signal: AbortSignal) => {
    if (!isFirst) {
      assertEquals(signal.aborted, false, "it has its own time");
      return then();
    }
    isFirst = false;
    stop.abort(new CancelRequested());
    assertStrictEquals(signal.reason, stop.signal.reason);
    return Promise.reject(noAnswer);
  };
}

Deno.test("makePaidCall: cancelled during the look-up, what was made is found, undone and on record", async () => {
  const { attempt, repository, row, asked, outcomes } =
    await withUnknownOutcome();
  const stop = new AbortController();
  const undone: string[] = [];
  await assertRejects(
    () =>
      attempt(
        {
          find: cancelledLookUp(stop, answers("voice-1")),
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
  assertEquals([asked, undone], [["find", "find", "undo"], ["voice-1"]]);
  assertEquals(outcomes(), ["adopted"]);
});

Deno.test("makePaidCall: cancelled during the look-up, what is not found stays unknown, and nothing is sent", async () => {
  for (const then of [answers(null), fails(noAnswer)]) {
    const { attempt, repository, row, asked, outcomes } =
      await withUnknownOutcome();
    const stop = new AbortController();
    await assertRejects(
      () =>
        attempt(
          { find: cancelledLookUp(stop, then) },
          repository.claim(row),
          stop.signal,
        ),
      CancelRequested,
    );
    assertEquals([asked, outcomes()], [["find", "find"], ["unknown"]]);
  }
});

Deno.test("makePaidCall: cancelled during a look-up that counts, finding nothing proves that nothing was paid", async () => {
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
          { find: cancelledLookUp(stop, then), undo: () => Promise.resolve() },
          repository.claim(row),
          stop.signal,
        ),
      CancelRequested,
    );
    assertEquals(outcomes(), [outcome]);
  }
});

Deno.test("makePaidCall: a provider that says no to a cancelled call is not asked again", async () => {
  const { attempt, repository, row, asked, outcomes } = bench();
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
  assertEquals([asked, outcomes()], [["send"], ["rejected"]]);
});

Deno.test("makePaidCall: whatever else breaks a call off undoes nothing: the next claim wants what was made", async () => {
  const { attempt, repository, row, asked, outcomes } = bench();
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
  assertEquals([asked, outcomes()], [["send"], ["unknown"]]);
});

for (
  const [whose, decision, code] of [
    ["the owner's", "over_budget", "budget_exceeded"],
    ["the provider's", "over_provider_budget", "provider_budget_exceeded"],
  ] as const
) {
  Deno.test(`makePaidCall: what does not fit into ${whose} budget is not sent, and fails the job for good`, async () => {
    const { attempt, asked, repository, outcomes } = bench();
    repository.overBudget = decision;
    const failure = await assertRejects(() => attempt({}), JobFailure);
    assertEquals([failure.code, failure.isRetryable], [code, false]);
    assertEquals([asked, outcomes()], [[], []]);
  });
}

Deno.test("makePaidCall: the owner of what does not fit reads where its estimate comes from", async () => {
  const { attempt, repository } = bench();
  repository.overBudget = "over_budget";
  const unitsNote = "It counts as 36000 s.";
  const { message } = await assertRejects(
    () => attempt({ unitsNote }),
    JobFailure,
  );
  assertEquals(
    message,
    "The job would cost more than what is left of your budget. It counts as 36000 s.",
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
