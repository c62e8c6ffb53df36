import { assertEquals } from "@std/assert";
import { Supervisor } from "../../../dev/stack/supervisor.ts";

/** A supervisor of an isolate that notes what is done to it. */
function supervised(wallClockMs = 150_000) {
  const done: string[] = [];
  const supervisor = new Supervisor({ wallClockMs }, {
    retire: () => done.push("retire"),
    announce: (reason) => done.push(`announce ${reason}`),
    kill: (reason) => done.push(`kill ${reason}`),
    log() {},
  });
  return {
    done,
    supervisor,
    [Symbol.dispose]: () => supervisor.stop(),
  };
}

Deno.test("Supervisor: half of the wall clock retires, nine tenths announce, the whole kills, each once", () => {
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

Deno.test("Supervisor: the time of an isolate begins with its first request, at the age that it has by its own clock", () => {
  using waiting = supervised();
  waiting.supervisor.advance(160_000);
  assertEquals(waiting.done, []);
  waiting.supervisor.begin(70_000);
  waiting.supervisor.advance(4_000);
  assertEquals(waiting.done, []);
  waiting.supervisor.advance(1_000);
  assertEquals(waiting.done, ["retire"]);
});

Deno.test("Supervisor: an isolate that is over is left alone", () => {
  using isolate = supervised();
  isolate.supervisor.begin(0);
  isolate.supervisor.stop();
  isolate.supervisor.advance(200_000);
  assertEquals(isolate.done, []);
});

Deno.test("Supervisor: what is due comes by itself", async () => {
  const killed = Promise.withResolvers<void>();
  const done: string[] = [];
  const supervisor = new Supervisor({ wallClockMs: 40 }, {
    retire: () => done.push("retire"),
    announce: (reason) => done.push(`announce ${reason}`),
    kill() {
      killed.resolve();
    },
    log() {},
  });
  supervisor.begin(0);
  await killed.promise;
  assertEquals(done, ["retire", "announce wall_clock"]);
});
