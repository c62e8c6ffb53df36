import {
  assert,
  assertEquals,
  assertMatch,
  assertObjectMatch,
} from "@std/assert";
import { readEnv } from "../../../../supabase/functions/_shared/config/env.ts";
import { AppError } from "../../../../supabase/functions/_shared/failures/app-error.ts";
import { CORS_HEADERS } from "../../../../supabase/functions/_shared/http/cors.ts";
import {
  createEndpoint,
  type EndpointHandler,
} from "../../../../supabase/functions/_shared/http/endpoint.ts";
import { jsonResponse } from "../../../../supabase/functions/_shared/http/problem.ts";
import { COMPLETE_ENV, fakePlatform } from "../../../_support/fake-platform.ts";
import { heldTimers } from "../../../_support/held-timers.ts";

const UUID =
  /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

function endpoint(
  handle: EndpointHandler,
  method: "GET" | "POST" = "POST",
  env: Record<string, string> = {},
) {
  const platform = fakePlatform();
  const answer = createEndpoint(
    {
      platform,
      env: readEnv({ env: () => ({ ...COMPLETE_ENV, ...env }) }),
    },
    { name: "x", method },
    handle,
  );
  return {
    platform,
    call: (init: RequestInit = { method }, more = "") =>
      answer(
        new Request(`https://project.test/functions/v1/x?id=7${more}`, init),
      ),
  };
}

const fine: EndpointHandler = () => Promise.resolve(jsonResponse({ ok: true }));

Deno.test("createEndpoint: sends the handler's response and logs one line", async () => {
  const { call, platform } = endpoint(({ url, log }) => {
    log.info("worked", { id: url.searchParams.get("id") });
    platform.advance(12.4);
    return Promise.resolve(jsonResponse({ ok: true }, { status: 202 }));
  });
  const response = await call();
  assertEquals([response.status, await response.json()], [202, { ok: true }]);
  const requestId = response.headers.get("x-request-id");
  assertEquals(platform.events(), ["worked", "request_answered"]);
  for (const line of platform.logged()) {
    assertObjectMatch(line, { function: "x", request_id: requestId });
  }
  assertObjectMatch(platform.logged()[0] ?? {}, { id: "7" });
  assertObjectMatch(platform.logged()[1] ?? {}, {
    method: "POST",
    status: 202,
    duration_ms: 12,
  });
});

Deno.test("createEndpoint: the region parameter of functions-js is ignored", async () => {
  const seen: string[] = [];
  const { call } = endpoint(({ url }) => {
    seen.push(url.search);
    return Promise.resolve(jsonResponse({}));
  });
  await call({ method: "POST" }, "&forceFunctionRegion=eu-central-1");
  assertEquals(seen, ["?id=7"]);
});

Deno.test("createEndpoint: OPTIONS is answered with the CORS headers and without the handler", async () => {
  const { call } = endpoint(() => Promise.reject(new Error("not to be run")));
  const response = await call({ method: "OPTIONS" });
  assertEquals(response.status, 204);
  assertEquals(await response.text(), "");
  for (const [name, value] of Object.entries(CORS_HEADERS)) {
    assertEquals(response.headers.get(name), value);
  }
});

for (
  const [method, right] of [
    ["GET", "POST"],
    ["PUT", "POST"],
    ["DELETE", "POST"],
    ["PATCH", "POST"],
    ["HEAD", "POST"],
    ["POST", "GET"],
    ["HEAD", "GET"],
  ] as const
) {
  Deno.test(`createEndpoint: ${method} at a ${right} endpoint is 405 and names the right one`, async () => {
    const { call, platform } = endpoint(
      () => Promise.reject(new Error("not to be run")),
      right,
    );
    const response = await call({ method });
    assertEquals(response.status, 405);
    assertEquals(response.headers.get("allow"), `${right}, OPTIONS`);
    assertEquals((await response.json()).code, "method_not_allowed");
    assertEquals(platform.events(), ["request_answered"]);

    const twin = await endpoint(fine, right).call({ method: right });
    assertEquals([twin.status, twin.headers.get("allow")], [200, null]);
  });
}

for (const id of ["abcd1234", "a.b:c-d_e", "r".repeat(128)]) {
  Deno.test(`createEndpoint: the caller's x-request-id ${id.slice(0, 20)} is used`, async () => {
    const { call } = endpoint(fine);
    const response = await call({
      method: "POST",
      headers: { "x-request-id": id },
    });
    assertEquals(response.headers.get("x-request-id"), id);
  });
}

for (
  const id of [
    "",
    "short",
    "has space",
    'a"injected"',
    "ü12345678",
    "r".repeat(129),
  ]
) {
  Deno.test(`createEndpoint: "${id.slice(0, 20)}" (${id.length}) is not a valid request id; a new one is generated`, async () => {
    const { call } = endpoint(fine);
    const response = await call({
      method: "POST",
      headers: { "x-request-id": id.replace("ü", "\xfc") },
    });
    assertMatch(response.headers.get("x-request-id") ?? "", UUID);
  });
}

Deno.test("createEndpoint: an AppError becomes its problem document, with the request's id, and no error line", async () => {
  const { call, platform } = endpoint(() =>
    Promise.reject(new AppError("not_found", { cause: new Error("row 7") }))
  );
  const response = await call({
    method: "POST",
    headers: { "x-request-id": "caller-1234" },
  });
  assertEquals(response.status, 404);
  assertEquals(response.headers.get("x-request-id"), "caller-1234");
  assertEquals((await response.json()).request_id, "caller-1234");
  assertEquals(platform.events(), ["request_answered"]);
});

Deno.test("createEndpoint: at level debug a refusal is explained in the log", async () => {
  const { call, platform } = endpoint(
    () => Promise.reject(new AppError("not_found", { cause: "row 7" })),
    "POST",
    { LOG_LEVEL: "debug" },
  );
  await call();
  assertEquals(platform.events(), ["request_refused", "request_answered"]);
  assertMatch(platform.lines[0] ?? "", /row 7/);
});

for (
  const [how, handle] of [
    ["rejects", () => Promise.reject(new Error("at 10.0.0.7: no route"))],
    ["throws", () => {
      throw new Error("at 10.0.0.7: no route");
    }],
  ] as const
) {
  Deno.test(`createEndpoint: a handler that ${how} is a 500 whose cause is in the log and not in the answer`, async () => {
    const { call, platform } = endpoint(handle);
    const response = await call();
    assertEquals(response.status, 500);
    const text = await response.text();
    assert(!text.includes("10.0.0.7"), text);
    assertEquals(platform.events(), ["request_failed", "request_answered"]);
    const [failed] = platform.logged();
    assertEquals(failed?.level, "error");
    assertMatch(platform.lines[0] ?? "", /10\.0\.0\.7/);
    assertEquals(failed?.["request_id"], JSON.parse(text).request_id);
  });
}

Deno.test("createEndpoint: a secret in the handler's error is not logged", async () => {
  const secret = COMPLETE_ENV.DISPATCH_SECRET;
  const { call, platform } = endpoint(() =>
    Promise.reject(new Error(`cannot sign with ${secret}`))
  );
  await call();
  assert(!platform.lines.join().includes(secret));
  assertMatch(platform.lines.join(), /cannot sign with \[secret\]/);
});

Deno.test("createEndpoint: after REQUEST_TIMEOUT it answers 504 and aborts, even if the handler ignores it", async () => {
  using timers = heldTimers();
  const signals: AbortSignal[] = [];
  const { call, platform } = endpoint(
    ({ signal }) => {
      signals.push(signal);
      return Promise.withResolvers<Response>().promise;
    },
    "POST",
    { REQUEST_TIMEOUT: "7" },
  );
  const answers: Response[] = [];
  const answering = call().then((response) => answers.push(response));
  await timers.pass(6_999);
  assertEquals([answers.length, signals[0]?.aborted], [0, false]);
  await timers.pass(1);
  assertEquals([answers.length, signals[0]?.aborted], [1, true]);
  await answering;
  assertEquals(answers[0]?.status, 504);
  assertEquals((await answers[0]?.json()).code, "request_timeout");
  assert(signals[0]?.reason instanceof AppError);
  assertEquals(platform.events(), ["request_failed", "request_answered"]);
});

Deno.test("createEndpoint: the result of a handler after its 504 is dropped", async () => {
  using timers = heldTimers();
  const late = Promise.withResolvers<Response>();
  const { call, platform } = endpoint(() => late.promise);
  const answering = call();
  await timers.pass(10_000);
  assertEquals((await answering).status, 504);
  late.reject(new Error("too late"));
  await timers.pass(0);
  assertEquals(platform.events(), ["request_failed", "request_answered"]);
});

Deno.test("createEndpoint: a response in time leaves no timer and no aborted signal", async () => {
  using timers = heldTimers();
  const signals: AbortSignal[] = [];
  const { call } = endpoint((context) => {
    signals.push(context.signal);
    return fine(context);
  });
  assertEquals((await call()).status, 200);
  await timers.pass(60_000);
  assertEquals(signals[0]?.aborted, false);
});
