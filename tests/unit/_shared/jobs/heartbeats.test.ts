import { assert, assertEquals } from "@std/assert";
import { AppError } from "../../../../supabase/functions/_shared/failures/app-error.ts";
import { Heartbeats } from "../../../../supabase/functions/_shared/jobs/heartbeats.ts";
import {
  CancelRequested,
  LeaseLost,
} from "../../../../supabase/functions/_shared/jobs/outcome.ts";
import { createLogger } from "../../../../supabase/functions/_shared/platform/log.ts";
import { fakePlatform } from "../../../_support/fake-platform.ts";
import { FakeRepository } from "../../../_support/fake-repository.ts";
import { heldTimers, turn } from "../../../_support/held-timers.ts";

const LEASE_MS = 10_000;
const PERIOD_MS = 3_334;
/** The time between a claim or a report and the next report. */
const REPORT_MS = 500;

/** The heartbeats of an isolate, with held timers and the clocks of worker and database. */
function isolate() {
  const timers = heldTimers();
  const platform = fakePlatform();
  const repository = new FakeRepository({ leaseSeconds: LEASE_MS / 1000 });
  const heartbeats = new Heartbeats(
    platform,
    repository,
    createLogger(platform, { level: "debug", secrets: [] }),
  );
  return {
    platform,
    repository,
    heartbeats,
    watch: (row = repository.insert(), job = repository.claim(row)) => {
      const ended: unknown[] = [];
      const heartbeat = heartbeats.watch(job, (reason) => ended.push(reason));
      return { row, job, heartbeat, ended };
    },
    /** Advances the timers, the worker's clock and the database's clock, by a hundredth of a second at a time. */
    pass: async (milliseconds: number) => {
      for (let left = milliseconds; left > 0; left -= 10) {
        const step = Math.min(10, left);
        platform.advance(step);
        repository.pass(step / 1000);
        await timers.pass(step);
      }
    },
    [Symbol.dispose]: () => timers[Symbol.dispose](),
  };
}

/** Holds the database's responses until the test releases them. */
function hold(repository: FakeRepository): () => void {
  const gate = Promise.withResolvers<void>();
  repository.interrupt = (_method, phase) =>
    phase === "before" ? gate.promise : undefined;
  return () => {
    repository.interrupt = () => {};
    gate.resolve();
  };
}

const unavailable = () => {
  throw new AppError("service_unavailable");
};

Deno.test("Heartbeats: one call extends all leases of the isolate, every third of a lease", async () => {
  using at = isolate();
  const jobs = [at.watch(), at.watch(), at.watch()];
  await at.pass(PERIOD_MS - 10);
  assertEquals(at.repository.beats, []);
  await at.pass(10);
  assertEquals(at.repository.beats, [3]);
  await at.pass(4 * LEASE_MS);
  assertEquals(at.repository.beats.length, 12 + 1);
  at.repository.rescue();
  for (const { row, ended } of jobs) {
    assertEquals([row.status, row.progress, ended], ["processing", 0, []]);
  }
});

Deno.test("Heartbeats: jobs that start and end do not delay the heartbeat of another job", async () => {
  using at = isolate();
  const { row, ended } = at.watch();
  for (let second = 0; second < 30; second++) {
    const { heartbeat } = at.watch();
    await at.pass(1_000);
    await heartbeat.stop();
  }
  at.repository.rescue();
  assertEquals([row.status, ended], ["processing", []]);
});

Deno.test("Heartbeats: a job with a shorter lease shortens the period without delaying other leases", async () => {
  using at = isolate();
  const { row, job, ended } = at.watch();
  const short = at.repository.insert();
  const claimed = at.repository.claim(short);
  await at.pass(PERIOD_MS - 100);
  at.watch(short, {
    ...claimed,
    lease_expires_at: new Date(Date.parse(job.updated_at) + 3_000)
      .toISOString(),
  });
  await turn();
  assertEquals(
    at.repository.beats,
    [1],
    "beats that were due soon are sent now",
  );
  await at.pass(1_000);
  assertEquals(at.repository.beats, [1, 2]);
  assertEquals([row.status, ended], ["processing", []]);
});

Deno.test("Heartbeats: reports made during a call are sent in the next one, the newest of each job", async () => {
  using at = isolate();
  const [one, two] = [at.watch(), at.watch()];
  await at.pass(REPORT_MS);
  const releaseAll = hold(at.repository);
  one.heartbeat.report(10, "fetching_input");
  await turn();
  one.heartbeat.report(20, "still_fetching");
  two.heartbeat.report(30, "preparing");
  one.heartbeat.report(40, "ready");
  await turn();
  assertEquals(at.repository.beats, [1]);
  await at.pass(500);
  releaseAll();
  await turn();
  assertEquals(at.repository.beats, [1, 2]);
  assertEquals(
    [one.row, two.row].map(({ progress, stage }) => [progress, stage]),
    [[40, "ready"], [30, "preparing"]],
  );
});

Deno.test("Heartbeats: simultaneous reports are sent in one call", async () => {
  using at = isolate();
  const jobs = [at.watch(), at.watch(), at.watch()];
  await at.pass(REPORT_MS);
  for (const { heartbeat } of jobs) heartbeat.report(10, "fetching_input");
  await turn();
  assertEquals(at.repository.beats, [3]);
});

Deno.test("Heartbeats: a report is sent without delay, and only for its job", async () => {
  using at = isolate();
  const [one] = [at.watch(), at.watch()];
  await at.pass(REPORT_MS);
  one.heartbeat.report(10, "fetching_input");
  await turn();
  assertEquals([at.repository.beats, one.row.progress], [[1], 10]);
});

Deno.test("Heartbeats: the first report is sent half a second after the claim, unless a write includes it", async () => {
  using at = isolate();
  const [sent, taken] = [at.watch(), at.watch()];
  sent.heartbeat.report(10, "fetching_input");
  taken.heartbeat.report(20, "fetching_input");
  assertEquals(await taken.heartbeat.takeReport(), {
    progress: 20,
    stage: "fetching_input",
  });
  assertEquals(await taken.heartbeat.takeReport(), undefined);
  await at.pass(REPORT_MS - 10);
  assertEquals(at.repository.beats, []);
  await at.pass(10);
  assertEquals(
    [at.repository.beats, sent.row.progress, taken.row.progress],
    [[1], 10, 0],
  );
  // The write with the report counts as a report: the next one waits for the same time.
  taken.heartbeat.report(30, "preparing");
  await turn();
  assertEquals([at.repository.beats, taken.row.progress], [[1, 1], 30]);
});

Deno.test("Heartbeats: takeReport waits for a call in flight, because the write could overtake it", async () => {
  using at = isolate();
  const { heartbeat } = at.watch();
  await at.pass(REPORT_MS);
  const releaseAll = hold(at.repository);
  heartbeat.report(10, "fetching_input");
  await turn();
  let isTaken = false;
  const taken = heartbeat.takeReport().then(() => isTaken = true);
  await turn();
  assertEquals(isTaken, false);
  releaseAll();
  await taken;
});

Deno.test("Heartbeats: reports are sent twice a second at most, and the newest always arrives", async () => {
  using at = isolate();
  const { row, heartbeat } = at.watch();
  await at.pass(REPORT_MS);
  for (let moment = 1; moment <= 95; moment++) {
    heartbeat.report(moment, `step_${moment}`);
    await at.pass(10);
  }
  assertEquals([at.repository.beats.length, row.progress], [2, 51]);
  await at.pass(500);
  assertEquals([at.repository.beats.length, row.progress], [3, 95]);
  // The twin: a job that reports rarely does not wait.
  await at.pass(500);
  heartbeat.report(96, "last");
  await turn();
  assertEquals([at.repository.beats.length, row.progress], [4, 96]);
});

Deno.test("Heartbeats: a report that is due after its job has ended is not sent", async () => {
  using at = isolate();
  const { heartbeat } = at.watch();
  await at.pass(REPORT_MS);
  heartbeat.report(10, "fetching_input");
  await turn();
  heartbeat.report(20, "ready");
  await heartbeat.stop();
  await at.pass(1_000);
  assertEquals(at.repository.beats, [1]);
});

Deno.test("Heartbeats: flushed waits for the pending report, also behind a slow call", async () => {
  using at = isolate();
  const { row, heartbeat } = at.watch();
  await at.pass(REPORT_MS);
  const releaseAll = hold(at.repository);
  heartbeat.report(10, "fetching_input");
  await turn();
  heartbeat.report(20, "ready");
  const seen: unknown[] = [];
  const sent = heartbeat.flushed().then(() => seen.push(row.stage));
  await turn();
  assertEquals(seen, []);
  releaseAll();
  await sent;
  assertEquals(seen, ["ready"]);
  // The twin: without a pending report it makes no call.
  await heartbeat.flushed();
  assertEquals(at.repository.beats, [1, 1]);
});

Deno.test("Heartbeats: a job that another worker has claimed ends once and gets no further heartbeat", async () => {
  using at = isolate();
  const [one, two] = [at.watch(), at.watch()];
  at.repository.takeOver(one.row);
  await at.pass(PERIOD_MS);
  assert(one.ended[0] instanceof LeaseLost);
  assertEquals(two.ended, []);
  one.heartbeat.report(50, "too_late");
  await one.heartbeat.flushed();
  await at.pass(LEASE_MS);
  assertEquals([one.ended.length, at.repository.beats[0]], [1, 2]);
  assertEquals(new Set(at.repository.beats.slice(1)), new Set([1]));
  assertEquals(one.row.stage, null);
});

Deno.test("Heartbeats: a cancelled job ends once and keeps its lease to write its ending", async () => {
  using at = isolate();
  const [one, two] = [at.watch(), at.watch()];
  at.repository.requestCancel(one.row);
  await at.pass(PERIOD_MS);
  assert(one.ended[0] instanceof CancelRequested);
  await at.pass(3 * LEASE_MS);
  assertEquals([one.ended.length, two.ended], [1, []]);
  at.repository.rescue();
  assertEquals(one.row.status, "processing");
});

Deno.test("Heartbeats: without a successful heartbeat for the length of a lease, every job ends as lost", async () => {
  using at = isolate();
  const jobs = [at.watch(), at.watch()];
  await at.pass(PERIOD_MS);
  at.repository.interrupt = unavailable;
  await at.pass(2 * PERIOD_MS);
  assertEquals(jobs.flatMap(({ ended }) => ended), []);
  await at.pass(PERIOD_MS);
  for (const { ended } of jobs) {
    assertEquals(ended.length, 1);
    assert(ended[0] instanceof LeaseLost);
  }
  const calls = at.repository.calls.length;
  await at.pass(LEASE_MS);
  assertEquals(at.repository.calls.length, calls, "no lease is left to extend");
  assertEquals(
    at.platform.events().filter((event) => event === "lease_not_extended")
      .length,
    2,
  );
});

Deno.test("Heartbeats: twin: a heartbeat that succeeds in time keeps the job", async () => {
  using at = isolate();
  const { ended } = at.watch();
  await at.pass(PERIOD_MS);
  at.repository.interrupt = unavailable;
  await at.pass(PERIOD_MS);
  at.repository.interrupt = () => {};
  await at.pass(2 * LEASE_MS);
  assertEquals(ended, []);
});

Deno.test("Heartbeats: during a call that hangs the job ends as lost, once, even if the response is good", async () => {
  using at = isolate();
  const { ended } = at.watch();
  await at.pass(PERIOD_MS);
  const releaseAll = hold(at.repository);
  await at.pass(LEASE_MS);
  assert(ended[0] instanceof LeaseLost);
  releaseAll();
  await turn();
  assertEquals(ended.length, 1);
});

Deno.test("Heartbeats: slow calls for one job's reports do not delay the beats of another job", async () => {
  using at = isolate();
  const [one, two] = [at.watch(), at.watch()];
  const leases: unknown[] = [];
  for (let beat = 0; beat < 2; beat++) {
    await at.pass(3_000);
    const releaseAll = hold(at.repository);
    one.heartbeat.report(10, "uploading");
    await at.pass(500);
    releaseAll();
    await turn();
    leases.push(two.row.leaseExpiresAt);
  }
  await at.pass(LEASE_MS);
  at.repository.rescue();
  assertEquals([two.row.status, one.ended, two.ended], ["processing", [], []]);
  assertEquals(leases, [3_500 + LEASE_MS, 7_000 + LEASE_MS]);
  assertEquals(at.repository.beats.slice(0, 4), [1, 2, 1, 2]);
});

Deno.test("Heartbeats: a beat that waited has the jobs and reports of the moment it is sent", async () => {
  using at = isolate();
  const [one, two] = [at.watch(), at.watch()];
  await at.pass(3_000);
  const releaseAll = hold(at.repository);
  one.heartbeat.report(10, "fetching_input");
  await at.pass(500);
  const three = at.watch();
  one.heartbeat.report(20, "ready");
  const seen: unknown[] = [];
  const waiting = [
    one.heartbeat.flushed().then(() => seen.push(one.row.stage)),
    two.heartbeat.stop(),
  ];
  await turn();
  assertEquals([at.repository.beats, seen], [[1], []]);
  releaseAll();
  await Promise.all(waiting);
  assertEquals([at.repository.beats, seen], [[1, 2], ["ready"]]);
  assertEquals(three.row.leaseExpiresAt, 3_500 + LEASE_MS);
  assertEquals(two.row.leaseExpiresAt, LEASE_MS);
});

Deno.test("Heartbeats: a beat that waits is not sent when no job is left", async () => {
  using at = isolate();
  const jobs = [at.watch(), at.watch()];
  await at.pass(3_000);
  const releaseAll = hold(at.repository);
  jobs[0]?.heartbeat.report(10, "uploading");
  await at.pass(500);
  const stopped = jobs.map(({ heartbeat }) => heartbeat.stop());
  releaseAll();
  await Promise.all(stopped);
  await at.pass(3 * LEASE_MS);
  assertEquals(at.repository.beats, [1]);
});

Deno.test("Heartbeats: during a report's call that hangs every job ends as lost, once", async () => {
  using at = isolate();
  const jobs = [at.watch(), at.watch()];
  await at.pass(REPORT_MS);
  const releaseAll = hold(at.repository);
  jobs[0]?.heartbeat.report(10, "uploading");
  await at.pass(LEASE_MS);
  releaseAll();
  await at.pass(LEASE_MS);
  for (const { ended } of jobs) {
    assertEquals(ended.length, 1);
    assert(ended[0] instanceof LeaseLost);
  }
  assertEquals(at.repository.beats, [1]);
});

Deno.test("Heartbeats: stop leaves no timer, and a call in flight ends no job", async () => {
  using at = isolate();
  const { row, heartbeat, ended } = at.watch();
  const releaseAll = hold(at.repository);
  await at.pass(PERIOD_MS);
  at.repository.takeOver(row);
  const stopped = heartbeat.stop();
  releaseAll();
  await stopped;
  await at.pass(3 * LEASE_MS);
  assertEquals([at.repository.beats, ended], [[1], []]);
});
