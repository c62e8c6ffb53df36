/** Which files a change can break: those that changed, and every file that imports one of them, directly or not. */
import type { SourceFile } from "./source-tree.ts";

/** The specifier of a static import or export, of a dynamic import of a text, and of a type import. */
const RELATIVE = /\b(?:from|import)\s*\(?\s*["'](\.{1,2}\/[^"']+)["']/g;
const TYPESCRIPT = /\.tsx?$/;

/**
 * The TypeScript files among `changed`, and those of `files` that depend on one, in the order of their paths. Only
 * relative imports are followed; computed ones are not seen.
 */
export function withDependents(
  files: readonly SourceFile[],
  changed: readonly string[],
): string[] {
  const importers = new Map<string, string[]>();
  for (const { path, text } of files) {
    if (!TYPESCRIPT.test(path)) continue;
    for (const [, specifier = ""] of text.matchAll(RELATIVE)) {
      const target = new URL(specifier, `file:///${path}`).pathname.slice(1);
      importers.set(target, [...(importers.get(target) ?? []), path]);
    }
  }
  const found = new Set(changed.filter((path) => TYPESCRIPT.test(path)));
  // The iteration of a set includes elements that are added during it.
  for (const path of found) {
    for (const importer of importers.get(path) ?? []) found.add(importer);
  }
  return [...found].sort();
}
