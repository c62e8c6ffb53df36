import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Redis, type RedisConfigNodejs } from "@upstash/redis";
import type { Simulators } from "../../../dev/simulators/server.ts";
import { failureOf, running } from "../_support/running-simulators.ts";

/** The unmodified client against the simulator, with one try by default. */
function redisOf(
  { url }: Simulators,
  options: Partial<RedisConfigNodejs> = {},
): Redis {
  return new Redis({
    url: `${url}/upstash`,
    token: "a-token",
    retry: { retries: 0 },
    enableTelemetry: false,
    ...options,
  });
}

async function raw(
  { url }: Simulators,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<[number, unknown]> {
  const response = await fetch(`${url}/upstash${path}`, {
    method: "POST",
    headers: { authorization: "Bearer a-token", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return [response.status, await response.json()];
}

function fail(
  { faults }: Simulators,
  fault: Record<string, unknown>,
  rule: Record<string, unknown> = {},
): void {
  faults.add({ provider: "upstash", ...rule, fault });
}

Deno.test("values: objects, numbers, base64 lookalikes, OK and unicode are returned as they were set", async () => {
  await using simulators = await running();
  const redis = redisOf(simulators);
  const values = [{ x: [1, null] }, 7, "test", "OK", "żółć 🎉", "", true];
  for (const value of values) {
    assertEquals(await redis.set("key", value), "OK");
    assertEquals(await redis.get("key"), value);
  }
  assertEquals(await redis.get("missing"), null);
});

Deno.test("wire: commands go to /pipeline, or to / without auto-pipelining, and both work", async () => {
  await using simulators = await running();
  await redisOf(simulators).set("a", 1, { ex: 10 });
  await redisOf(simulators, { enableAutoPipelining: false })
    .set("b", 2, { ex: 5 });
  assertEquals(
    simulators.requests.list().map((
      { path, operations },
    ) => [path, operations]),
    [
      ["/upstash/pipeline", ["pipeline", "set"]],
      ["/upstash", ["command", "set"]],
    ],
  );
  assertEquals(await redisOf(simulators).get("a"), 1);
  assertEquals(await redisOf(simulators).get("b"), 2);
});

Deno.test("wire: base64 only on request; errors are HTTP 400 on / and inside the array on /pipeline", async () => {
  await using simulators = await running();
  assertEquals(await raw(simulators, "/", ["set", "k", "test"]), [200, {
    result: "OK",
  }]);
  assertEquals(await raw(simulators, "/", ["get", "k"]), [200, {
    result: "test",
  }]);
  assertEquals(
    await raw(simulators, "/pipeline", [["get", "k"], ["get", "none"]], {
      "upstash-encoding": "base64",
    }),
    [200, [{ result: btoa("test") }, { result: null }]],
  );
  const error = "ERR syntax error";
  const wrong = ["set", "k", "v", "nx"];
  assertEquals(await raw(simulators, "/", wrong), [400, { error }]);
  assertEquals(
    await raw(simulators, "/pipeline", [wrong, ["get", "k"]]),
    [200, [{ error }, { result: "test" }]],
  );
  for (const body of ["not json", {}, [], [["get", null]]]) {
    assertEquals(await raw(simulators, "/pipeline", body), [400, {
      error: "ERR failed to parse command",
    }]);
  }
  assertEquals(await raw(simulators, "/get/k", []), [404, {
    error: "Not Found",
  }]);
});

Deno.test("authentication: a missing and an invalid token get 401", async () => {
  await using simulators = await running();
  const error = { error: "Unauthorized" };
  for (const authorization of ["", "Bearer ", "Bearer invalid-token"]) {
    assertEquals(
      await raw(simulators, "/", ["get", "k"], { authorization }),
      [401, error],
    );
  }
  assertEquals(await raw(simulators, "/", ["get", "k"]), [200, {
    result: null,
  }]);
  const rejected = await failureOf(
    redisOf(simulators, { token: "invalid" }).get("k"),
  );
  assertStringIncludes(rejected.message, "Unauthorized");
});

Deno.test("pipeline: results in order, errors by position", async () => {
  await using simulators = await running();
  const redis = redisOf(simulators);
  assertEquals(await redis.pipeline().set("n", 1, { ex: 60 }).ttl("n").exec(), [
    "OK",
    60,
  ]);
  const mixed = await redis.pipeline().set("t", "x").incr("t").get("t")
    .exec({ keepErrors: true });
  assertEquals(mixed.map(({ error, result }) => error ?? result), [
    "OK",
    "ERR unknown command 'incr', with args beginning with: 't'",
    "x",
  ]);
});

Deno.test("unknown command: ERR unknown command", async () => {
  await using simulators = await running();
  await assertRejects(
    () => redisOf(simulators).lpush("list", 1),
    Error,
    "ERR unknown command 'lpush'",
  );
});

Deno.test("fault status: 401, 429 and 500 reject with the error text and are not sent again", async () => {
  await using simulators = await running();
  const redis = redisOf(simulators, { retry: { retries: 3 } });
  for (
    const [fault, text] of [
      [{ error: "unauthorized" }, "Unauthorized"],
      [{ error: "max_requests_limit_exceeded" }, "ERR max requests limit"],
      [{ status: 500, body: { error: "ERR on fire" } }, "ERR on fire"],
    ] as const
  ) {
    fail(simulators, { kind: "status", ...fault });
    await assertRejects(() => redis.set("k", 1), Error, text);
  }
  assertEquals(simulators.requests.list().map(({ status }) => status), [
    401,
    429,
    500,
  ]);
  assertEquals(await redis.get("k"), null);
});

Deno.test("fault html and truncated_json: the client cannot parse the body", async () => {
  await using simulators = await running();
  const redis = redisOf(simulators);
  fail(simulators, { kind: "html", status: 502 });
  fail(simulators, { kind: "truncated_json" });
  for (const half of ["<html>", '[{"resu']) {
    const error = await failureOf(redis.set("k", 1));
    assertEquals(error.name, "UpstashJSONParseError");
    assertStringIncludes(error.message, half);
  }
  assertEquals(await redis.get("k"), 1);
});

Deno.test("fault close_before: the command has no effect", async () => {
  await using simulators = await running();
  fail(simulators, { kind: "close_before" });
  const error = await failureOf(redisOf(simulators).set("k", 1));
  assertEquals(error.message, "fetch failed");
  assertEquals(await redisOf(simulators).get("k"), null);
});

Deno.test("fault close_after: the command takes effect, but its response is lost", async () => {
  await using simulators = await running();
  fail(simulators, { kind: "close_after" }, { operation: "set" });
  const redis = redisOf(simulators);
  const error = await failureOf(redis.set("k", "v"));
  assertEquals(error.message, "fetch failed");
  assertEquals(await redis.get("k"), "v");
});

Deno.test("fault hang: an abort signal ends the wait, and the command has no effect", async () => {
  await using simulators = await running();
  fail(simulators, { kind: "hang" });
  const abort = new AbortController();
  const failing = failureOf(
    redisOf(simulators, { signal: () => abort.signal }).set("k", 1),
  );
  await simulators.requests.waitFor({}, 1, 10_000);
  abort.abort(new Error("too slow"));
  await failing;
  assertEquals(await redisOf(simulators).get("k"), null);
});

Deno.test("fault lie: a well-formed wrong value, in every result, while the store keeps the right one", async () => {
  await using simulators = await running();
  const redis = redisOf(simulators);
  await redis.set("k", { right: true });
  fail(simulators, { kind: "lie" }, { operation: "get" });
  fail(simulators, { kind: "lie", value: { right: false } }, {
    operation: "get",
  });
  assertEquals(await redis.get("k"), "not what was stored");
  assertEquals(
    await redis.pipeline().get("k").get("k").exec(),
    [{ right: false }, { right: false }],
  );
  assertEquals(await redis.get("k"), { right: true });
});

Deno.test("fault missing_fields: a result without a result", async () => {
  await using simulators = await running();
  fail(simulators, { kind: "missing_fields" });
  assertEquals(await raw(simulators, "/pipeline", [["get", "k"]]), [200, [{}]]);
});
