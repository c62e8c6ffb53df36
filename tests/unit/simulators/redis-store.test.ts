import { assertEquals, assertThrows } from "@std/assert";
import {
  RedisError,
  RedisStore,
} from "../../../dev/simulators/upstash/redis-store.ts";
import { State } from "../../../dev/simulators/state.ts";

function storeAt(start: number) {
  const clock = { time: start, now: () => clock.time };
  const store = new RedisStore(clock, new State());
  return { clock, run: (line: string) => store.run(line.split(" ")) };
}

Deno.test("SET: EX expires at the right millisecond, and a plain SET clears the expiry", () => {
  const { clock, run } = storeAt(1_000_000);
  assertEquals(run("SET k v EX 2"), "OK");
  assertEquals(run("ttl k"), 2);
  clock.time = 1_001_999;
  assertEquals(run("get k"), "v");
  clock.time = 1_002_000;
  assertEquals([run("get k"), run("ttl k")], [null, -2]);
  run("set k v ex 5");
  run("set k w");
  assertEquals([run("get k"), run("ttl k")], ["w", -1]);
});

Deno.test("errors: the texts of Redis for syntax, integers, expiry, arity and unknown commands", () => {
  const { run } = storeAt(0);
  for (
    const [line, message] of [
      ["set k v nx", "ERR syntax error"],
      ["set k v ex", "ERR syntax error"],
      ["set k v ex 0", "ERR invalid expire time in 'set' command"],
      ["set k v ex 1.5", "ERR value is not an integer or out of range"],
      ["get", "ERR wrong number of arguments for 'get' command"],
      ["GET a b", "ERR wrong number of arguments for 'get' command"],
      [
        "hset h f v",
        "ERR unknown command 'hset', with args beginning with: 'h' 'f' 'v'",
      ],
    ] as const
  ) {
    const error = assertThrows(() => run(line), RedisError);
    assertEquals(error.message, message, line);
  }
  assertEquals(run("get k"), null);
});
