/** Publishes the results of a run: results/latest.jsonl and the tables of docs/benchmarks.md. */
import { fromFileUrl } from "@std/path";
import type { Result } from "./record.ts";
import { renderRun, renderTables } from "./tables.ts";
import { judge, renderVerdicts } from "./targets.ts";

const latest = new URL("../results/latest.jsonl", import.meta.url);
const document = new URL("../../docs/benchmarks.md", import.meta.url);

const BEGIN = "<!-- engine results: written by deno task bench --publish -->";
const END = "<!-- end of engine results -->";

/** Replaces the text between the two marks of the document. Throws when the marks are missing. */
export function replaceResults(markdown: string, text: string): string {
  const begin = markdown.indexOf(BEGIN), end = markdown.indexOf(END);
  if (begin === -1 || end < begin) {
    throw new Error(`the document has no place for results (${BEGIN})`);
  }
  return `${markdown.slice(0, begin)}${BEGIN}\n\n${text}\n${
    markdown.slice(end)
  }`;
}

/** Writes both. Throws without results, or when the document has no place for them. */
export async function publish(results: readonly Result[]): Promise<void> {
  const text = [
    renderRun(results),
    renderVerdicts(judge(results)),
    renderTables(results),
  ].join("\n");
  const markdown = replaceResults(await Deno.readTextFile(document), text);
  await Deno.writeTextFile(
    latest,
    results.map((result) => `${JSON.stringify(result)}\n`).join(""),
  );
  await Deno.writeTextFile(document, markdown);
  await new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--quiet", fromFileUrl(document)],
  }).output();
}
