import { assertEquals } from "@std/assert";
import {
  judge,
  readErrors,
  readTally,
  slowestFiles,
} from "../../../dev/tools/test-output.ts";

Deno.test("readTally: reads the last summary, with colours, steps and ignored tests", () => {
  assertEquals(readTally("ok | 6 passed | 0 failed (2s)\n"), {
    passed: 6,
    failed: 0,
  });
  assertEquals(
    readTally(
      "running\n\u001b[0m\u001b[32mok\u001b[0m | 2 passed (20 steps) | 0 failed \u001b[0m(959ms)\n",
    ),
    { passed: 2, failed: 0 },
  );
  assertEquals(
    readTally(
      "ok | 9 passed | 0 failed\n\nFAILED | 3 passed (1 step) | 2 failed (1 step) | 4 ignored (12ms)\n",
    ),
    { passed: 3, failed: 2 },
  );
});

Deno.test("readTally: a line of a test's own output is not a summary", () => {
  assertEquals(readTally("it said: ok | 6 passed | 0 failed\n"), undefined);
  assertEquals(readTally(""), undefined);
});

Deno.test("readErrors: the errors section of deno test, or undefined without a failed test", () => {
  assertEquals(
    readErrors(
      "bad ... FAILED (2ms)\n\n\u001b[41m ERRORS \u001b[0m\n\nbad => ./a.test.ts:2:6\nerror: Error: boo\n\n\u001b[41m FAILURES \u001b[0m\n\nbad => ./a.test.ts:2:6\n\nFAILED | 1 passed | 1 failed (58ms)\n",
    ),
    "bad => ./a.test.ts:2:6\nerror: Error: boo",
  );
  assertEquals(
    readErrors("good ... ok\n\nok | 1 passed | 0 failed\n"),
    undefined,
  );
});

Deno.test("judge: counts the tests that ran, and an error exit or an empty ring as a failure", () => {
  const cases: [
    code: number,
    output: string,
    passed: number,
    failed: number,
  ][] = [
    [0, "ok | 6 passed | 0 failed (2s)", 6, 0],
    [1, "FAILED | 5 passed | 1 failed (2s)", 5, 1],
    [1, "ok | 6 passed | 0 failed (2s)", 6, 1],
    [1, "error: Type checking failed.", 0, 1],
    [1, "error: No test modules found", 0, 1],
    [0, "ok | 0 passed | 0 failed (1ms)", 0, 1],
    [137, "", 0, 1],
  ];
  for (const [code, output, passed, failed] of cases) {
    assertEquals(judge(code, output), { passed, failed }, output);
  }
});

Deno.test("slowestFiles: adds up the tests of a file, and names the slowest first", () => {
  const suite = (file: string, ...times: string[]) =>
    `<testsuite name="./tests/${file}.test.ts" tests="2" errors="0">${
      times.map((time) =>
        `<testcase name="a > b" classname="./tests/cases.ts" time="${time}" line="1" col="6"></testcase>`
      ).join("\n")
    }</testsuite>`;
  const junit = [
    suite("a", "1.500", "1.500"),
    suite("b", "0.1"),
    suite("c", "3.5"),
  ].join("\n");
  assertEquals(slowestFiles(junit, 2), [
    { file: "tests/c.test.ts", seconds: 3.5 },
    { file: "tests/a.test.ts", seconds: 3 },
  ]);
  assertEquals(slowestFiles("", 2), []);
});
