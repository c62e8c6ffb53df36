/** The result cache in Upstash Redis, and all the ways in which it can fail without failing a job. */
import {
  assert,
  assertEquals,
  assertLessOrEqual,
  assertMatch,
} from "@std/assert";
import { z } from "zod";
import { type TestStack, useStack } from "../_support/stack.ts";
import { waitForLog } from "../_support/wait-for.ts";
import {
  assertMiss,
  defineCacheTests,
  firstJob,
  rememberedJob,
  requestAgain,
} from "./_support/cache-cases.ts";

const running = useStack({ upstash: "simulated" });

/** Sends a command to the simulated Redis over its REST protocol. */
async function redis(
  stack: TestStack,
  ...command: string[]
): Promise<string | number | null> {
  const response = await fetch(`${stack.simulatorUrl}/upstash`, {
    method: "POST",
    headers: { authorization: "Bearer a-test" },
    body: JSON.stringify(command),
  });
  const { result } = z.object({
    result: z.union([z.string(), z.number(), z.null()]),
  }).parse(await response.json());
  return result;
}

async function isRemembered(stack: TestStack, key: string): Promise<boolean> {
  return await redis(stack, "GET", key) !== null;
}

defineCacheTests("Upstash", running, isRemembered);

Deno.test("cache in Upstash: an entry is the id of the job, for a day, and none is in Postgres", async () => {
  const stack = running();
  const { jobId, key } = await rememberedJob(stack, isRemembered);
  assertEquals(await redis(stack, "GET", key), `{"job_id":"${jobId}"}`);
  const seconds = Number(await redis(stack, "TTL", key));
  assertLessOrEqual(86_400 - seconds, 30);
  assertLessOrEqual(seconds, 86_400);
  const [{ rows } = { rows: -1 }] = await stack.sql<{ rows: number }>`
    select count(*)::int as rows from public.ai_result_cache`;
  assertEquals(rows, 0);
});

const FAILURES: [string, { kind: string } & Record<string, unknown>][] = [
  ["is down", { kind: "close_before" }],
  ["refuses the token", { kind: "status", error: "unauthorized" }],
  ["has used up its requests", {
    kind: "status",
    error: "max_requests_limit_exceeded",
  }],
  ["has an internal error", { kind: "status", error: "internal_error" }],
  ["answers with a page", { kind: "html" }],
  ["answers half a JSON", { kind: "truncated_json" }],
  ["answers without a result", { kind: "missing_fields" }],
  ["answers garbage", { kind: "lie" }],
  ["answers with a list", { kind: "lie", value: [1, 2] }],
  ["names a job that does not exist", {
    kind: "lie",
    value: { job_id: crypto.randomUUID() },
  }],
];

for (const [name, fault] of FAILURES) {
  Deno.test(`cache in Upstash: one that ${name} fails no job`, async () => {
    const stack = running();
    const { user, inputUrl } = await rememberedJob(stack, isRemembered);
    await stack.simulator.fail({ provider: "upstash", times: null, fault });
    await assertMiss(stack, user, await requestAgain(user, inputUrl));
  });
}

Deno.test("cache in Upstash: an entry that names another user's job reveals nothing", async () => {
  const stack = running();
  const victim = await firstJob(stack);
  const { user, inputUrl, key } = await rememberedJob(stack, isRemembered);
  await redis(stack, "SET", key, JSON.stringify({ job_id: victim.jobId }));
  await assertMiss(stack, user, await requestAgain(user, inputUrl));
});

Deno.test("cache in Upstash: one that never answers costs a second, not the job", async () => {
  const stack = running();
  const { user, inputUrl } = await rememberedJob(stack, isRemembered);
  await stack.simulator.fail({
    provider: "upstash",
    times: null,
    fault: { kind: "hang" },
  });
  const gaveUp = { event: "cache_unavailable", operation: "get" };
  const before = await waitForLog(stack, "create-ai-job", gaveUp, 0);
  const startedAt = performance.now();
  const answer = await requestAgain(user, inputUrl);
  const elapsedMs = performance.now() - startedAt;
  assert(elapsedMs >= 1000, `${elapsedMs} ms: the cache was not queried`);
  const [line] =
    (await waitForLog(stack, "create-ai-job", gaveUp, before.length + 1))
      .slice(before.length);
  assertMatch(String(line?.fields?.["error"]), /^TimeoutError: /);
  await assertMiss(stack, user, answer);
});
