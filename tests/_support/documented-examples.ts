/// <reference path="../../dev/types/react.d.ts" />
/** The code examples of README and docs, taken from the Markdown, to be run unchanged. */
import type { ReactNode } from "react";
import { join, toFileUrl } from "@std/path";
import { repository } from "./documented-commands.ts";

/** The code blocks of a page in one language, in order. */
async function examplesOf(
  page: string,
  language: string,
): Promise<string[]> {
  const text = await Deno.readTextFile(join(repository, page));
  return [...text.matchAll(/^```(\w+)\n([^]*?)^```$/gm)]
    .filter(([, name]) => name === language)
    .map(([, , code = ""]) => code);
}

/** The one block of a page that contains some words; fails when none or several do. */
export async function exampleWith(
  page: string,
  language: string,
  words: string,
): Promise<string> {
  const found = (await examplesOf(page, language))
    .filter((code) => code.includes(words));
  const [code] = found;
  if (code === undefined || found.length > 1) {
    throw new Error(`${page}: ${found.length} examples with ${words}`);
  }
  return code;
}

/**
 * Runs an example of JavaScript: its imports first, the rest as the body of a function whose parameters are the names of
 * `given`. Resolves with the values that its variables `results` have at its end.
 */
export async function runExample(
  code: string,
  given: Record<string, unknown>,
  results: readonly string[],
): Promise<Record<string, unknown>> {
  const [imports, body] = splitImports(code);
  const run = await loadDefault(
    `${imports}
export default async ({ ${Object.keys(given).join(", ")} }) => {
${body}
return { ${results.join(", ")} };
};
`,
    ".js",
  );
  return await run(given);
}

/** Loads the component of a React example. `given` are further names that the example uses. */
export async function loadComponent(
  code: string,
  name: string,
  given: Record<string, unknown>,
): Promise<(props: Record<string, unknown>) => ReactNode> {
  const [imports, body] = splitImports(code);
  const make = await loadDefault(
    `// @ts-nocheck The example is checked as part of the client's package.
/** @jsxRuntime classic */
/** @jsx createElement */
/** @jsxFrag Fragment */
import { createElement, Fragment } from "react";
${imports}
export default ({ ${Object.keys(given).join(", ")} }) => {
${body}
return ${name};
};
`,
    ".tsx",
  );
  return make(given);
}

/** The entry points of the client's package, as examples import them. */
const PACKAGE: readonly (readonly [name: string, file: string])[] = [
  [`"edge-ai-jobs"`, "client/mod.ts"],
  [`"edge-ai-jobs/react"`, "client/react.ts"],
];

function splitImports(code: string): [imports: string, body: string] {
  const imports = PACKAGE.reduce(
    (text, [name, file]) =>
      text.replace(name, `"${toFileUrl(join(repository, file))}"`),
    (code.match(/^import [^]*?;$/gm) ?? []).join("\n"),
  );
  return [imports, code.replaceAll(/^import [^]*?;$/gm, "")];
}

async function loadDefault(code: string, extension: string) {
  const file = await Deno.makeTempFile({ suffix: extension });
  try {
    await Deno.writeTextFile(file, code);
    const module = await import(`file://${file}`);
    return module.default;
  } finally {
    await Deno.remove(file);
  }
}
