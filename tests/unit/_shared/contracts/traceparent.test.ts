import { assertEquals } from "@std/assert";
import { readTrace } from "../../../../supabase/functions/_shared/contracts/traceparent.ts";

const ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const GOOD = `00-${ID}-00f067aa0ba902b7-01`;

Deno.test("traceparent: reads the trace id of a valid header, and nothing from any other", () => {
  assertEquals(readTrace(GOOD), { traceparent: GOOD, traceId: ID });
  for (
    const bad of [
      null,
      undefined,
      "",
      GOOD.toUpperCase(),
      GOOD.replace("00-", "01-"),
      `${GOOD}-00`,
      `00-${"0".repeat(32)}-00f067aa0ba902b7-01`,
      `00-${ID}-${"0".repeat(16)}-01`,
      `00-${ID}-00f067aa0ba902b7`,
      ` ${GOOD}`,
    ]
  ) assertEquals(readTrace(bad), undefined, String(bad));
});
