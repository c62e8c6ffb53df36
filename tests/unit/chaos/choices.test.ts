import { assertEquals } from "@std/assert";
import { hadMishap } from "../../chaos/choices.ts";

const events = (...names: string[]) =>
  names.map((event) => ({ job_id: "a", event }));

Deno.test("hadMishap: a run whose lease ran out, or that was tried again, is not one that others repeat", () => {
  const claimed = ["created", "claimed", "progress"];
  for (const mishap of ["rescued", "retried", "released"]) {
    const broken = events(...claimed, mishap, "claimed", "completed");
    assertEquals(hadMishap(["a"], broken), true, mishap);
  }
  assertEquals(hadMishap(["a"], events(...claimed, "failed")), true);
});

Deno.test("hadMishap: a run that waits for its provider is whole, and other jobs do not count", () => {
  const whole = events("created", "claimed", "snoozed", "claimed", "completed");
  assertEquals(hadMishap(["a"], whole), false);
  assertEquals(hadMishap(["b"], events("claimed", "rescued")), false);
});
