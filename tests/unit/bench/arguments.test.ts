import { assertEquals, assertThrows } from "@std/assert";
import { readArguments } from "../../../bench/arguments.ts";

const known = { scenarios: ["kill", "drain"], contenders: ["direct"] };

Deno.test("readArguments: without arguments everything runs in full", () => {
  assertEquals(readArguments([], known), {
    isQuick: false,
    isPublished: false,
    isHelp: false,
    runs: 1,
    scenarios: [],
    contenders: [],
  });
});

Deno.test("readArguments: --only may be repeated", () => {
  const { scenarios, isQuick } = readArguments(
    ["--quick", "--only", "kill", "--only", "drain"],
    known,
  );
  assertEquals([scenarios, isQuick], [["kill", "drain"], true]);
});

Deno.test("readArguments: an unknown scenario is named, with the existing ones", () => {
  assertThrows(
    () => readArguments(["--only", "speed"], known),
    Error,
    "--only speed: one of kill, drain.",
  );
});

Deno.test("readArguments: an unknown option is refused", () => {
  assertThrows(
    () => readArguments(["--fast"], known),
    Error,
    "Unknown argument --fast.",
  );
});

Deno.test("readArguments: --runs accepts a whole number from 1 to 20", () => {
  assertEquals(readArguments(["--runs", "5"], known).runs, 5);
  for (const runs of ["0", "21", "1.5", "many"]) {
    assertThrows(
      () => readArguments(["--runs", runs], known),
      Error,
      `--runs ${runs}: a whole number from 1 to 20.`,
    );
  }
});
