/** The house rule of the migrations' text: everything that Postgres does not read as text is written in lowercase. */

/** A word that is not lowercase. */
export interface UppercaseWord {
  word: string;
  /** 1-based. */
  line: number;
}

/**
 * What to pass over, in this order: comments, text (with doubled quotes, or backslashes after `e`), quoted names,
 * the marks around dollar-quoted bodies (the bodies themselves are code here, and are looked at); then the words.
 */
const TOKEN =
  /--[^\n]*|\/\*[\s\S]*?\*\/|\be'(?:\\[\s\S]|''|[^'\\])*'|'(?:''|[^'])*'|"(?:""|[^"])*"|\$\w*\$|(?<word>[a-z_][\w$]*)/gi;

/** The words of an SQL text outside of comments, strings and quoted names that have an uppercase letter. */
export function findUppercaseWords(sql: string): UppercaseWord[] {
  const found: UppercaseWord[] = [];
  for (const match of sql.matchAll(TOKEN)) {
    const word = match.groups?.word;
    if (word === undefined || word === word.toLowerCase()) continue;
    found.push({ word, line: sql.slice(0, match.index).split("\n").length });
  }
  return found;
}
