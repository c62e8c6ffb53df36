import { CACHE_TTL_SECONDS } from "../../../../supabase/functions/_shared/contracts/jobs.ts";
import { assert, assertEquals, assertObjectMatch } from "@std/assert";
import {
  CACHE_TIMEOUT_MS,
  cacheKey,
  type CacheStore,
  createResultCache,
} from "../../../../supabase/functions/_shared/cache/result-cache.ts";
import { createLogger } from "../../../../supabase/functions/_shared/platform/log.ts";
import { fakePlatform } from "../../../_support/fake-platform.ts";
import { heldTimers } from "../../../_support/held-timers.ts";

const HASH = "a".repeat(64);
const JOB = "00000000-0000-4000-8000-00000000000a";
const USER = "00000000-0000-4000-8000-0000000000aa";

/** A cache on a store in memory, with the methods that a test replaces. */
function cacheOn(change: Partial<CacheStore> = {}) {
  const platform = fakePlatform();
  const kept = new Map<string, unknown>();
  const sets: unknown[][] = [];
  const cache = createResultCache(
    {
      get: (key) => Promise.resolve(kept.get(key) ?? null),
      set: (...args) => {
        sets.push(args);
        kept.set(args[0], args[1]);
        return Promise.resolve();
      },
      ...change,
    },
    createLogger(platform, { level: "debug", secrets: [] }),
  );
  return { cache, platform, sets };
}

Deno.test("createResultCache: an entry is found under its own key, is a job's id, and lasts a day", async () => {
  const { cache, sets, platform } = cacheOn();
  assertEquals(await cache.find(HASH), null);
  await cache.remember(HASH, JOB, USER);
  assertEquals(await cache.find(HASH), JOB);
  assertEquals(await cache.find("b".repeat(64)), null);
  assertEquals(sets, [[`ai_job:${HASH}`, { job_id: JOB }, USER, 86_400]]);
  assertEquals([cacheKey(HASH), CACHE_TTL_SECONDS], [`ai_job:${HASH}`, 86_400]);
  assertEquals(platform.lines, []);
});

for (
  const [how, store] of [
    ["rejects", {
      get: () => Promise.reject(new TypeError("connection refused")),
      set: () => Promise.reject(new TypeError("connection refused")),
    }],
    ["throws", {
      get: () => {
        throw new TypeError("connection refused");
      },
      set: () => {
        throw new TypeError("connection refused");
      },
    }],
    ["throws something that is not an Error", {
      get: () => Promise.reject("connection refused"),
      set: () => Promise.reject("connection refused"),
    }],
  ] as const
) {
  Deno.test(`createResultCache: a store that ${how} is a miss and a warning`, async () => {
    const { cache, platform } = cacheOn(store);
    assertEquals(await cache.find(HASH), null);
    await cache.remember(HASH, JOB, USER);
    assertEquals(
      platform.logged().map((line) => [
        line.level,
        line.event,
        line["operation"],
      ]),
      [["warn", "cache_unavailable", "get"], [
        "warn",
        "cache_unavailable",
        "set",
      ]],
    );
  });
}

Deno.test("createResultCache: a store that hangs times out after a second, and its late result is ignored", async () => {
  using timers = heldTimers({ holdsSignals: true });
  const late = [
    Promise.withResolvers<unknown>(),
    Promise.withResolvers<void>(),
  ] as const;
  const { cache, platform } = cacheOn({
    get: () => late[0].promise,
    set: () => late[1].promise,
  });
  const ended: string[] = [];
  const finding = cache.find(HASH).then((found) => {
    ended.push(String(found));
  });
  const remembering = cache.remember(HASH, JOB, USER).then(() => {
    ended.push("remembered");
  });
  await timers.pass(CACHE_TIMEOUT_MS - 1);
  assertEquals(ended, []);
  await timers.pass(1);
  assertEquals(ended.sort(), ["null", "remembered"]);
  await Promise.all([finding, remembering]);
  late[0].reject(new Error("too late"));
  late[1].reject(new Error("too late"));
  await timers.pass(0);
  assertEquals(platform.events(), ["cache_unavailable", "cache_unavailable"]);
});

Deno.test("createResultCache: a store that answers in time does not time out later", async () => {
  using timers = heldTimers({ holdsSignals: true });
  const { cache, platform } = cacheOn();
  await cache.remember(HASH, JOB, USER);
  assertEquals(await cache.find(HASH), JOB);
  await timers.pass(CACHE_TIMEOUT_MS * 2);
  assertEquals(platform.lines, []);
});

for (
  const invalidEntry of [
    "",
    JOB,
    `{"job_id":"${JOB}"}`,
    { job_id: "1 or true" },
    { job_id: null },
    { jobId: JOB },
    [JOB],
    [],
    {},
    0,
    true,
  ]
) {
  Deno.test(`createResultCache: ${JSON.stringify(invalidEntry)} is not a job's id: a miss and a warning`, async () => {
    const { cache, platform } = cacheOn({
      get: () => Promise.resolve(invalidEntry),
    });
    assertEquals(await cache.find(HASH), null);
    assertObjectMatch(platform.logged()[0] ?? {}, {
      level: "warn",
      event: "cache_entry_ignored",
      input_hash: HASH,
    });
  });
}

for (const nothing of [null, undefined]) {
  Deno.test(`createResultCache: ${nothing} is an ordinary miss`, async () => {
    const { cache, platform } = cacheOn({
      get: () => Promise.resolve(nothing),
    });
    assertEquals(await cache.find(HASH), null);
    assertEquals(platform.lines, []);
  });
}

Deno.test("createResultCache: of an entry only the id is returned", async () => {
  const { cache } = cacheOn({
    get: () =>
      Promise.resolve({ job_id: JOB, result_data: { voice_id: "forged" } }),
  });
  assertEquals(await cache.find(HASH), JOB);
});

Deno.test("createResultCache: the log has the error, not the command with its key and value", async () => {
  const { cache, platform } = cacheOn({
    set: () =>
      Promise.reject(
        new Error(
          `WRONGTYPE, command was: ["set","ai_job:${HASH}","{\\"job_id\\":\\"${JOB}\\"}"]`,
        ),
      ),
  });
  await cache.remember(HASH, JOB, USER);
  const [line] = platform.lines;
  assert(line?.includes("WRONGTYPE"));
  assert(!line?.includes(JOB));
});
