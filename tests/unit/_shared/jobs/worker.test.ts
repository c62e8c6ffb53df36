import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import type { Completion } from "../../../../supabase/functions/_shared/jobs/outcome.ts";
import type { JobContext } from "../../../../supabase/functions/_shared/jobs/runner.ts";
import { createWorker } from "../../../../supabase/functions/_shared/jobs/worker.ts";
import { createLogger } from "../../../../supabase/functions/_shared/platform/log.ts";
import { fakePlatform } from "../../../helpers/fake-platform.ts";
import { FakeRepository } from "../../../helpers/fake-repository.ts";
import { turn } from "../../../helpers/held-timers.ts";
import { DONE, untilAborted } from "./run-bench.ts";

const WALL_CLOCK_MS = 150_000;

/** An isolate with a worker, whose jobs end when the test says so. */
function isolate(
  options: {
    concurrency?: number;
    repository?: FakeRepository;
    work?: (context: JobContext) => Promise<Completion>;
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
    concurrency: options.concurrency ?? 2,
    wallClockMs: WALL_CLOCK_MS,
    onShutdown: platform.onShutdown,
  });
  return {
    platform,
    repository,
    state,
    insert: (count: number) =>
      Array.from({ length: count }, () => repository.insert()),
    /** A dispatch that names these jobs. */
    take: (ids: string[], messageId: string = crypto.randomUUID()) =>
      worker.take(
        ids.length,
        (limit) =>
          repository.claimDispatched({ messageId, sentAtUnix: 0 }, limit, ids),
        log,
      ),
    /** Lets the running jobs end, again and again, until none is left. */
    finishAll: async () => {
      for (await turn(); gates.size > 0; await turn()) {
        for (const [id, gate] of gates) {
          gates.delete(id);
          gate.resolve(DONE);
        }
      }
    },
    worker,
    log,
  };
}

const ids = (rows: { id: string }[]) => rows.map((row) => row.id);

Deno.test("createWorker: takes what a dispatch names, as far as there are slots", async () => {
  const { insert, take, finishAll, repository } = isolate({ concurrency: 2 });
  const rows = insert(3);
  const { jobs, finished } = await take(ids(rows));
  assertEquals(ids(jobs), ids(rows.slice(0, 2)));
  assertEquals(rows.map((row) => row.status), [
    "processing",
    "processing",
    "pending",
  ]);
  await finishAll();
  await finished;
  assert(
    [...repository.jobs.values()].every((row) => row.status === "completed"),
  );
});

Deno.test("createWorker: as slots come free it claims what else is due, and is finished when nothing is", async () => {
  const { insert, take, finishAll, state } = isolate({ concurrency: 2 });
  const rows = insert(7);
  const { jobs, finished } = await take(ids(rows.slice(0, 1)));
  assertEquals(jobs.length, 1);
  await finishAll();
  await finished;
  assertEquals(new Set(rows.map((row) => row.status)), new Set(["completed"]));
  assertEquals(state.most, 1, "a dispatch of one job keeps to one slot");
});

Deno.test("createWorker: dispatches that come at once share the slots", async () => {
  const { insert, take, finishAll, state } = isolate({ concurrency: 3 });
  const rows = insert(12);
  const taken = await Promise.all([
    take(ids(rows.slice(0, 4))),
    take(ids(rows.slice(4, 8))),
    take(ids(rows.slice(8))),
  ]);
  assertEquals(taken.flatMap(({ jobs }) => jobs).length, 3);
  await finishAll();
  await Promise.all(taken.map(({ finished }) => finished));
  assertEquals(new Set(rows.map((row) => row.status)), new Set(["completed"]));
  assertEquals(state.most, 3);
});

Deno.test("createWorker: dispatches of one job each, at once, all begin while there are slots", async () => {
  const { insert, take, finishAll, state } = isolate({ concurrency: 3 });
  const taken = await Promise.all(insert(3).map((row) => take([row.id])));
  assertEquals(taken.map(({ jobs }) => jobs.length), [1, 1, 1]);
  await turn();
  assertEquals(state.running, 3);
  await finishAll();
});

Deno.test("createWorker: slots that a claim did not fill are free again", async () => {
  const { insert, take, finishAll } = isolate({ concurrency: 2 });
  const nothing = crypto.randomUUID();
  const empty = await take([nothing, nothing]);
  assertEquals(empty.jobs, []);
  await empty.finished;
  assertEquals((await take(ids(insert(2)))).jobs.length, 2);
  await finishAll();
});

Deno.test("createWorker: a claim that fails is the dispatch's failure, and its slots are free again", async () => {
  const { insert, take, finishAll, worker, log } = isolate({ concurrency: 1 });
  await assertRejects(
    () => worker.take(1, () => Promise.reject(new RangeError("away")), log),
    RangeError,
  );
  assertEquals((await take(ids(insert(1)))).jobs.length, 1);
  await finishAll();
});

Deno.test("createWorker: a busy worker still asks the queue, so that the dispatch is judged and remembered", async () => {
  const { insert, take, finishAll } = isolate({ concurrency: 1 });
  const [first, second] = insert(2);
  assert(first && second);
  await take([first.id]);
  assertEquals((await take([second.id], "msg_2")).jobs, []);
  await assertRejects(() => take([second.id], "msg_2"), Error, "before");
  await finishAll();
});

Deno.test("createWorker: after half of the wall clock nothing is claimed, neither by a dispatch nor by itself", async () => {
  const { insert, take, finishAll, platform } = isolate({ concurrency: 2 });
  const rows = insert(4);
  platform.advance(WALL_CLOCK_MS / 2 - 1);
  const { jobs, finished } = await take(ids(rows.slice(0, 1)));
  assertEquals(jobs.length, 1);
  platform.advance(1);
  assertEquals((await take(ids(rows.slice(1)))).jobs, []);
  await finishAll();
  await finished;
  assertEquals(rows.map((row) => row.status), [
    "completed",
    "pending",
    "pending",
    "pending",
  ]);
});

Deno.test("createWorker: a claim that fails between two jobs ends the work, not the isolate", async () => {
  const { insert, take, finishAll, repository, platform } = isolate();
  const rows = insert(2);
  const { finished } = await take(ids(rows.slice(0, 1)));
  repository.interrupt = (method) => {
    if (method === "claimDue") throw new Error("the database is away");
  };
  await finishAll();
  await finished;
  assertEquals(rows.map((row) => row.status), ["completed", "pending"]);
  assertEquals(platform.events().at(-1), "claim_failed");
});

Deno.test("createWorker: when the end is announced it hands back what it has and claims nothing more", async () => {
  const { insert, take, platform } = isolate({
    concurrency: 2,
    work: ({ signal }) => untilAborted(signal),
  });
  const rows = insert(3);
  const { finished } = await take(ids(rows.slice(0, 2)));
  await turn();
  platform.shutDown("early_drop");
  await finished;
  assertEquals(
    rows.map((row) => [row.status, row.attempt]),
    [["pending", 0], ["pending", 0], ["pending", 0]],
  );
  assertEquals((await take(ids(rows))).jobs, []);
  assertEquals(
    platform.events().filter((event) => event === "job_released").length,
    2,
  );
});

Deno.test("createWorker: an end that comes during a claim hands the claimed jobs back at once", async () => {
  const { insert, take, platform, repository, state } = isolate();
  const rows = insert(2);
  repository.interrupt = (method, phase) => {
    if (method === "claimDispatched" && phase === "after") {
      platform.shutDown("termination");
    }
  };
  const { finished } = await take(ids(rows));
  await finished;
  assertEquals(rows.map((row) => row.status), ["pending", "pending"]);
  assertEquals(state.most, 0);
});

Deno.test("createWorker: however many dispatches come and whenever jobs end, the slots are never overrun and all is done", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 6 }),
      fc.scheduler(),
      async (concurrency, sizes, scheduler) => {
        const repository = new FakeRepository();
        repository.interrupt = (method, phase) =>
          scheduler.schedule(Promise.resolve(), `${phase} ${method}`);
        const { insert, take, state } = isolate({
          concurrency,
          repository,
          work: () => scheduler.schedule(Promise.resolve(DONE), "work"),
        });
        const rows = sizes.map((size) => insert(size));
        const dispatches = rows.map(async (named) =>
          await (await take(ids(named))).finished
        );
        await scheduler.waitFor(Promise.all(dispatches));
        assert(state.most <= concurrency, `${state.most} at once`);
        const left = rows.flat().filter((row) => row.status !== "completed");
        assertEquals(left, []);
      },
    ),
    { numRuns: 200 },
  );
});
