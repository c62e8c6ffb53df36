import { assertEquals } from "@std/assert";
import type { ResourceUsage } from "../../../../dev/stack/process/resource-usage.ts";
import {
  type IsolateLimits,
  Supervisor,
} from "../../../../dev/stack/functions/supervisor.ts";
import { heldTimers } from "../../../_support/held-timers.ts";

const LIMITS: IsolateLimits = {
  wallClockMs: 150_000,
  cpuMs: 2000,
  memoryBytes: 256,
};

/** A supervisor, and an isolate that records its orders and uses the resources that the test sets. */
function supervised(limits: Partial<IsolateLimits> = {}) {
  const done: string[] = [];
  const lines: string[] = [];
  const used: ResourceUsage = {
    cpuMs: 0,
    memoryBytes: 40,
    peakMemoryBytes: 40,
  };
  let looks = 0;
  const supervisor = new Supervisor({ ...LIMITS, ...limits }, {
    retire: () => done.push("retire"),
    announce: (reason) => done.push(`announce ${reason}`),
    kill: (reason) => done.push(`kill ${reason}`),
    log: (line) => lines.push(line),
    usage() {
      looks++;
      return { ...used };
    },
  });
  return {
    done,
    lines,
    used,
    looks: () => looks,
    supervisor,
    [Symbol.dispose]: () => supervisor.stop(),
  };
}

Deno.test("Supervisor: it retires at half of the wall clock, announces the end at nine tenths, kills at the end", () => {
  using isolate = supervised();
  isolate.supervisor.begin(0);
  const after = (milliseconds: number) => {
    isolate.supervisor.advance(milliseconds);
    return isolate.done.splice(0);
  };
  // Some milliseconds pass by themselves.
  assertEquals(after(74_000), []);
  assertEquals(after(1_000), ["retire"]);
  assertEquals(after(59_000), []);
  assertEquals(after(1_000), ["announce wall_clock"]);
  assertEquals(after(14_000), []);
  assertEquals(after(1_000), ["kill WallClockTime"]);
  assertEquals(after(1_000_000), []);
});

Deno.test("Supervisor: the time of an isolate starts with its first request, at the age on its own clock", () => {
  using waiting = supervised();
  waiting.supervisor.advance(160_000);
  assertEquals(waiting.done, []);
  waiting.supervisor.begin(70_000);
  waiting.supervisor.advance(4_000);
  assertEquals(waiting.done, []);
  waiting.supervisor.advance(1_000);
  assertEquals(waiting.done, ["retire"]);
});

Deno.test("Supervisor: an isolate that has ended gets no orders", () => {
  using isolate = supervised();
  isolate.supervisor.begin(0);
  isolate.supervisor.stop();
  isolate.supervisor.advance(200_000);
  assertEquals(isolate.done, []);
});

Deno.test("Supervisor: due steps run without a call", async () => {
  const killed = Promise.withResolvers<void>();
  const done: string[] = [];
  const supervisor = new Supervisor({ ...LIMITS, wallClockMs: 40 }, {
    retire: () => done.push("retire"),
    announce: (reason) => done.push(`announce ${reason}`),
    kill: () => killed.resolve(),
    log() {},
    usage: () => undefined,
  });
  supervisor.begin(0);
  await killed.promise;
  supervisor.stop();
  assertEquals(done, ["retire", "announce wall_clock"]);
});

Deno.test("Supervisor: it retires at half of the processor time, announces at nine tenths, kills at the end", async () => {
  using timers = heldTimers();
  using isolate = supervised();
  isolate.supervisor.begin(0);
  const after = async (cpuMs: number) => {
    isolate.used.cpuMs = cpuMs;
    await timers.pass(1000);
    return isolate.done.splice(0);
  };
  assertEquals(await after(990), []);
  assertEquals(await after(1000), ["retire"]);
  assertEquals(await after(1790), []);
  assertEquals(await after(1800), ["announce cpu"]);
  assertEquals(await after(1990), []);
  assertEquals(await after(2010), ["kill CPUTime"]);
  assertEquals(
    isolate.lines.map((line) =>
      line.replace(/:.* (\S+ s of \S+ s) .*/, ": $1")
    ),
    [
      "CPU time soft limit reached: 1.00 s of 2.00 s",
      "CPU time hard limit reached: 2.01 s of 2.00 s",
    ],
  );
});

Deno.test("Supervisor: it retires at half of the memory, announces at nine tenths, kills after a higher peak", async () => {
  using timers = heldTimers();
  using isolate = supervised();
  isolate.supervisor.begin(0);
  const after = async (memoryBytes: number, peakMemoryBytes = memoryBytes) => {
    Object.assign(isolate.used, { memoryBytes, peakMemoryBytes });
    await timers.pass(1000);
    return isolate.done.splice(0);
  };
  assertEquals(await after(120, 255), []);
  assertEquals(await after(128, 255), ["retire"]);
  assertEquals(await after(231, 255), ["announce memory"]);
  assertEquals(await after(60, 256), ["kill Memory"]);
});

Deno.test("Supervisor: a busy isolate is sampled twenty times a second, an idle one once until it gets work", async () => {
  using timers = heldTimers();
  using isolate = supervised();
  const looksIn = async (milliseconds: number) => {
    const before = isolate.looks();
    for (let passed = 0; passed < milliseconds; passed += 10) {
      await timers.pass(10);
    }
    return isolate.looks() - before;
  };
  isolate.supervisor.begin(0);
  assertEquals(await looksIn(1000), 20);
  assertEquals(await looksIn(10_000), 10);
  isolate.supervisor.work();
  assertEquals(await looksIn(1000), 20);
  assertEquals(await looksIn(10_000), 10);
  isolate.used.cpuMs = 10;
  await looksIn(1000);
  assertEquals(await looksIn(1000), 20);
});

Deno.test("Supervisor: near a processor limit an isolate is sampled before it can exceed the limit by much", async () => {
  using timers = heldTimers();
  using isolate = supervised();
  isolate.supervisor.begin(0);
  isolate.used.cpuMs = 985;
  await timers.pass(50);
  isolate.used.cpuMs = 999;
  await timers.pass(15);
  assertEquals(isolate.done, []);
  isolate.used.cpuMs = 1000;
  await timers.pass(10);
  assertEquals(isolate.done, ["retire"]);
});

Deno.test("Supervisor: 0 means no limit, and an isolate without limits is not sampled", async () => {
  using timers = heldTimers();
  using isolate = supervised({ cpuMs: 0, memoryBytes: 0 });
  Object.assign(isolate.used, { cpuMs: 1e6, peakMemoryBytes: 1e6 });
  isolate.supervisor.begin(0);
  await timers.pass(10_000);
  assertEquals([isolate.done, isolate.looks()], [[], 0]);
});

Deno.test("Supervisor: an isolate that ends between two measurements gets no orders", async () => {
  using timers = heldTimers();
  using isolate = supervised();
  isolate.supervisor.begin(0);
  isolate.used.cpuMs = 5000;
  isolate.supervisor.stop();
  await timers.pass(1000);
  assertEquals(isolate.done, []);
});
