/** Rules for documentation: comments on files and exports, working links, no paths of one machine. */
import { dirname, join } from "@std/path";
import ts from "typescript";
import {
  type Finding,
  isWrittenTypeScript,
  type SourceFile,
} from "./source-tree.ts";

/** Folders in which every exported function, class and interface must have a doc comment. */
const DOCUMENTED = /^(supabase\/functions\/_shared|client|installer|dev)\//;
/** Folders in which every file must begin with a comment. */
const HEADED = /^(supabase\/functions|client|installer|dev|web|bench)\//;

function exportedNames(node: ts.Statement): { kind: string; name: string }[] {
  const isExported = ts.canHaveModifiers(node) &&
    ts.getModifiers(node)?.some(({ kind }) =>
      kind === ts.SyntaxKind.ExportKeyword
    );
  if (!isExported) return [];
  if (ts.isFunctionDeclaration(node)) {
    return [{ kind: "function", name: node.name?.text ?? "default" }];
  }
  if (ts.isClassDeclaration(node)) {
    return [{ kind: "class", name: node.name?.text ?? "default" }];
  }
  if (ts.isInterfaceDeclaration(node)) {
    return [{ kind: "interface", name: node.name.text }];
  }
  if (!ts.isVariableStatement(node)) return [];
  return node.declarationList.declarations.flatMap(({ name, initializer }) =>
    ts.isIdentifier(name) && initializer !== undefined &&
      (ts.isArrowFunction(initializer) || ts.isFunctionExpression(initializer))
      ? [{ kind: "function", name: name.text }]
      : []
  );
}

/** Exported functions, classes and interfaces of `_shared`, `client`, `installer` and `dev` that have no doc comment. */
export function checkDocComments(files: SourceFile[]): Finding[] {
  const findings: Finding[] = [];
  for (const { path, text } of files) {
    if (!DOCUMENTED.test(path) || !isWrittenTypeScript(path)) continue;
    const source = ts.createSourceFile(
      path,
      text,
      ts.ScriptTarget.Latest,
      true, // the parser finds the comment of a node via its parent
    );
    const documented = new Set<string>();
    for (const node of source.statements) {
      const hasComment = ts.getJSDocCommentsAndTags(node).some(ts.isJSDoc);
      for (const { kind, name } of exportedNames(node)) {
        // Overloads share the comment of the first.
        if (hasComment) documented.add(name);
        if (documented.has(name)) continue;
        documented.add(name);
        const { line } = source.getLineAndCharacterOfPosition(
          node.getStart(source),
        );
        findings.push({
          path,
          line: line + 1,
          rule: "doc-comment",
          message: `${kind} ${name} is exported and has no doc comment`,
        });
      }
    }
  }
  return findings;
}

/** Files of the same folders and of every function that do not begin with a comment. */
export function checkHeadComments(files: SourceFile[]): Finding[] {
  return files.flatMap(({ path, text }) =>
    HEADED.test(path) && isWrittenTypeScript(path) &&
      !/^("use client";\n)?\/[*/]/.test(text)
      ? [{
        path,
        line: 1,
        rule: "head-comment",
        message: "does not begin with a comment on what it contains",
      }]
      : []
  );
}

/** Markdown with code blanked; line numbers stay the same. */
function withoutCode(markdown: string): string {
  const blank = (code: string) => code.replace(/[^\n]/g, " ");
  return markdown.replace(/^( *)(```|~~~)[\s\S]*?^\1\2.*$/gm, blank).replace(
    /`[^`\n]+`/g,
    blank,
  );
}

/** The anchors of a page, as GitHub generates them from its headings. */
function anchorsOf(markdown: string): Set<string> {
  const anchors = new Set<string>();
  const text = markdown.replace(
    /^( *)(```|~~~)[\s\S]*?^\1\2.*$/gm,
    "",
  );
  for (const [, heading = ""] of text.matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const base = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "").replace(/\s/g, "-");
    let anchor = base;
    for (let n = 1; anchors.has(anchor); n++) anchor = `${base}-${n}`;
    anchors.add(anchor);
  }
  for (const [, id = ""] of text.matchAll(/<a (?:id|name)="([^"]+)"/g)) {
    anchors.add(id);
  }
  return anchors;
}

const LINK =
  /\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)|^[ \t]*\[[^\]]+\]:[ \t]*<?(\S+?)>?[ \t]*$|(?:src|href)="([^"]+)"/gm;

/**
 * Links and images of markdown files and llms.txt to missing files or headings. Links to other hosts are not checked.
 */
export function checkLinks(files: SourceFile[], paths: string[]): Finding[] {
  const pages = new Map(
    files.filter(({ path }) => /\.md$|(^|\/)llms\.txt$/.test(path)).map((
      { path, text },
    ) => [path, text]),
  );
  const existing = new Set(
    paths.flatMap((path) => {
      const parts = path.split("/");
      return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
    }),
  );
  const findings: Finding[] = [];
  for (const [path, text] of pages) {
    const prose = withoutCode(text);
    for (const match of prose.matchAll(LINK)) {
      const link = match[1] ?? match[2] ?? match[3] ?? "";
      if (/^[a-z][a-z+.-]*:|^\/\//i.test(link)) continue;
      const [target = "", anchor] = decodeURI(link).split("#");
      const file = target === ""
        ? path
        : join(dirname(path), target).replace(/\/$/, "");
      const page = pages.get(file);
      const isMissing = file !== "." && !existing.has(file);
      const isLost = anchor !== undefined && page !== undefined &&
        !anchorsOf(page).has(anchor);
      if (!isMissing && !isLost) continue;
      findings.push({
        path,
        line: prose.slice(0, match.index).split("\n").length,
        rule: "link",
        message: isMissing
          ? `${link} links to a missing file`
          : `${link} links to a missing heading`,
      });
    }
  }
  return findings;
}

/** Home folders, and folders inside temporary and mounted places, which exist on one machine only. */
const MACHINE_PATH =
  /(?:file:\/\/|(?<![\w.$}/-]))(?:\/home\/[\w.-]+\/|\/Users\/[\w.-]+\/|\/root\/[\w.-]|[A-Z]:\\+Users\\|\/(?:var\/)?tmp\/[\w.-]+\/|\/(?:mnt|media|workspaces?)\/[\w.-]+\/)/;

/**
 * Lines with a path of one machine: a home folder, a checkout in a temporary folder, or `checkout`, the current folder
 * of this repository.
 */
export function checkMachinePaths(
  files: SourceFile[],
  checkout: string,
): Finding[] {
  return files.flatMap(({ path, text }) =>
    text.split("\n").flatMap((row, index) => {
      const found = MACHINE_PATH.exec(row)?.[0] ??
        (row.includes(`${checkout}/`) ? checkout : undefined);
      return found === undefined ? [] : [{
        path,
        line: index + 1,
        rule: "machine-path",
        message: `${found}… exists on one machine only`,
      }];
    })
  );
}
