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

const CLASS = /^(?:var ([\w$]+) = |export default |export )?class\b.*\{$/;
const COMMENT = /^\s*(?:\/\*\*|\* |\*\/|\*$|\/\/)/;
/** Text of several words, which cannot be a member's name. */
const SENTENCE = /"[^"\\]* [^"\\]*"|`[^`\\$]* [^`\\$]*`/g;

/** A member of a class in the lines from `start` to before `end`. */
interface Member {
  name: string;
  /** The name of its class, as far as the bundle gives it one. */
  owner: string | undefined;
  start: number;
  end: number;
}

function namesIn(lines: readonly string[]): Set<string> {
  return new Set(
    lines.flatMap((line) => line.replace(SENTENCE, "").match(/[\w$]+/g) ?? []),
  );
}

function membersOf(lines: readonly string[]): Member[] {
  const members: Member[] = [];
  let isInClass = false;
  let owner: string | undefined;
  let end = 0;
  for (const [start, line] of lines.entries()) {
    if (start < end) continue;
    const found = CLASS.exec(line);
    if (found !== null) [isInClass, owner] = [true, found[1]];
    else if (line.startsWith("}")) isInClass = false;
    if (!isInClass) continue;
    const method = METHOD.exec(line)?.[1];
    const name = method ?? ASSIGNED_OBJECT.exec(line)?.[1] ?? "";
    if (name === "" || CALLED_BY_LANGUAGE.has(name)) continue;
    end = lines.indexOf(method === undefined ? "    };" : "  }", start) + 1;
    members.push({ name, owner, start, end });
  }
  return members;
}

/**
 * The code without the methods, and the object literals assigned to members, whose names occur neither outside such
 * members nor in one that is kept. A name in a string counts as a use, unless the string has spaces. Classes in `unused`
 * are never constructed and lose all their members; members in it, as `Class.member`, are never called.
 *
 * `code` is a bundle as esbuild prints it without `--minify`: two spaces per level, the classes at the top level.
 */
export function pruneMembers(
  code: string,
  unused: ReadonlySet<string> = new Set(),
): string {
  const lines = code.split("\n").filter((line) => !COMMENT.test(line));
  const members = membersOf(lines);
  const isMember = new Set(
    members.flatMap(({ start, end }) => range(start, end)),
  );
  const used = namesIn(lines.filter((_line, index) => !isMember.has(index)));
  let unreached = members;
  for (;;) {
    const reached = unreached.filter(({ name, owner }) =>
      used.has(name) && !unused.has(owner ?? "") &&
      !unused.has(`${owner}.${name}`)
    );
    if (reached.length === 0) break;
    for (const { start, end } of reached) {
      for (const name of namesIn(lines.slice(start, end))) used.add(name);
    }
    unreached = unreached.filter((member) => !reached.includes(member));
  }
  const isUnused = new Set(
    unreached.flatMap(({ start, end }) => range(start, end)),
  );
  return lines.filter((_line, index) => !isUnused.has(index)).join("\n");
}

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_none, index) => start + index);
}
