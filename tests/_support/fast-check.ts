/** fast-check, with the same cases in every run: a change is never held up by a case that has nothing to do with it. */
import fc from "fast-check";
import { z } from "zod";

/** The seed of this process: PROPERTY_SEED, which may be `random`; without it always the same. */
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
