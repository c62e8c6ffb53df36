/** Keeps the prose of the repository within the words of docs/glossary.md, and the names of tests short. */
import ts from "typescript";
import { z } from "zod";
import type { Finding, SourceFile } from "./source-tree.ts";

/** Longest name of a test, in characters. */
const MAX_TEST_NAME = 100;

const wordListSchema = z.strictObject({
  banned: z.array(z.strictObject({
    /** A regular expression. It matches whole words, in any case; a space also matches a line break in a comment. */
    words: z.string().min(1),
    /** What to write instead. */
    instead: z.string().min(1),
    /** A regular expression for paths in which the words are right. */
    except: z.string().min(1).optional(),
  })),
  /** Allowed uses: lines of `path` that contain `text`. Each must still exist. */
  allowed: z.array(z.strictObject({
    path: z.string().min(1),
    text: z.string().min(1),
  })),
  /** Files and folders (with a slash at the end) that are not checked yet. */
  notYetDone: z.array(z.string().min(1)),
});

/** The content of `words.json`. */
export type WordList = z.output<typeof wordListSchema>;

/** Parses `words.json`. Throws a ZodError when it is invalid. */
export function parseWordList(json: string): WordList {
  return wordListSchema.parse(JSON.parse(json));
}

/** Not written by people or not prose; the list itself; the page that explains the banned words. */
const SKIPPED =
  /^(docs\/(openapi\.json|glossary\.md)|dev\/tools\/words\.json|LICENSE|supabase\/functions\/_shared\/database\.types\.ts|tests\/fixtures\/)|(^|\/)(deno\.lock|font-data\.ts)$/;

/** Replaces everything but line breaks by spaces, so that offsets and line numbers stay the same. */
const blank = (text: string) => text.replace(/[^\n]/g, " ");

/** `text` with everything blanked except the given ranges. */
function keep(text: string, ranges: readonly (readonly [number, number])[]) {
  let kept = "", end = 0;
  for (const [from, to] of [...ranges].sort(([a], [b]) => a - b)) {
    if (from < end) continue;
    kept += blank(text.slice(end, from)) + text.slice(from, to);
    end = to;
  }
  return kept + blank(text.slice(end));
}

/** Whether a string is the path of an import. */
function isImportPath(parent: ts.Node, grandparent: ts.Node): boolean {
  return ts.isImportDeclaration(parent) || ts.isExportDeclaration(parent) ||
    ts.isLiteralTypeNode(parent) && ts.isImportTypeNode(grandparent) ||
    ts.isCallExpression(parent) &&
      parent.expression.kind === ts.SyntaxKind.ImportKeyword;
}

const COMMENT = /\/\/[^\n]*|\/\*[\s\S]*?\*\//g;

/**
 * Strings, texts of JSX, and comments. The parser finds the literals; what looks like a comment between them is one. It
 * makes no tokens, which would take most of the time.
 */
function proseOfScript(path: string, text: string): string {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest);
  const literals: { from: number; to: number; isText: boolean }[] = [];
  const visit = (node: ts.Node, parent: ts.Node, grandparent: ts.Node) => {
    const isText = ts.isStringLiteralLike(node) &&
        !isImportPath(parent, grandparent) ||
      ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node) ||
      ts.isJsxText(node);
    if (
      isText || ts.isStringLiteralLike(node) ||
      ts.isRegularExpressionLiteral(node)
    ) {
      const from = node.getStart(source, false);
      literals.push({ from, to: node.end, isText });
    } else ts.forEachChild(node, (child) => visit(child, node, parent));
  };
  visit(source, source, source);
  literals.sort((a, b) => a.from - b.from);
  const ranges: [number, number][] = [];
  let end = 0;
  for (
    const { from, to, isText } of [
      ...literals,
      { from: text.length, to: text.length, isText: false },
    ]
  ) {
    for (const { index, 0: found } of text.slice(end, from).matchAll(COMMENT)) {
      ranges.push([end + index, end + index + found.length]);
    }
    if (isText) ranges.push([from, to]);
    end = to;
  }
  return keep(text, ranges);
}

const SQL_PROSE =
  /--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$\w*\$/g;

/** Comments, strings and quoted names such as those of policies. Function bodies are read like all other text. */
function proseOfSql(text: string): string {
  return keep(
    text,
    [...text.matchAll(SQL_PROSE)].map(({ index, 0: found }) =>
      [index, index + found.length] as const
    ),
  );
}

function proseOfMarkdown(text: string): string {
  return text.replace(/^( *)(```|~~~)[\s\S]*?^\1\2.*$/gm, blank)
    .replace(/`[^`]+`/g, blank)
    .replace(/\]\([^)\s]*\)/g, blank);
}

/**
 * The prose of a file with all code blanked, or null for a file without prose. Prose is comments and strings of
 * TypeScript, JavaScript and SQL, Markdown without code, the comments of settings and shell scripts, and all of HTML.
 */
export function proseOf({ path, text }: SourceFile): string | null {
  if (SKIPPED.test(path)) return null;
  if (/\.(ts|tsx|js|mjs)$/.test(path)) return proseOfScript(path, text);
  if (/\.sql$/.test(path)) return proseOfSql(text);
  if (/\.md$|(^|\/)llms\.txt$/.test(path)) return proseOfMarkdown(text);
  if (/\.html$/.test(path)) return text;
  return /\.(toml|ya?ml|sh)$|(^|\/)\.env\.example$/.test(path)
    ? text.replace(/^(?!\s*#).*$/gm, blank)
    : null;
}

const isIn = (path: string, places: readonly string[]) =>
  places.some((place) =>
    place.endsWith("/") ? path.startsWith(place) : path === place
  );

const lineOf = (text: string, index: number) =>
  text.slice(0, index).split("\n").length;

/** Between the words of a phrase: spaces, or a line break with the start of the next comment line. */
const GAP = "(?:\\s|\\*|//|--|#)+";

/** Uses of banned words in prose, and uses that the list allows but that no longer exist. */
export function checkWords(files: SourceFile[], list: WordList): Finding[] {
  const rules = list.banned.map(({ words, instead, except }) => ({
    pattern: new RegExp(`\\b(?:${words.replaceAll(" ", GAP)})\\b`, "gi"),
    except: except === undefined ? undefined : new RegExp(except),
    instead,
  }));
  const used = new Set<number>();
  const findings: Finding[] = [];
  for (const file of files) {
    const { path, text } = file;
    if (isIn(path, list.notYetDone)) continue;
    const prose = proseOf(file);
    if (prose === null) continue;
    const rows = text.split("\n");
    for (const { pattern, except, instead } of rules) {
      if (except?.test(path)) continue;
      for (const { index, 0: found } of prose.matchAll(pattern)) {
        const line = lineOf(prose, index);
        const allowed = list.allowed.findIndex((entry) =>
          entry.path === path && rows[line - 1]?.includes(entry.text)
        );
        if (allowed >= 0) used.add(allowed);
        else {
          findings.push({
            path,
            line,
            rule: "word",
            message: `"${found.replace(/[\s*/#-]+/g, " ")}": write ${instead}`,
          });
        }
      }
    }
  }
  return [
    ...findings,
    ...list.allowed.filter((_, index) => !used.has(index)).map(({ path }) => ({
      path: "dev/tools/words.json",
      line: 1,
      rule: "word-list",
      message: `allowed: nothing in ${path} needs this entry; remove it`,
    })),
  ];
}

/** Tests of `files` with a name of more than {@link MAX_TEST_NAME} characters; placeholders do not count. */
export function checkTestNames(files: SourceFile[], list: WordList): Finding[] {
  return files.filter(({ path }) =>
    /\.test\.tsx?$/.test(path) && !isIn(path, list.notYetDone)
  ).flatMap(({ path, text }) => {
    const source = ts.createSourceFile(
      path,
      text,
      ts.ScriptTarget.Latest,
      true,
    );
    const findings: Finding[] = [];
    const visit = (node: ts.Node): void => {
      if (
        ts.isCallExpression(node) &&
        /^(Deno\.test|t\.step)\b/.test(node.expression.getText(source))
      ) {
        const [name] = node.arguments;
        if (
          name !== undefined &&
          (ts.isStringLiteralLike(name) || ts.isTemplateExpression(name))
        ) {
          const length = ts.isTemplateExpression(name)
            ? name.templateSpans.reduce(
              (sum, { literal }) => sum + literal.text.length,
              name.head.text.length,
            )
            : name.text.length;
          if (length > MAX_TEST_NAME) {
            findings.push({
              path,
              line: lineOf(text, name.getStart(source)),
              rule: "test-name",
              message:
                `the name of this test has ${length} characters; ${MAX_TEST_NAME} is the limit`,
            });
          }
        }
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
    return findings;
  });
}
