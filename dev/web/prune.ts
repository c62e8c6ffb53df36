/**
 * Removes members of classes that nothing in a bundle can reach. Bundlers drop unused functions, but never unused
 * methods.
 */

/** Members that the language itself calls. */
const CALLED_BY_LANGUAGE = new Set([
  "constructor",
  "catch",
  "finally",
  "next",
  "return",
  "then",
  "throw",
  "toJSON",
  "toString",
  "valueOf",
]);

/** The first line of a method, and of a member to which a constructor assigns an object literal. */
const METHOD = /^ {2}(?:static )?(?:async )?\*?(?:[gs]et )?([\w$]+)\(.*\) \{$/;
const ASSIGNED_OBJECT = /^ {4}this\.([\w$]+) = \{$/;

const CLASS = /^(?:var [\w$]+ = |export default |export )?class\b.*\{$/;
const COMMENT = /^\s*(?:\/\*\*|\* |\*\/|\*$|\/\/)/;
/** Text of several words, which cannot be a member's name. */
const SENTENCE = /"[^"\\]* [^"\\]*"|`[^`\\$]* [^`\\$]*`/g;

function countNames(lines: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const line of lines) {
    for (const [name] of line.replace(SENTENCE, "").matchAll(/[\w$]+/g)) {
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  return counts;
}

/**
 * The code without the methods, and the object literals assigned to members, whose names occur nowhere else in it than
 * in themselves; repeated until there are none. A name in a string counts as a use, unless the string has spaces.
 *
 * `code` is a bundle as esbuild prints it without `--minify`: two spaces per level, the classes at the top level.
 */
export function pruneMembers(code: string): string {
  const lines = code.split("\n").filter((line) => !COMMENT.test(line));
  const kept = pruneOnce(lines);
  return kept.length === lines.length
    ? kept.join("\n")
    : pruneMembers(kept.join("\n"));
}

function pruneOnce(lines: readonly string[]): string[] {
  const counts = countNames(lines);
  let isInClass = false;
  let end: string | undefined;
  return lines.filter((line, index) => {
    if (end !== undefined) {
      if (line === end) end = undefined;
      return false;
    }
    if (CLASS.test(line)) isInClass = true;
    else if (line.startsWith("}")) isInClass = false;
    if (!isInClass) return true;
    const method = METHOD.exec(line)?.[1];
    const name = method ?? ASSIGNED_OBJECT.exec(line)?.[1] ?? "";
    if (name === "" || CALLED_BY_LANGUAGE.has(name)) return true;
    const last = method === undefined ? "    };" : "  }";
    // A use within the member itself does not make it reachable.
    const own = counts.get(name) === 1
      ? 1
      : countNames(lines.slice(index, lines.indexOf(last, index))).get(name);
    if (counts.get(name) !== own) return true;
    end = last;
    return false;
  });
}
