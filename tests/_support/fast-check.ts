/** fast-check with the same cases in every run, so that no change fails on a case that it did not affect. */
import fc from "fast-check";
import { z } from "zod";

/** The seed of this process: PROPERTY_SEED, which may be `random`, or else a fixed number. */
export const PROPERTY_SEED = seedOf(
  Deno.env.get("PROPERTY_SEED") ?? "20261123",
);

function seedOf(text: string): number {
  return text === "random"
    ? Math.floor(Math.random() * 2 ** 31)
    : z.coerce.number().int().parse(text);
}

fc.configureGlobal({ seed: PROPERTY_SEED });

/** Where the code points of surrogates begin, and how many there are. They are no characters. */
const SURROGATES = { from: 0xd800, count: 0x800 };

/**
 * Any character of Unicode: the same cases as the unit `binary` of fast-check. That one builds a table of all characters
 * at its first use in a process, which takes more than a second.
 */
export const anyCharacter: fc.Arbitrary<string> = fc.nat({
  max: 0x10ffff - SURROGATES.count,
}).map(
  (index) =>
    String.fromCodePoint(
      index < SURROGATES.from ? index : index + SURROGATES.count,
    ),
  (text) => {
    const point = typeof text === "string" ? text.codePointAt(0) : undefined;
    if (point === undefined || String.fromCodePoint(point) !== text) {
      throw new TypeError("not one character");
    }
    if (point < SURROGATES.from) return point;
    if (point < SURROGATES.from + SURROGATES.count) {
      throw new TypeError("a surrogate");
    }
    return point - SURROGATES.count;
  },
);

export default fc;
