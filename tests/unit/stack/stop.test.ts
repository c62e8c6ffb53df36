import { assertEquals } from "@std/assert";
import { readStopArguments } from "../../../dev/stack/stop.ts";

Deno.test("deno task stop: an invalid argument is named", () => {
  for (
    const [args, complaint] of [
      [["--wat"], "Unknown argument --wat."],
      [["now"], "Unknown argument now."],
      [["--data="], "--data needs a value."],
    ] as const
  ) {
    assertEquals(readStopArguments([...args]), complaint);
  }
});

Deno.test("deno task stop: the folder is the one given, or that of deno task start", () => {
  assertEquals(readStopArguments(["--data", "there"]), {
    data: "there",
    help: false,
  });
  const read = readStopArguments([]);
  assertEquals(
    typeof read === "string" || /stack$/.test(read.data),
    true,
  );
});
