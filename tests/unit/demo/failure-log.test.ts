import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { printingLogOnFailure } from "../../../dev/demo/failure-log.ts";
import { LogBook } from "../../../dev/stack/console/log-book.ts";

Deno.test("demo: a failure prints the end of the stack's log, and is thrown again", async () => {
  const logs = new LogBook();
  for (let number = 0; number < 150; number++) {
    logs.add("cron", "stderr", `line ${number}`);
  }
  const printed: string[] = [];
  const failure = new Error("failed");
  const thrown = await assertRejects(() =>
    printingLogOnFailure(
      { logs },
      () => Promise.reject(failure),
      (text) => printed.push(text),
    )
  );
  assertEquals(thrown, failure);
  assertEquals(printed.length, 101);
  assertMatch(printed[1] ?? "", /^ {2}\d{4}-.*Z \[cron\] line 50\n$/);
  assertMatch(printed.at(-1) ?? "", / line 149\n$/);
});

Deno.test("demo: a success prints nothing of the log", async () => {
  const logs = new LogBook();
  logs.add("cron", "stderr", "a line");
  const printed: string[] = [];
  const result = await printingLogOnFailure(
    { logs },
    () => Promise.resolve("done"),
    (text) => printed.push(text),
  );
  assertEquals([result, printed], ["done", []]);
});
