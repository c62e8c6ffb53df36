import { assertEquals } from "@std/assert";
import { placeOf } from "../../../web/words/places.ts";

Deno.test("page words: the place in the queue has the number of jobs ahead, marked as an estimate", () => {
  assertEquals([0, 1, 12, 100].map(placeOf), [
    "Next in the queue",
    "1 job ahead of yours",
    "About 12 jobs ahead of yours",
    "At least 100 jobs ahead of yours",
  ]);
});
