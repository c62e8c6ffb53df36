import { assertEquals } from "@std/assert";
import { launchersAmong } from "../../../../dev/stack/process/launchers.ts";

/** The watched ones of the ancestors of a process in group 10, given nearest first as `name:group`. */
function watched(...ancestors: string[]): string[] {
  const chain = ancestors.map((text, index) => {
    const [name = "", group] = text.split(":");
    return {
      pid: 100 - index,
      parent: 99 - index,
      group: Number(group),
      name,
      started: "",
    };
  });
  return launchersAmong({ group: 10 }, chain).map(({ name }) => name);
}

Deno.test("launchers: npm and deno task are watched, the shell between them and the user's shell are not", () => {
  assertEquals(
    watched("deno:10", "sh:10", "npm exec deno@2:10", "zsh:7", "sshd:1"),
    ["deno", "npm exec deno@2"],
  );
});

Deno.test("launchers: a script that started it in the background is not watched", () => {
  for (const shell of ["sh", "bash", "dash", "zsh", "ksh", "fish", "-bash"]) {
    assertEquals(watched("deno:10", "npm:10", `${shell}:10`), ["deno", "npm"]);
  }
});

Deno.test("launchers: a test runner above the script is watched, and nothing beyond its process group", () => {
  assertEquals(
    watched(
      "deno:10",
      "npm:10",
      "sh:10",
      "node:10",
      "bash:10",
      "code:3",
      "node:10",
    ),
    ["deno", "npm", "node"],
  );
});

Deno.test("launchers: the parent is watched, no matter which program it is", () => {
  assertEquals(watched("bash:9", "node:9"), ["bash"]);
  assertEquals(watched(), []);
});
