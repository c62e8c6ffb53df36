import { assertEquals } from "@std/assert";
import { wasInterrupted } from "../../chaos/choices.ts";

const events = (...names: string[]) =>
  names.map((event) => ({ job_id: "a", event }));

Deno.test("wasInterrupted: true for a rescued, retried, released or failed attempt", () => {
  const claimed = ["created", "claimed", "progress"];
  for (const event of ["rescued", "retried", "released"]) {
    const broken = events(...claimed, event, "claimed", "completed");
    assertEquals(wasInterrupted(["a"], broken), true, event);
  }
  assertEquals(wasInterrupted(["a"], events(...claimed, "failed")), true);
});

Deno.test("wasInterrupted: false for a run that waits for its provider, and for other jobs' events", () => {
  const whole = events("created", "claimed", "snoozed", "claimed", "completed");
  assertEquals(wasInterrupted(["a"], whole), false);
  assertEquals(wasInterrupted(["b"], events("claimed", "rescued")), false);
});
