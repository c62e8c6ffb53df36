import { assertEquals } from "@std/assert";
import { eventOf } from "../../../web/words/jobs.ts";

Deno.test("page words: the end of a paid call says whether a response arrived", () => {
  const words = (outcome?: string) =>
    eventOf({ event: "settled", stage: "calling_provider", outcome });
  assertEquals(words("unknown"), "No response arrived from the AI service");
  assertEquals(words("succeeded"), "The AI service answered");
  assertEquals(words("rejected"), "The AI service refused");
  assertEquals(words(), "The call to the AI service ended");
});
