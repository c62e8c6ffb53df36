import { assert, assertEquals } from "@std/assert";
import { LimitReached, NetworkError } from "../../../client/mod.ts";
import { ERROR_CODES } from "../../../supabase/functions/_shared/failures/catalogue.ts";
import {
  canRetryJob,
  describeError,
  ERROR_WORDS,
} from "../../../web/words/errors.ts";

Deno.test("page words: every code of the catalogue has a sentence that does not contain the code", () => {
  const missing = [...ERROR_CODES].filter((code) => !(code in ERROR_WORDS));
  assertEquals(missing, []);
  for (const text of Object.values(ERROR_WORDS)) {
    assert(!/[a-z]_[a-z]|\bHTTP\b|\bAPI\b|JSON/.test(text), text);
    assert(/^[A-Z].*\.$/s.test(text), text);
  }
});

Deno.test("page words: a job can run again unless its own input is the cause", () => {
  const codes = [...ERROR_CODES].filter((code) => !canRetryJob(code));
  assert(codes.includes("provider_content_refused"));
  for (
    const code of [
      "provider_quota_exceeded",
      "budget_exceeded",
      "provider_unavailable",
      "job_expired",
      "internal_error",
    ]
  ) assert(canRetryJob(code), code);
});

Deno.test("page words: a limit has the time of the next possible attempt", () => {
  const error = new LimitReached("too many", {
    code: "active_jobs_exceeded",
    retryAfterMs: 90_000,
  });
  assert(describeError(error).endsWith("You can try again in 2 minutes."));
});

Deno.test("page words: an unknown error shows nothing technical", () => {
  const unknown = new NetworkError("ECONNRESET", {
    code: "x",
  });
  const general = "Something went wrong on our side. Try again in a moment.";
  assertEquals(describeError(unknown), general);
  assertEquals(
    describeError(new TypeError("Failed to fetch")),
    ERROR_WORDS["network_error"],
  );
  assertEquals(
    describeError({ message: "TypeError: Failed to fetch", code: "" }),
    ERROR_WORDS["network_error"],
  );
  assertEquals(describeError("?"), general);
});
