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

export default fc;
