import {
  assert,
  assertEquals,
  assertObjectMatch,
  assertRejects,
} from "@std/assert";
import fc from "../../../_support/fast-check.ts";
import type { Completion } from "../../../../supabase/functions/_shared/jobs/outcome.ts";
import type { JobContext } from "../../../../supabase/functions/_shared/jobs/job-context.ts";
import { createWorker } from "../../../../supabase/functions/_shared/jobs/worker.ts";
import { createLogger } from "../../../../supabase/functions/_shared/platform/log.ts";
import { fakePlatform } from "../../../_support/fake-platform.ts";
import {
  type FakeJob,
  FakeRepository,
} from "../../../_support/fake-repository.ts";
import { turn as oneTurn } from "../../../_support/held-timers.ts";
import { DONE, untilAborted } from "../../_support/run-bench.ts";

const WALL_CLOCK_MS = 150_000;

/** Two turns of the event loop: jobs end in the first, and the worker claims in the second. */
async function turn(): Promise<void> {
  await oneTurn();
  await oneTurn();
}

/** An isolate with a worker whose jobs the test ends. */
function isolate(
  options: {
    concurrency?: number;
    isOneJobPerRequest?: boolean;
    repository?: FakeRepository;
    work?: (context: JobContext) => Promise<Completion>;
    pause?: () => Promise<void>;
  } = {},
) {
  const platform = fakePlatform();
  const repository = options.repository ?? new FakeRepository();
  const log = createLogger(platform, { level: "debug", secrets: [] });
  const gates = new Map<string, PromiseWithResolvers<Completion>>();
  const state = { running: 0, most: 0 };
  const worker = createWorker({
    platform,
    repository,
    processors: new Map([["voice_clone", {
      jobType: "voice_clone",
      run: async (context: JobContext) => {
        state.running++;
        state.most = Math.max(state.most, state.running);
        try {
          if (options.work !== undefined) return await options.work(context);
          const gate = Promise.withResolvers<Completion>();
          gates.set(context.job.id, gate);
          return await gate.promise;
        } finally {
          state.running--;
        }
      },
    }]]),
    results: {
      find: () => Promise.resolve(null),
      remember: () => Promise.resolve(),
    },
    dependencyOf: () => Promise.resolve(null),
    concurrency: options.concurrency ?? 2,
    isOneJobPerRequest: options.isOneJobPerRequest ?? false,
    wallClockMs: WALL_CLOCK_MS,
    removeLostFiles: () => Promise.resolve(0),
    onShutdown: platform.onShutdown,
    waitUntil: platform.waitUntil,
    log,
    pause: options.pause ?? (() => Promise.resolve()),
  });
  /** Ends `count` of the running jobs. */
  const finish = async (count: number) => {
    for (const [id, gate] of [...gates].slice(0, count)) {
      gates.delete(id);
      gate.resolve(DONE);
    }
    await turn();
  };
  return {
    platform,
    repository,
    state,
    insert: (count: number) =>
      Array.from({ length: count }, () => repository.insert()),
    /** A dispatch. */
    dispatch: (messageId: string = crypto.randomUUID()) =>
      worker.claim(
        (limit) =>
          repository.claimDispatched({ messageId, sentAtUnix: 0 }, limit),
        log,
      ),
    finish,
    /** Ends running jobs until none is left. */
    finishAll: async () => {
      for (await turn(); gates.size > 0;) await finish(gates.size);
    },
    worker,
    log,
  };
}

/** The number of times another isolate was woken while a job was due. */
const woken = (repository: FakeRepository) =>
  repository.effects.filter((method) => method === "wake").length;

const ids = (rows: { id: string }[]) => rows.map((row) => row.id);

Deno.test("createWorker: claims as many due jobs as it has slots", async () => {
  const { insert, dispatch, finishAll, platform } = isolate({ concurrency: 2 });
  const rows = insert(3);
  assertEquals(ids(await dispatch()), ids(rows.slice(0, 2)));
  assertEquals(rows.map((row) => row.status), [
    "processing",
    "processing",
    "pending",
  ]);
  await finishAll();
  await platform.background();
  assert(rows.every((row) => row.status === "completed"));
});

Deno.test("createWorker: claims more due jobs as slots become free, until none is due", async () => {
  const { insert, dispatch, finishAll, state, platform } = isolate({
    concurrency: 2,
  });
  const rows = insert(7);
  assertEquals((await dispatch()).length, 2);
  await finishAll();
  await platform.background();
  assertEquals(new Set(rows.map((row) => row.status)), new Set(["completed"]));
  assertEquals(state.most, 2);
});

Deno.test("createWorker: slots that become free together share one claim", async () => {
  const { insert, dispatch, finish, repository } = isolate({ concurrency: 4 });
  const rows = insert(8);
  await dispatch();
  await turn();
  await finish(4);
  assertEquals(
    repository.calls.filter((method) => method === "claimDue").length,
    1,
  );
  assert(rows.slice(4).every((row) => row.status === "processing"));
  await finish(4);
});

Deno.test("createWorker: slots that become free during a claim share the next one", async () => {
  const { insert, dispatch, finish, repository } = isolate({ concurrency: 4 });
  const rows = insert(8);
  await dispatch();
  await turn();
  const answer = Promise.withResolvers<void>();
  repository.interrupt = (method, phase) =>
    method === "claimDue" && phase === "after" ? answer.promise : undefined;
  await finish(1);
  await finish(3);
  repository.interrupt = () => {};
  answer.resolve();
  await turn();
  assertEquals(
    repository.calls.filter((method) => method === "claimDue").length,
    2,
    "one for the first, one for the three that followed",
  );
  assert(rows.slice(4).every((row) => row.status === "processing"));
  await finish(4);
});

Deno.test("createWorker: concurrent dispatches share the slots", async () => {
  const { insert, dispatch, finishAll, state, platform } = isolate({
    concurrency: 3,
  });
  const rows = insert(12);
  const taken = await Promise.all([dispatch(), dispatch(), dispatch()]);
  assertEquals(taken.flat().length, 3);
  await finishAll();
  await platform.background();
  assertEquals(new Set(rows.map((row) => row.status)), new Set(["completed"]));
  assertEquals(state.most, 3);
});

Deno.test("createWorker: a dispatch during a claim of all slots is verified, and its job claimed next", async () => {
  const { insert, dispatch, finishAll, repository, state, platform } = isolate({
    concurrency: 3,
  });
  insert(1);
  const answer = Promise.withResolvers<void>();
  repository.interrupt = (method, phase) =>
    method === "claimDispatched" && phase === "after"
      ? answer.promise
      : undefined;
  const first = dispatch();
  await turn();
  // The first claim has found one job and is about to return, so these are too late for it.
  const late = insert(2);
  repository.interrupt = () => {};
  assertEquals(await dispatch(), []);
  assertEquals(late.map((row) => row.status), ["pending", "pending"]);
  answer.resolve();
  assertEquals((await first).length, 1);
  await turn();
  assertEquals(state.running, 3);
  await finishAll();
  await platform.background();
});

Deno.test("createWorker: twin: without a missed dispatch, nothing is claimed until a slot becomes free", async () => {
  const { insert, dispatch, finishAll, repository } = isolate({
    concurrency: 3,
  });
  insert(1);
  await dispatch();
  await turn();
  assertEquals(repository.calls, ["claimDispatched"]);
  await finishAll();
});

Deno.test("createWorker: a dispatch that arrives while a refill's claim returns empty is not forgotten", async () => {
  const { insert, dispatch, finish, repository, state } = isolate({
    concurrency: 1,
  });
  insert(1);
  await dispatch();
  await turn();
  const answer = Promise.withResolvers<void>();
  repository.interrupt = (method, phase) =>
    method === "claimDue" && phase === "after" ? answer.promise : undefined;
  await finish(1);
  insert(1);
  repository.interrupt = () => {};
  assertEquals(await dispatch(), []);
  assertEquals(state.running, 0);
  answer.resolve();
  await turn();
  assertEquals(state.running, 1);
  await finish(1);
});

Deno.test("createWorker: a job that a dispatch could not claim, because a refill held a slot, is claimed later", async () => {
  const { insert, dispatch, finish, platform, repository, state } = isolate({
    concurrency: 2,
  });
  insert(2);
  await dispatch();
  await turn();
  const answer = Promise.withResolvers<void>();
  repository.interrupt = (method, phase) =>
    method === "claimDue" && phase === "after" ? answer.promise : undefined;
  await finish(1);
  await finish(1);
  const rows = insert(3);
  repository.interrupt = () => {};
  assertEquals((await dispatch()).length, 1);
  await finish(1);
  answer.resolve();
  for (await turn(); state.running > 0;) await finish(1);
  await platform.background();
  assert(rows.every((row) => row.status === "completed"));
});

Deno.test("createWorker: a dispatch during a claim that fails is not forgotten", async () => {
  const { insert, dispatch, finish, worker, log, state } = isolate({
    concurrency: 1,
  });
  const answer = Promise.withResolvers<never>();
  const failing = worker.claim(() => answer.promise, log);
  insert(1);
  assertEquals(await dispatch(), []);
  answer.reject(new RangeError("delivered before"));
  await assertRejects(() => failing, RangeError);
  await turn();
  assertEquals(state.running, 1);
  await finish(1);
});

Deno.test("createWorker: slots that a claim did not fill are free again", async () => {
  const { insert, dispatch, finishAll } = isolate({ concurrency: 2 });
  assertEquals(await dispatch(), []);
  insert(2);
  assertEquals((await dispatch()).length, 2);
  await finishAll();
});

Deno.test("createWorker: a failed claim fails its dispatch, and its slots are free again", async () => {
  const { insert, dispatch, finishAll, worker, log } = isolate({
    concurrency: 1,
  });
  await assertRejects(
    () => worker.claim(() => Promise.reject(new RangeError("away")), log),
    RangeError,
  );
  insert(1);
  assertEquals((await dispatch()).length, 1);
  await finishAll();
});

Deno.test("createWorker: a full worker still calls the queue, so that the dispatch is checked and recorded", async () => {
  const { insert, dispatch, finishAll } = isolate({ concurrency: 1 });
  insert(2);
  await dispatch();
  assertEquals(await dispatch("msg_2"), []);
  await assertRejects(() => dispatch("msg_2"), Error, "already");
  await finishAll();
});

Deno.test("createWorker: after half of the wall clock nothing is claimed, and another isolate is woken", async () => {
  const { insert, dispatch, finishAll, platform, repository } = isolate({
    concurrency: 1,
  });
  const rows = insert(4);
  platform.advance(WALL_CLOCK_MS / 2 - 1);
  assertEquals((await dispatch()).length, 1);
  platform.advance(1);
  assertEquals(await dispatch(), []);
  await finishAll();
  await platform.background();
  assertEquals(rows.map((row) => row.status), [
    "completed",
    "pending",
    "pending",
    "pending",
  ]);
  assertEquals(repository.effects.at(-1), "wake");
});

Deno.test("createWorker: a dispatch to an isolate too old to claim wakes another one, and the log says why", async () => {
  const { insert, dispatch, platform, repository } = isolate();
  insert(1);
  platform.advance(WALL_CLOCK_MS / 2);
  assertEquals(await dispatch(), []);
  await platform.background();
  assertEquals(woken(repository), 1);
  assertObjectMatch(platform.logged().at(-1) ?? {}, {
    level: "warn",
    event: "claim_refused",
    reason: "too_old",
    uptime_ms: WALL_CLOCK_MS / 2,
  });
});

Deno.test("createWorker: an isolate past its wall clock, which receives its own call, wakes only once", async () => {
  const { insert, dispatch, platform, repository } = isolate();
  insert(1);
  platform.advance(WALL_CLOCK_MS / 2);
  let calls = 0;
  repository.interrupt = async (method, phase) => {
    if (method !== "wake" || phase === "before") return;
    if (++calls > 3) throw new Error("it calls itself endlessly");
    await dispatch();
  };
  await dispatch();
  await platform.background();
  await dispatch();
  await platform.background();
  assertEquals(calls, 1);
});

Deno.test("createWorker: an isolate too old to claim whose wake failed tries again at the next dispatch", async () => {
  const { insert, dispatch, platform, repository } = isolate();
  platform.advance(WALL_CLOCK_MS / 2);
  await dispatch();
  await platform.background();
  repository.interrupt = (method) => {
    if (method === "wake") throw new Error("the database is unavailable");
  };
  await dispatch();
  await platform.background();
  assertEquals(platform.events().at(-1), "wake_failed");
  repository.interrupt = () => {};
  assertEquals(woken(repository), 0);
  insert(1);
  await dispatch();
  await platform.background();
  assertEquals(woken(repository), 1);
});

Deno.test("createWorker: an isolate that is ending wakes another, and a full one wakes none", async () => {
  const ending = isolate();
  ending.insert(1);
  ending.platform.shutDown("early_drop");
  assertEquals(await ending.dispatch(), []);
  await ending.platform.background();
  assertEquals(woken(ending.repository), 1);

  const full = isolate({ concurrency: 1 });
  full.insert(2);
  await full.dispatch();
  assertEquals(await full.dispatch(), []);
  await turn();
  assertEquals(full.repository.calls.includes("wake"), false);
  assertEquals(
    [ending, full].map(({ platform }) =>
      platform.logged().find(({ event }) => event === "claim_refused")
        ?.["reason"]
    ),
    ["ending", "full"],
  );
  await full.finishAll();
  await full.platform.background();
});

Deno.test("createWorker: twin: a young worker claims again and wakes no other", async () => {
  const { insert, dispatch, finishAll, platform, repository } = isolate();
  const rows = insert(4);
  await dispatch();
  await finishAll();
  await platform.background();
  assert(rows.every((row) => row.status === "completed"));
  assertEquals(repository.calls.includes("wake"), false);
});

Deno.test("createWorker: a claim that fails between two jobs ends the refill, not the isolate", async () => {
  const { insert, dispatch, finishAll, repository, platform } = isolate({
    concurrency: 1,
  });
  const rows = insert(2);
  await dispatch();
  repository.interrupt = (method) => {
    if (method === "claimDue") throw new Error("the database is unavailable");
  };
  await finishAll();
  await platform.background();
  assertEquals(rows.map((row) => row.status), ["completed", "pending"]);
  assertEquals(platform.events().at(-1), "claim_failed");
});

Deno.test("createWorker: when its end is announced, it releases its jobs and claims no more", async () => {
  const { insert, dispatch, platform } = isolate({
    concurrency: 2,
    work: ({ signal }) => untilAborted(signal),
  });
  const rows = insert(3);
  await dispatch();
  await turn();
  platform.shutDown("early_drop");
  await platform.background();
  assertEquals(
    rows.map((row) => [row.status, row.attempt]),
    [["pending", 0], ["pending", 0], ["pending", 0]],
  );
  assertEquals(await dispatch(), []);
  assertEquals(
    platform.events().filter((event) => event === "job_released").length,
    2,
  );
});

Deno.test("createWorker: an end announced during a claim releases the claimed jobs", async () => {
  const { insert, dispatch, platform, repository, state } = isolate();
  const rows = insert(2);
  repository.interrupt = (method, phase) => {
    if (method === "claimDispatched" && phase === "after") {
      platform.shutDown("termination");
    }
  };
  await dispatch();
  await platform.background();
  assertEquals(rows.map((row) => row.status), ["pending", "pending"]);
  assertEquals(state.most, 0);
});

/** A worker that polls, because two dispatches overlapped; each of its pauses lasts until the test ends it. */
async function polling(options: { concurrency: number }) {
  const pauses: (() => void)[] = [];
  const bench = isolate({
    ...options,
    pause: () => new Promise((resolve) => pauses.push(resolve)),
  });
  const { insert, dispatch, repository } = bench;
  const answer = Promise.withResolvers<void>();
  repository.interrupt = (method, phase) =>
    method === "claimDispatched" && phase === "after"
      ? answer.promise
      : undefined;
  insert(1);
  const first = dispatch();
  await turn();
  insert(1);
  repository.interrupt = () => {};
  const second = dispatch();
  await turn();
  answer.resolve();
  await Promise.all([first, second]);
  await turn();
  return {
    ...bench,
    polls: () => repository.calls.filter((method) => method === "poll").length,
    /** Ends a pause; resolves when what follows has been done. */
    async resume() {
      pauses.shift()?.();
      await turn();
      await turn();
    },
    isPausing: () => pauses.length > 0,
  };
}

Deno.test("createWorker: overlapping dispatches make it poll, until a poll finds nothing", async () => {
  const bench = await polling({ concurrency: 4 });
  const { repository, insert, state, resume } = bench;
  assertEquals(bench.polls(), 1);
  assertEquals(state.running, 2);
  assertEquals(repository.polls.size, 1, "inserts rely on it");
  insert(1);
  await resume();
  assertEquals([state.running, repository.polls.size], [3, 1]);
  await resume();
  // One that finds nothing, and the last one, which waits for inserts.
  assertEquals(bench.polls(), 4);
  assertEquals(repository.polls.size, 0);
  assertEquals(bench.isPausing(), false);
  assertEquals(woken(repository), 0);
  await bench.finishAll();
  await bench.platform.background();
});

Deno.test("createWorker: twin: dispatches that do not overlap are answered with a claim each", async () => {
  const { insert, dispatch, finishAll, repository, platform } = isolate({
    concurrency: 4,
  });
  for (let n = 0; n < 3; n++) {
    insert(1);
    await dispatch();
    await turn();
  }
  assertEquals(repository.calls.includes("poll"), false);
  await finishAll();
  await platform.background();
});

Deno.test("createWorker: jobs that a last poll finds run, and a later dispatch is answered", async () => {
  const bench = await polling({ concurrency: 4 });
  const { repository, insert, state, resume, dispatch } = bench;
  repository.interrupt = (method, phase) => {
    if (method === "poll" && phase === "after") {
      repository.interrupt = () => {};
      insert(1);
    }
  };
  await resume();
  assertEquals([state.running, repository.polls.size], [3, 0]);
  insert(1);
  assertEquals((await dispatch()).length, 1);
  await bench.finishAll();
  await bench.platform.background();
});

Deno.test("createWorker: a full worker that polls continues when a slot becomes free in time", async () => {
  const bench = await polling({ concurrency: 2 });
  const { repository, insert, state, resume, finish } = bench;
  insert(1);
  for (let n = 0; n < 5; n++) await resume();
  assertEquals([bench.polls(), repository.polls.size], [1, 1]);
  await finish(1);
  await resume();
  assertEquals([bench.polls(), state.running], [2, 2]);
  await bench.finishAll();
  while (bench.isPausing()) await resume();
  await bench.platform.background();
  assertEquals(repository.polls.size, 0);
});

Deno.test("createWorker: a worker that polls and stays full leaves due jobs to another isolate", async () => {
  const bench = await polling({ concurrency: 2 });
  const { repository, insert, resume } = bench;
  const [row] = insert(1);
  for (let n = 0; n < 20; n++) await resume();
  assertEquals([repository.polls.size, woken(repository)], [0, 1]);
  assertEquals(row?.status, "pending");
  await bench.finishAll();
  await bench.platform.background();
  assertEquals(row?.status, "completed");
});

Deno.test("createWorker: a worker whose end is announced while it polls leaves due jobs to another isolate", async () => {
  const bench = await polling({ concurrency: 4 });
  const { repository, insert, resume, platform } = bench;
  insert(1);
  platform.shutDown("early_drop");
  await resume();
  assertEquals(repository.polls.size, 0);
  assert(woken(repository) >= 1);
  await bench.finishAll();
  await platform.background();
});

Deno.test("createWorker: when a poll fails, what relied on it is dispatched", async () => {
  const bench = await polling({ concurrency: 4 });
  const { repository, insert, resume, platform } = bench;
  insert(1);
  repository.interrupt = (method, phase) => {
    if (method === "poll" && phase === "before") {
      repository.interrupt = () => {};
      throw new Error("the database is unavailable");
    }
  };
  await resume();
  assertEquals([repository.polls.size, woken(repository)], [0, 1]);
  assert(platform.events().includes("claim_failed"));
  await bench.finishAll();
  await platform.background();
});

Deno.test("createWorker: under any dispatches and job ends, slots are never exceeded and every job is done", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 6 }),
      fc.scheduler(),
      async (concurrency, sizes, scheduler) => {
        const repository = new FakeRepository();
        repository.interrupt = (method, phase) =>
          scheduler.schedule(Promise.resolve(), `${phase} ${method}`);
        const { insert, dispatch, state, platform } = isolate({
          concurrency,
          repository,
          work: () => scheduler.schedule(Promise.resolve(DONE), "work"),
          pause: () => scheduler.schedule(Promise.resolve(), "pause"),
        });
        // Each dispatch arrives some time after its insert, as from the database.
        const rows: FakeJob[] = [];
        const dispatches = sizes.map(async (size) => {
          await scheduler.schedule(Promise.resolve(), "insert");
          rows.push(...insert(size));
          await dispatch();
        });
        await scheduler.waitFor(
          Promise.all(dispatches).then(() => platform.background()),
        );
        assert(state.most <= concurrency, `${state.most} at the same time`);
        const left = rows.filter((row) => row.status !== "completed");
        assertEquals(left, []);
      },
    ),
    { numRuns: 2000 },
  );
});

Deno.test("createWorker: with one job per request it claims one, then wakes the worker again", async () => {
  const { insert, dispatch, finishAll, state, repository, platform } = isolate({
    concurrency: 5,
    isOneJobPerRequest: true,
  });
  const rows = insert(3);
  assertEquals(ids(await dispatch()), ids(rows.slice(0, 1)));
  assertEquals(await dispatch(), []);
  assertEquals(woken(repository), 0);
  await finishAll();
  await platform.background();
  assertEquals(rows.map((row) => row.status), [
    "completed",
    "pending",
    "pending",
  ]);
  assertEquals([state.most, woken(repository)], [1, 1]);
  assertEquals(ids(await dispatch()), ids(rows.slice(1, 2)));
  await finishAll();
  await platform.background();
  assertEquals([state.most, woken(repository)], [1, 2]);
});

for (
  const [reason, jobs, codes] of [
    ["cpu", 1, ["worker_limit_exceeded"]],
    ["memory", 1, ["worker_limit_exceeded"]],
    ["wall_clock", 1, [null]],
    // It is unknown which of them caused it.
    ["cpu", 2, [null, null]],
  ] as const
) {
  Deno.test(`createWorker: ended for ${reason} with ${jobs} jobs running, their error codes are ${codes}`, async () => {
    const { insert, dispatch, platform } = isolate({
      concurrency: 2,
      work: ({ signal }) => untilAborted(signal),
    });
    const rows = insert(jobs);
    await dispatch();
    await turn();
    platform.shutDown(reason);
    await platform.background();
    assertEquals(
      rows.map((
        { status, attempt, errorCode },
      ) => [status, attempt, errorCode]),
      codes.map((code) => ["pending", code === null ? 0 : 1, code]),
    );
  });
}
