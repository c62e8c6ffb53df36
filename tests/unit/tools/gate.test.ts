import { assertEquals } from "@std/assert";
import { limitedTo, runLanes, runSteps } from "../../../dev/tools/gate.ts";

/** Steps that record that they ran, and pass unless they are in `failing`. */
function steps(failing: string[]) {
  const ran: string[] = [];
  return {
    ran,
    steps: ["format", "types", "ring unit"].map((name) => ({
      name,
      run: () => {
        ran.push(name);
        return Promise.resolve(!failing.includes(name));
      },
    })),
  };
}

Deno.test("runSteps: nothing runs after the first failure", async () => {
  const { ran, steps: all } = steps(["types", "ring unit"]);
  assertEquals(await runSteps(all, { keepGoing: false }), ["types"]);
  assertEquals(ran, ["format", "types"]);
});

Deno.test("runSteps: with keepGoing all run, and each failure is named", async () => {
  const { ran, steps: all } = steps(["format", "ring unit"]);
  assertEquals(await runSteps(all, { keepGoing: true }), [
    "format",
    "ring unit",
  ]);
  assertEquals(ran, ["format", "types", "ring unit"]);
});

Deno.test("runSteps: a step that passes is not named", async () => {
  assertEquals(await runSteps(steps([]).steps, { keepGoing: false }), []);
});

Deno.test("runLanes: the lanes run in parallel, each to its end, and each failure is named", async () => {
  const others = steps(["types"]);
  const begun = Promise.withResolvers<void>();
  const failed = await runLanes(
    // Ends only after the other lane has begun.
    [{ name: "slow", run: () => begun.promise.then(() => false) }],
    [{
      name: "begins",
      run() {
        begun.resolve();
        return Promise.resolve(true);
      },
    }, ...others.steps],
  );
  assertEquals(failed, ["slow", "types"]);
  assertEquals(others.ran, ["format", "types", "ring unit"]);
});

Deno.test("limitedTo: checks of single files get the files that they can read, others read the whole tree", () => {
  const checks = [
    ["fmt", "--check"],
    ["lint", "--quiet"],
    ["check", "--quiet"],
    ["run", "docs.ts"],
  ].map((args) => ({ name: "check", args }));
  const files = ["a.ts", "b.tsx", "docs/c.md", "d.sql"];
  assertEquals(limitedTo(files, checks).map(({ args }) => args), [
    ["fmt", "--check", "a.ts", "b.tsx", "docs/c.md"],
    ["lint", "--quiet", "a.ts", "b.tsx"],
    ["check", "--quiet", "a.ts", "b.tsx"],
    ["run", "docs.ts"],
  ]);
});
