/** The numbers in README.md. A run of all mutants can write them; every run checks them. */
import { fromFileUrl } from "@std/path";

const README = fromFileUrl(new URL("./README.md", import.meta.url));
const START = "<!-- counts -->";
const END = "<!-- /counts -->";

/** The sentence about the numbers, from the reasons of all mutants: undefined for one that must be seen. */
export function countsOf(reasons: (string | undefined)[]): string {
  const equivalent = reasons.filter((reason) => reason !== undefined).length;
  return `${reasons.length} mutants: ${
    reasons.length - equivalent
  } are seen, ${equivalent} are declared equivalent, none survives.`;
}

/** The sentence that README.md has now. */
export async function countsIn(): Promise<string> {
  const text = await Deno.readTextFile(README);
  const [start, end] = [text.indexOf(START), text.indexOf(END)];
  if (start < 0 || end < start) throw new Error("README.md has no counts");
  return text.slice(start + START.length, end).trim();
}

/** Writes the sentence into README.md. */
export async function writeCounts(counts: string): Promise<void> {
  const text = await Deno.readTextFile(README);
  const [start, end] = [text.indexOf(START), text.indexOf(END)];
  if (start < 0 || end < start) throw new Error("README.md has no counts");
  await Deno.writeTextFile(
    README,
    `${text.slice(0, start + START.length)}\n\n${counts}\n\n${text.slice(end)}`,
  );
}
