import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import {
  ALL_RINGS,
  isRing,
  LANES,
  pathsOf,
  RINGS,
} from "../../../dev/tools/rings.ts";
import { lanesOf, readArguments } from "../../../dev/tools/run-tests.ts";

const root = fromFileUrl(new URL("../../../", import.meta.url));

Deno.test("rings: the quick ones come first", () => {
  assertEquals(ALL_RINGS.slice(0, 2), ["unit", "database"]);
});

Deno.test("isRing: true for rings, false for inherited property names", () => {
  assertEquals(isRing("unit"), true);
  assertEquals(isRing("all"), false);
  assertEquals(isRing("constructor"), false);
});

Deno.test("lanes: every ring runs in exactly one, and the quick ones in their order", () => {
  assertEquals(LANES.flat().toSorted(), [...ALL_RINGS].toSorted());
  assertEquals(lanesOf(["unit", "database"]), [["unit", "database"]]);
  assertEquals(lanesOf(["browser", "unit"]), [["browser"], ["unit"]]);
});

Deno.test("pathsOf: names the longest files, which exist, before the folder of the ring", async () => {
  for (const ring of ALL_RINGS) {
    const paths = pathsOf(ring);
    assertEquals(paths.length, RINGS[ring].longest.length + 1);
    assertEquals(paths.at(-1), `tests/${ring}/`);
    for (const path of paths) {
      assert((await Deno.stat(root + path)).size > 0, path);
    }
  }
});

Deno.test("run-tests: the text after --filter is neither a file nor a ring", () => {
  for (
    const [args, rings, selection] of [
      [["unit"], ["unit"], []],
      [["unit", "database"], ["unit", "database"], []],
      [["browser", "--filter", "/lost/"], ["browser"], ["--filter=/lost/"]],
      [["browser", "--filter", "unit"], ["browser"], ["--filter=unit"]],
      [["unit", "a.test.ts", "--filter=b"], ["unit"], [
        "a.test.ts",
        "--filter=b",
      ]],
    ] as const
  ) {
    assertEquals(readArguments(args), {
      rings: [...rings],
      selection: [...selection],
    });
  }
});
