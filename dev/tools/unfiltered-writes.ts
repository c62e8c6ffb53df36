/**
 * Statements that a hosted project refuses through its API. It loads the module `safeupdate` for the login role of the
 * Data API. The module checks every statement of such a session, also inside functions (`security definer` or not), and
 * refuses an `update` or `delete` without a `where` with SQLSTATE 21000.
 */

/** An `update` or `delete` without a condition. */
export interface UnfilteredWrite {
  kind: "update" | "delete";
  /** Its beginning, on one line. */
  text: string;
}

interface Token {
  /** A word in lowercase, or one of `( ) ; ,`. */
  text: string;
  index: number;
}

const TOKEN =
  /--[^\n]*|\/\*[\s\S]*?\*\/|(?<string>\be'(?:\\[\s\S]|''|[^'\\])*'|'(?:''|[^'])*')|(?<token>"(?:""|[^"])*"|[a-z_][\w$]*|[();,])/gi;

/** Words before `update` that make it something else than a statement: a lock, a conflict's action, a trigger's event. */
const NO_STATEMENT = ["for", "key", "do", "before", "after", "or", "of", ","];

/**
 * Every `update` and `delete` without a `where` in an SQL text or function body, including text for `execute`. A
 * `where` of a subquery does not count.
 */
export function findUnfilteredWrites(sql: string): UnfilteredWrite[] {
  const tokens: Token[] = [], found: UnfilteredWrite[] = [];
  for (const { index, groups } of sql.matchAll(TOKEN)) {
    if (groups?.["string"] !== undefined) {
      const inner = groups["string"].replace(/^e?'|'$/gi, "");
      found.push(...findUnfilteredWrites(inner.replaceAll("''", "'")));
    } else if (groups?.["token"] !== undefined) {
      tokens.push({ text: groups["token"].toLowerCase(), index });
    }
  }
  tokens.forEach(({ text, index }, at) => {
    const kind = text === "update" && tokens[at + 1]?.text !== "on"
      ? text
      : text === "delete" && tokens[at + 1]?.text === "from"
      ? text
      : undefined;
    const before = tokens[at - 1]?.text;
    if (kind === undefined || NO_STATEMENT.includes(before ?? ";")) return;
    const words = wordsOfStatement(tokens, at);
    if (kind === "update" && !words.includes("set")) return;
    if (words.includes("where")) return;
    found.push({
      kind,
      text: sql.slice(index, index + 80).replaceAll(/\s+/g, " ").trim(),
    });
  });
  return found;
}

/** The words of the statement that begins at a token, without those in parentheses. */
function wordsOfStatement(tokens: Token[], from: number): string[] {
  const words: string[] = [];
  let depth = 0;
  for (const { text } of tokens.slice(from)) {
    if (text === "(") depth++;
    else if (text === ")") depth--;
    if (depth < 0 || (depth === 0 && text === ";")) break;
    if (depth === 0) words.push(text);
  }
  return words;
}
