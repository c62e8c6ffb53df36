/** The style rule for SQL: everything except strings, comments and quoted names is lowercase. */

/** A word that is not lowercase. */
export interface UppercaseWord {
  word: string;
  /** 1-based. */
  line: number;
}

/**
 * Tokens to skip, in this order: comments, strings (with doubled quotes, or backslashes after `e`), quoted names, the
 * delimiters of dollar-quoted bodies (bodies are code and are checked); then the words.
 */
const TOKEN =
  /--[^\n]*|\/\*[\s\S]*?\*\/|\be'(?:\\[\s\S]|''|[^'\\])*'|'(?:''|[^'])*'|"(?:""|[^"])*"|\$\w*\$|(?<word>[a-z_][\w$]*)/gi;

/** Words with an uppercase letter outside comments, strings and quoted names. */
export function findUppercaseWords(sql: string): UppercaseWord[] {
  const found: UppercaseWord[] = [];
  for (const match of sql.matchAll(TOKEN)) {
    const word = match.groups?.word;
    if (word === undefined || word === word.toLowerCase()) continue;
    found.push({ word, line: sql.slice(0, match.index).split("\n").length });
  }
  return found;
}
