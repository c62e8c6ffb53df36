import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { drawTerminal } from "../../../dev/tools/terminal-picture.ts";

Deno.test("drawTerminal: each line is a text, its spaces kept, and markup in it is text", () => {
  const svg = drawTerminal("run it", '  a <b> & "c"\n\nend\n\n');
  assertEquals(svg.match(/<text /g)?.length, 4);
  assertStringIncludes(svg, ">$ run it</text>");
  assertStringIncludes(svg, ">  a &lt;b&gt; &amp; &quot;c&quot;</text>");
});

Deno.test("drawTerminal: a long line is cut, and the picture is as wide as the longest", () => {
  const svg = drawTerminal("x", "y".repeat(500));
  assertStringIncludes(svg, `${"y".repeat(109)}…`);
  const [, width = "0"] = /width="(\d+)"/.exec(svg) ?? [];
  assert(Number(width) < 1000);
});
