import { assertEquals, assertThrows } from "@std/assert";
import { StorageApiError } from "@supabase/supabase-js";
import { AppError } from "../../../../supabase/functions/_shared/failures/app-error.ts";
import {
  publicUrl,
  storageFailure,
  tokenExpiry,
  tokenOf,
} from "../../../../supabase/functions/_shared/storage/signed-url.ts";

/** A JWT with this payload; its signature is not checked here. */
function jwt(payload: unknown): string {
  const encode = (part: unknown) =>
    btoa(
      String.fromCharCode(...new TextEncoder().encode(JSON.stringify(part))),
    ).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return `${encode({ alg: "HS256" })}.${encode(payload)}.c2lnbmF0dXJl`;
}

Deno.test("tokenExpiry: reads the expiry of a signed URL from its token", () => {
  assertEquals(
    tokenExpiry(jwt({ url: "b/u/f", exp: 1_767_225_600 })),
    "2026-01-01T00:00:00.000Z",
  );
});

Deno.test("tokenExpiry: reads base64url of any length and with any letters", () => {
  for (const url of ["b/u/a", "b/u/ab", "b/u/abc", "b/u/ü?>~😀", "b/u/ÿÿÿ"]) {
    assertEquals(
      tokenExpiry(jwt({ url, exp: 1 })),
      "1970-01-01T00:00:01.000Z",
    );
  }
});

for (
  const token of [
    "",
    "a",
    "a.b.c",
    "a.%%%.c",
    jwt({}),
    jwt({ exp: "1" }),
    jwt({ exp: 0 }),
    jwt({ exp: 1.5 }),
    jwt({ exp: 9e15 }),
    jwt(null),
  ]
) {
  Deno.test(`tokenExpiry: ${token.slice(0, 50)} is an internal error, not a wrong time`, () => {
    assertEquals(
      assertThrows(() => tokenExpiry(token), AppError).code,
      "internal_error",
    );
  });
}

Deno.test("tokenOf: returns the token of a signed URL, and throws when there is none", () => {
  const url = "https://project.test/storage/v1/object/sign/b/u/f";
  assertEquals(tokenOf(`${url}?download=x&token=a.b.c`), "a.b.c");
  for (const without of [url, `${url}?Token=a`]) {
    assertEquals(
      assertThrows(() => tokenOf(without), AppError).code,
      "internal_error",
    );
  }
});

const INSIDE = "http://kong:8000";
const PATH = "/storage/v1/object/sign/b/u/f?token=a.b.c";
for (
  const [inside, outside, url, expected] of [
    [INSIDE, undefined, INSIDE + PATH, INSIDE + PATH],
    [
      INSIDE,
      "http://127.0.0.1:54321",
      INSIDE + PATH,
      `http://127.0.0.1:54321${PATH}`,
    ],
    [
      `${INSIDE}/`,
      "http://127.0.0.1:54321/",
      INSIDE + PATH,
      `http://127.0.0.1:54321${PATH}`,
    ],
    [
      INSIDE,
      "https://app.test/api/",
      INSIDE + PATH,
      `https://app.test/api${PATH}`,
    ],
    [
      INSIDE,
      "http://127.0.0.1:54321",
      `http://cdn.test${PATH}`,
      `http://cdn.test${PATH}`,
    ],
    [
      INSIDE,
      "http://127.0.0.1:54321",
      `http://kong:80001${PATH}`,
      `http://kong:80001${PATH}`,
    ],
  ] as const
) {
  Deno.test(`publicUrl: ${url} with API_PUBLIC_URL ${outside ?? "unset"}`, () => {
    assertEquals(
      publicUrl(url, { SUPABASE_URL: inside, API_PUBLIC_URL: outside }),
      expected,
    );
  });
}

for (
  const [status, meant, code] of [
    [400, "404", "object_not_found"],
    [400, "403", "object_not_found"],
    [400, "x", "object_not_found"],
    [403, "403", "object_not_found"],
    [404, "404", "object_not_found"],
    [400, "544", "service_unavailable"],
    [400, "429", "service_unavailable"],
    [429, "429", "service_unavailable"],
    [500, "500", "service_unavailable"],
    [503, "x", "service_unavailable"],
    [0, "x", "service_unavailable"],
  ] as const
) {
  Deno.test(`storageFailure: a ${status} of Storage that means ${meant} is ${code}`, () => {
    const error = new StorageApiError("said Storage", status, meant);
    const failure = storageFailure(error);
    assertEquals([failure.code, failure.cause], [code, error]);
  });
}

Deno.test("storageFailure: an error without a response is service_unavailable", () => {
  for (
    const error of [
      new TypeError("fetch failed"),
      new DOMException("aborted", "AbortError"),
    ]
  ) assertEquals(storageFailure(error).code, "service_unavailable");
});
