import { assertEquals, assertMatch } from "@std/assert";
import {
  Conflict,
  LimitReached,
  NetworkError,
  ServiceUnavailable,
} from "../../../client/mod.ts";
import { OPS_RESPONSES } from "../../../supabase/functions/_shared/contracts/ops.ts";
import {
  type Action,
  describeFailure,
  isRepeatable,
} from "../../../web/console/outcomes.ts";
import { describeError } from "../../../web/words/errors.ts";

const LOST = /not known whether this was done/;

Deno.test("console: an action that a second request would do again or find done is not repeated", () => {
  const isAction = (name: string): name is Action =>
    Object.hasOwn(OPS_RESPONSES, name);
  assertEquals(
    Object.keys(OPS_RESPONSES).filter(isAction)
      .filter((action) => !isRepeatable(action)).sort(),
    ["probe", "redrive", "resolve", "retry", "take_back"],
  );
});

Deno.test("console: without a usable response, the outcome of such an action is not known", () => {
  const errors = [
    new NetworkError("No response arrived.", { code: "network_error" }),
    new ServiceUnavailable("Too slow.", { code: "request_timeout" }),
    new ServiceUnavailable("Not valid.", { code: "answer_invalid" }),
  ];
  for (const error of errors) {
    assertMatch(describeFailure("retry", error), LOST);
    assertEquals(describeFailure("pause", error), describeError(error));
  }
});

Deno.test("console: a refusal says what it refuses, and is not an unknown outcome", () => {
  const unchecked = new ServiceUnavailable("Not asked.", {
    code: "provider_not_checked",
  });
  const full = new LimitReached("Full.", { code: "active_jobs_exceeded" });
  const settled = new Conflict("Settled.", { code: "job_not_parked" });
  assertEquals(describeFailure("resolve", unchecked), describeError(unchecked));
  assertEquals(describeFailure("retry", full), describeError(full));
  assertEquals(describeFailure("resolve", settled), describeError(settled));
  assertEquals(
    describeFailure("take_back", settled),
    "The answer cannot be taken back any more. Nothing was changed.",
  );
});
