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

Deno.test("SET: ex, px, exat and pxat expire at the right millisecond, a plain set clears it", () => {
  for (
    const [option, at] of [
      ["ex 2", 1_002_000],
      ["px 1500", 1_001_500],
      ["exat 1003", 1_003_000],
      ["pxat 1000001", 1_000_001],
    ] as const
  ) {
    const { clock, run } = storeAt(1_000_000);
    run(`set k v ${option}`);
    clock.time = at - 1;
    assertEquals(run("get k"), "v", option);
    clock.time = at;
    assertEquals(run("get k"), null, option);
  }
  const { run } = storeAt(0);
  run("set k v ex 5");
  run("set k w keepttl");
  assertEquals(run("ttl k"), 5);
  run("set k x");
  assertEquals(run("ttl k"), -1);
});

Deno.test("SET: nx and xx decide whether it writes, get returns the old value either way", () => {
  const { run } = storeAt(0);
  assertEquals(run("set k 1 xx"), null);
  assertEquals(run("get k"), null);
  assertEquals(run("set k 1 nx get"), null);
  assertEquals(run("set k 2 nx get"), "1");
  assertEquals(run("get k"), "1");
  assertEquals(run("set k 3 xx"), "OK");
  assertEquals(run("get k"), "3");
});

Deno.test("errors: the texts of Redis for syntax, integers, expiry and arity", () => {
  const { run } = storeAt(0);
  run("set text x");
  for (
    const [line, message] of [
      ["set k v nx xx", "ERR syntax error"],
      ["set k v ex 1 px 1", "ERR syntax error"],
      ["set k v ex", "ERR syntax error"],
      ["set k v ex 0", "ERR invalid expire time in 'set' command"],
      ["setex k 0 v", "ERR invalid expire time in 'setex' command"],
      ["set k v ex 1.5", "ERR value is not an integer or out of range"],
      ["incr text", "ERR value is not an integer or out of range"],
      ["incrby n x", "ERR value is not an integer or out of range"],
      ["get", "ERR wrong number of arguments for 'get' command"],
      ["GET a b", "ERR wrong number of arguments for 'get' command"],
      ["mset a 1 b", "ERR wrong number of arguments for 'mset' command"],
      [
        "hset h f v",
        "ERR unknown command 'hset', with args beginning with: 'h' 'f' 'v'",
      ],
    ] as const
  ) {
    const error = assertThrows(() => run(line), RedisError);
    assertEquals(error.message, message, line);
  }
  assertEquals(run("dbsize"), 1);
});

Deno.test("KEYS: the globs of Redis", () => {
  const { run } = storeAt(0);
  run("mset hello 1 hallo 1 hxllo 1 hllo 1 h.llo 1 h*llo 1");
  for (
    const [glob, keys] of [
      ["h?llo", ["hello", "hallo", "hxllo", "h.llo", "h*llo"]],
      ["h*llo", ["hello", "hallo", "hxllo", "hllo", "h.llo", "h*llo"]],
      ["h[ae]llo", ["hello", "hallo"]],
      ["h[^e]llo", ["hallo", "hxllo", "h.llo", "h*llo"]],
      ["h[a-e]llo", ["hello", "hallo"]],
      ["h.llo", ["h.llo"]],
      ["h\\*llo", ["h*llo"]],
    ] as const
  ) {
    assertEquals(run(`keys ${glob}`), [...keys], glob);
  }
});

Deno.test("expired keys: are not counted, listed, typed or deleted", () => {
  const { clock, run } = storeAt(0);
  run("set k v px 10");
  clock.time = 10;
  assertEquals(
    ["dbsize", "keys *", "type k", "exists k", "del k", "expire k 5"].map(run),
    [0, [], "none", 0, 0, 0],
  );
});
