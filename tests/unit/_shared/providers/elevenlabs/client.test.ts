import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { ElevenLabs, ElevenLabsError } from "elevenlabs";
import { z } from "zod";
import {
  ERROR_CATALOGUE,
  type ErrorCode,
} from "../../../../../supabase/functions/_shared/failures/catalogue.ts";
import { packageFailure } from "../../../../../supabase/functions/_shared/providers/elevenlabs/voices.ts";

const FIXTURES = new URL("../../../../fixtures/elevenlabs/", import.meta.url);
const fixtureSchema = z.object({ status: z.number().int(), body: z.json() });

/** The error that the package throws for a response. */
function thrownFor(status: number, body?: unknown): ElevenLabsError {
  return new ElevenLabsError({ statusCode: status, body });
}

/** Every known error response of the provider, and what it means. A definite refusal is "rejected". */
const MEANINGS: Record<
  string,
  [ErrorCode, "rejected" | "unknown", isRetryable: boolean]
> = {
  "body-not-parsed": ["provider_rejected_input", "rejected", false],
  "can-not-use-instant-voice-cloning.new": [
    "provider_limit_reached",
    "rejected",
    false,
  ],
  "can-not-use-instant-voice-cloning.old": [
    "provider_limit_reached",
    "rejected",
    false,
  ],
  "concurrent-limit-exceeded.new": [
    "provider_concurrency_limited",
    "rejected",
    true,
  ],
  "concurrent-limit-exceeded.old": [
    "provider_concurrency_limited",
    "rejected",
    true,
  ],
  "content-against-policy.new": [
    "provider_content_refused",
    "rejected",
    false,
  ],
  "content-against-policy.old": [
    "provider_content_refused",
    "rejected",
    false,
  ],
  "history-item-not-found.new": ["provider_rejected_input", "rejected", false],
  "history-item-not-found.old": ["provider_rejected_input", "rejected", false],
  "transcript-not-found": ["provider_rejected_input", "rejected", false],
  "invalid-api-key.new": ["provider_unauthorized", "rejected", false],
  "invalid-api-key.old": ["provider_unauthorized", "rejected", false],
  "invalid-content.new": ["provider_rejected_input", "rejected", false],
  "invalid-content.old": ["provider_rejected_input", "rejected", false],
  "max-character-limit-exceeded.new": [
    "provider_rejected_input",
    "rejected",
    false,
  ],
  "max-character-limit-exceeded.old": [
    "provider_rejected_input",
    "rejected",
    false,
  ],
  "needs-authorization.new": ["provider_unauthorized", "rejected", false],
  "needs-authorization.old": ["provider_unauthorized", "rejected", false],
  "not-found": ["provider_rejected_input", "rejected", false],
  "only-for-creator-plus.new": ["provider_limit_reached", "rejected", false],
  "only-for-creator-plus.old": ["provider_limit_reached", "rejected", false],
  "quota-exceeded.new": ["provider_quota_exceeded", "rejected", false],
  "quota-exceeded.old": ["provider_quota_exceeded", "rejected", false],
  "rate-limit-exceeded.new": ["provider_rate_limited", "rejected", true],
  "rate-limit-exceeded.old": ["provider_rate_limited", "rejected", true],
  "system-busy.new": ["provider_rate_limited", "rejected", true],
  "system-busy.old": ["provider_rate_limited", "rejected", true],
  "too-many-concurrent-requests.new": [
    "provider_concurrency_limited",
    "rejected",
    true,
  ],
  "too-many-concurrent-requests.old": [
    "provider_concurrency_limited",
    "rejected",
    true,
  ],
  "validation": ["provider_rejected_input", "rejected", false],
  "validation-file": ["provider_rejected_input", "rejected", false],
  "voice-add-edit-limit-reached.new": [
    "provider_limit_reached",
    "rejected",
    false,
  ],
  "voice-add-edit-limit-reached.old": [
    "provider_limit_reached",
    "rejected",
    false,
  ],
  "voice-limit-generic.new": ["provider_limit_reached", "rejected", false],
  "voice-limit-reached.new": ["provider_limit_reached", "rejected", false],
  "voice-limit-reached.old": ["provider_limit_reached", "rejected", false],
  "voice-not-found.new": ["voice_not_found", "rejected", false],
  "voice-not-found.old": ["voice_not_found", "rejected", false],
};

const files: string[] = [];
for await (const { name } of Deno.readDir(FIXTURES)) {
  if (name.startsWith("error-")) files.push(name);
}

Deno.test("packageFailure: every recorded error response has its meaning here", () => {
  assertEquals(
    files.sort(),
    Object.keys(MEANINGS).map((name) => `error-${name}.json`).sort(),
  );
});

for (const [name, [code, certainty, isRetryable]] of Object.entries(MEANINGS)) {
  Deno.test(`packageFailure: ${name} is ${code}, ${certainty}, ${isRetryable ? "worth another attempt" : "final"}`, async () => {
    const { status, body } = fixtureSchema.parse(
      JSON.parse(
        await Deno.readTextFile(new URL(`error-${name}.json`, FIXTURES)),
      ),
    );
    const thrown = thrownFor(status, body);
    const failure = packageFailure(thrown, false);
    assertEquals(
      [failure.code, failure.certainty, failure.isRetryable],
      [code, certainty, isRetryable],
    );
    assertEquals(failure.httpStatus, status);
    assertEquals(
      failure.isOwnLoad,
      code === "provider_concurrency_limited",
    );
    assertStrictEquals(failure.cause, thrown);
  });
}

for (
  const [status, code, certainty, isRetryable] of [
    [400, "provider_rejected_input", "rejected", false],
    [401, "provider_unauthorized", "rejected", false],
    [402, "provider_quota_exceeded", "rejected", false],
    [403, "provider_unauthorized", "rejected", false],
    [404, "provider_rejected_input", "rejected", false],
    [408, "provider_unavailable", "unknown", true],
    [409, "provider_unavailable", "unknown", true],
    [413, "provider_rejected_input", "rejected", false],
    [422, "provider_rejected_input", "rejected", false],
    [425, "provider_unavailable", "unknown", true],
    [429, "provider_rate_limited", "rejected", true],
    [451, "provider_content_refused", "rejected", false],
    [500, "provider_unavailable", "unknown", true],
    [502, "provider_unavailable", "unknown", true],
    [503, "provider_unavailable", "unknown", true],
    [504, "provider_unavailable", "unknown", true],
    [529, "provider_unavailable", "unknown", true],
    [302, "provider_unavailable", "unknown", true],
  ] as const
) {
  Deno.test(`packageFailure: a ${status} without further information is ${code}, ${certainty}`, () => {
    const bodies = [
      undefined,
      null,
      "",
      "<html>busy</html>",
      {},
      { detail: null },
      { detail: "text" },
      { detail: [] },
      { detail: { code: 7 } },
      { detail: { status: "never_heard_of" } },
    ];
    for (const body of bodies) {
      const failure = packageFailure(thrownFor(status, body), false);
      assertEquals(
        [failure.code, failure.certainty, failure.isRetryable],
        [code, certainty, isRetryable],
        JSON.stringify(body),
      );
    }
  });
}

Deno.test("packageFailure: Retry-After comes with every refusal and server error", () => {
  const headers = new Headers({ "Retry-After": "17" });
  for (const status of [400, 429, 500, 503]) {
    assertEquals(
      packageFailure(thrownFor(status), false, headers).retryAfterSeconds,
      17,
    );
    assertEquals(
      packageFailure(thrownFor(status), false, new Headers())
        .retryAfterSeconds,
      undefined,
    );
  }
});

Deno.test("packageFailure: a call without a response has no Retry-After of an earlier one", () => {
  assertEquals(
    packageFailure(
      new TypeError("connection reset"),
      false,
      new Headers({ "Retry-After": "17" }),
    ).retryAfterSeconds,
    undefined,
  );
});

Deno.test("packageFailure: a server error is unknown even with a code that is a refusal elsewhere", () => {
  const failure = packageFailure(
    thrownFor(500, { detail: { code: "voice_limit_reached" } }),
    false,
  );
  assertEquals([failure.code, failure.certainty], [
    "provider_unavailable",
    "unknown",
  ]);
});

Deno.test("packageFailure: a code like an inherited property name means nothing", () => {
  for (const code of ["constructor", "toString", "__proto__"]) {
    const failure = packageFailure(
      thrownFor(400, { detail: { code, status: code } }),
      false,
    );
    assertEquals(failure.code, "provider_rejected_input");
  }
});

Deno.test("packageFailure: the package's own class for a 422 is read like the others", () => {
  const failure = packageFailure(
    new ElevenLabs.UnprocessableEntityError({ detail: [] }),
    false,
  );
  assertEquals([failure.code, failure.httpStatus], [
    "provider_rejected_input",
    422,
  ]);
});

const zodError = z.object({ voice_id: z.string() }).safeParse({}).error;
for (
  const [what, thrown, isTimeout, code] of [
    [
      "no status, in time",
      new ElevenLabsError({ message: "fetch failed" }),
      false,
      "provider_unavailable",
    ],
    [
      "no status, out of time",
      new ElevenLabsError({ message: '"timeout"' }),
      true,
      "provider_timeout",
    ],
    [
      "a lost connection",
      new TypeError("connection reset"),
      false,
      "provider_unavailable",
    ],
    [
      "an aborted call",
      new DOMException("aborted", "AbortError"),
      true,
      "provider_timeout",
    ],
    [
      "a response that makes no sense",
      zodError,
      false,
      "provider_answer_invalid",
    ],
    ["nothing", undefined, false, "provider_unavailable"],
    ["a word", "boom", false, "provider_unavailable"],
    [
      "a status that is not a number",
      { statusCode: "429" },
      false,
      "provider_unavailable",
    ],
  ] as const
) {
  Deno.test(`packageFailure: ${what} is ${code}, and the voice may have been created`, () => {
    const failure = packageFailure(thrown, isTimeout);
    assertEquals(
      [failure.code, failure.certainty, failure.isRetryable],
      [code, "unknown", true],
    );
    assertStrictEquals(failure.cause, thrown);
    assertEquals(failure.httpStatus, undefined);
  });
}

Deno.test("packageFailure: an HTTP response counts, even if the time limit has passed", () => {
  assertEquals(
    packageFailure(thrownFor(429), true).code,
    "provider_rate_limited",
  );
});

Deno.test("docs/error-codes.md: lists correctly which codes of the provider are retried", async () => {
  const page = await Deno.readTextFile(
    new URL("../../../../../docs/error-codes.md", import.meta.url),
  );
  const retried = new Map<string, boolean>([
    ...Object.values(MEANINGS).map(([code, _certainty, isRetryable]) =>
      [code, isRetryable] as const
    ),
    ["provider_unavailable", true],
    ["provider_timeout", true],
    ["provider_answer_invalid", true],
    ["provider_answer_too_large", false],
    // Only for providers that render.
    ["provider_render_failed", false],
    // Not from the provider: nothing is sent.
    ["provider_budget_exceeded", false],
    ["provider_webhook_missing", false],
    // Responses to operators.
    ["provider_not_checked", false],
    ["provider_object_found", false],
    ["provider_object_id_invalid", false],
    ["provider_object_mismatch", false],
    ["provider_object_missing", false],
  ]);
  assertEquals(
    [...retried.keys()].filter((code) => code.startsWith("provider_")).sort(),
    Object.keys(ERROR_CATALOGUE).filter((code) => code.startsWith("provider_"))
      .sort(),
  );
  for (const [code, isRetried] of retried) {
    const row = page.split("\n").find((line) => line.includes(`| \`${code}\``));
    assert(row);
    assertEquals(/\| yes(;[^|]*)?\s*\|$/.test(row), isRetried, code);
  }
});
