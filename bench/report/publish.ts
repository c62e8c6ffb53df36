/** Placeholder until the tables are designed. */
import type { Result } from "./record.ts";

/** Writes results/latest.jsonl. */
export async function publish(results: readonly Result[]): Promise<void> {
  await Deno.writeTextFile(
    new URL("../results/latest.jsonl", import.meta.url),
    results.map((result) => `${JSON.stringify(result)}\n`).join(""),
  );
}
