import { assert, assertEquals } from "@std/assert";
import fc from "../../../_support/fast-check.ts";
import {
  type Room,
  setText,
} from "../../../../supabase/functions/render-ai-job/keepsake/typesetting.ts";

const room: Room = {
  width: 200,
  height: 100,
  sizes: [20, 15, 10],
  leading: 1.2,
};
/** Every character is half as wide as high. */
const set = (text: string, changes: Partial<Room> = {}) =>
  setText(
    { text, face: "roman", pictures: 0, missing: [] },
    { ...room, ...changes },
    () => 0.5,
  );

Deno.test("setText: uses the largest size that fits, in lines of about equal length", () => {
  assertEquals(set("short").lines, ["short"]);
  assertEquals(set("short").size, 20);
  const { size, lines, height } = set("aaaa bbbb cccc dddd eeee ffff");
  assertEquals([size, height], [20, 2 * 24]);
  assertEquals(lines, ["aaaa bbbb cccc", "dddd eeee ffff"]);
  assertEquals(set("word ".repeat(25).trim()).size, 15);
});

Deno.test("setText: keeps the text's own line breaks if there is room", () => {
  assertEquals(set("one\ntwo\n\nthree").lines, ["one", "two", "", "three"]);
  const many = set("i\n".repeat(40) + "i");
  assert(many.height <= room.height, `${many.height}`);
  assertEquals(many.lines.join(" "), "i ".repeat(40) + "i");
});

Deno.test("setText: loses nothing, exceeds no line, and keeps a mark with its letter", () => {
  const text = fc.array(
    fc.constantFrom("a", "bc", "W".repeat(60), " ", "-", "e\u0301", "\n", "—"),
    { maxLength: 60 },
  ).map((parts) => parts.join("").replaceAll(/ +/g, " ").trim());
  fc.assert(
    fc.property(text, fc.integer({ min: 30, max: 400 }), (text, width) => {
      const { lines, size } = set(text, { width });
      assertEquals(
        lines.join("").replaceAll(/\s/g, ""),
        text.replaceAll(/\s/g, ""),
      );
      for (const line of lines) {
        assert(!/^\u0301/.test(line), JSON.stringify(lines));
        const marks = line.match(/\u0301/g)?.length ?? 0;
        assert(
          (line.length - marks) * size / 2 <= width + 0.01,
          JSON.stringify(lines),
        );
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("setText: an empty text has no lines", () => {
  assertEquals([set("").lines, set("").height], [[], 0]);
});
