import { assertEquals, assertStringIncludes } from "@std/assert";
import { AppError } from "../../../../supabase/functions/_shared/failures/app-error.ts";
import {
  ERROR_CATALOGUE,
  type ErrorCode,
} from "../../../../supabase/functions/_shared/failures/catalogue.ts";
import { CORS_HEADERS } from "../../../../supabase/functions/_shared/http/cors.ts";
import {
  jsonResponse,
  problemResponse,
} from "../../../../supabase/functions/_shared/http/problem.ts";

Deno.test("problemResponse: has the members of RFC 9457, our code, the fields and the request's id", async () => {
  const response = problemResponse(
    new AppError("invalid_request", {
      details: "name: is required",
      fields: [{ field: "name", message: "is required" }],
    }),
    "r1",
  );
  assertEquals(response.status, 400);
  assertEquals(
    response.headers.get("content-type"),
    "application/problem+json",
  );
  assertEquals(response.headers.get("cache-control"), "no-store");
  assertEquals(await response.json(), {
    type: "urn:edge-ai-jobs:error:invalid_request",
    title: "invalid request",
    status: 400,
    detail: "name: is required",
    code: "invalid_request",
    errors: [{ field: "name", message: "is required" }],
    request_id: "r1",
  });
});

Deno.test("problemResponse: without invalid fields there is no member for them", async () => {
  const body = await problemResponse(new AppError("not_found"), "r1").json();
  assertEquals("errors" in body, false);
});

for (const code of ["internal_error", "provider_timeout"] as const) {
  Deno.test(`problemResponse: ${code} answers 500`, async () => {
    const response = problemResponse(new AppError(code), "r1");
    assertEquals([response.status, (await response.json()).status], [500, 500]);
  });
}

for (
  const thrown of [
    new Error("password=hunter2"),
    new TypeError("hunter2 is not a function"),
    "hunter2",
    { code: "not_found", message: "hunter2" },
    undefined,
    null,
  ]
) {
  Deno.test(`problemResponse: ${String(thrown)} becomes an internal error without its details`, async () => {
    const response = problemResponse(thrown, "r1");
    assertEquals(response.status, 500);
    const text = await response.text();
    assertEquals(text.includes("hunter2"), false);
    assertStringIncludes(text, ERROR_CATALOGUE.internal_error.message);
  });
}

Deno.test("problemResponse: only a response that asks to retry later has Retry-After", () => {
  const retryAfter = (code: ErrorCode) =>
    problemResponse(new AppError(code), "r1").headers.get("retry-after");
  assertEquals(retryAfter("service_unavailable"), "5");
  assertEquals(retryAfter("internal_error"), null);
});

Deno.test("jsonResponse and problemResponse: another origin can read every response, and nothing is cached", () => {
  for (
    const response of [
      jsonResponse({}),
      jsonResponse({}, { status: 202, headers: { Location: "/x" } }),
      problemResponse(new AppError("not_found"), "r1", { Allow: "GET" }),
    ]
  ) {
    for (const [name, value] of Object.entries(CORS_HEADERS)) {
      assertEquals(response.headers.get(name), value);
    }
    assertEquals(response.headers.get("cache-control"), "no-store");
  }
});

Deno.test("jsonResponse: keeps status, headers and null members", async () => {
  const response = jsonResponse({ a: null }, {
    status: 202,
    headers: { Location: "/x" },
  });
  assertEquals([response.status, response.headers.get("location")], [
    202,
    "/x",
  ]);
  assertEquals(await response.text(), '{"a":null}');
});
