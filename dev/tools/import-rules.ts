/**
 * The allowed imports between parts, as data, and their check. It uses TypeScript's parser, so text and comments that
 * look like imports do not count.
 */
import ts from "typescript";
import { dirname, join } from "@std/path";
import {
  type Finding,
  isWrittenTypeScript,
  type SourceFile,
} from "./source-tree.ts";

const SHARED = "supabase/functions/_shared/";

/**
 * The parts of `_shared`, and the other parts that each may import. `failures` and `contracts` import nothing; `jobs`,
 * `providers`, `storage` and `http` do not know one another.
 */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  failures: [],
  contracts: [],
  "database.types.ts": [],
  database: ["failures", "database.types.ts"],
  platform: [],
  config: ["contracts", "platform"],
  media: ["contracts", "platform"],
  jobs: ["contracts", "failures", "database", "database.types.ts", "platform"],
  providers: ["contracts", "failures", "platform", "config"],
  storage: [
    "contracts",
    "failures",
    "database",
    "database.types.ts",
    "media",
    "platform",
  ],
  cache: ["contracts", "jobs", "database.types.ts", "platform", "config"],
  http: [
    "contracts",
    "failures",
    "database",
    "database.types.ts",
    "platform",
    "config",
  ],
  worker: [
    "contracts",
    "http",
    "jobs",
    "storage",
    "database",
    "database.types.ts",
    "platform",
  ],
};

/** The top folders, with the folders that each may import. */
const AREAS: Readonly<Record<string, readonly string[]>> = {
  supabase: [],
  client: [],
  installer: [],
  examples: [],
  web: ["client"],
  dev: ["supabase", "client", "installer"],
  bench: ["supabase", "client", "dev"],
  "tests/e2e": ["client", "tests/_support", "tests/fixtures"],
  "tests/browser": ["client", "tests/_support", "tests/fixtures"],
  tests: ["supabase", "client", "installer", "web", "dev", "bench", "tests"],
};

/** The folders of `dev/stack`, with those that each may import; the files next to them may import all. */
const STACK_FOLDERS: Readonly<Record<string, readonly string[]>> = {
  console: [],
  process: ["console"],
  keys: ["console"],
  project: ["console"],
  extensions: ["console"],
  postgres: ["console", "process", "project", "extensions"],
  functions: ["console", "process", "project", "keys"],
  services: ["console", "process", "project", "keys", "extensions"],
  gateway: ["console", "process", "keys", "functions", "services"],
};

/** Deployed packages: small, and known to run on the hosted edge runtime. All others are for development only. */
export const PRODUCT_PACKAGES: readonly string[] = [
  "@std/async",
  "@std/encoding",
  "@std/uuid",
  "@supabase/functions-js",
  "@supabase/server",
  "@supabase/supabase-js",
  "@upstash/redis",
  "elevenlabs",
  "ipaddr.js",
  "linebreak",
  "pdfkit",
  "standardwebhooks",
  "zod",
];

/**
 * Names that give rights beyond the caller's, and the functions that may use them, because they do not act for a user.
 */
const PRIVILEGED_NAMES: readonly string[] = [
  "createAdminClient",
  "createClient",
  "supabaseAdmin",
];
const PRIVILEGED_FUNCTIONS: readonly string[] = [
  "health",
  "janitor",
  "metrics",
  "ops",
  "process-ai-job",
  "provider-webhook",
  "render-ai-job",
];

/** The only file of the product that may use the runtime's API. */
const PLATFORM_FILE = `${SHARED}platform/deps.ts`;
const RUNTIME_NAMES = ["Deno", "EdgeRuntime"];

/** A package of npm, or of the standard library on JSR (docs/adr/0008-standard-library.md). */
const EXACT_VERSION =
  /^(?:npm:\/?(?:@[\w.-]+\/)?[\w.-]+|jsr:\/?@std\/[\w.-]+)@\d+\.\d+\.\d+(?:-[\w.-]+)?(?:\/.*)?$/;

interface Import {
  /** Undefined when it is computed. */
  specifier: string | undefined;
  line: number;
}

interface Parsed {
  imports: Import[];
  /** The identifiers of the code that a rule is about, with their lines. */
  names: Map<string, number[]>;
}

const isOfRule = (name: string) =>
  RUNTIME_NAMES.includes(name) || PRIVILEGED_NAMES.includes(name);

/** The imports (static, dynamic, re-exports, types) and names of a file, without comments and strings. */
function parse({ path, text }: SourceFile): Parsed {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest);
  const imports: Import[] = [];
  const names = new Map<string, number[]>();
  const lineOf = (node: ts.Node) =>
    source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1;
  const add = (node: ts.Node, module: ts.Node | undefined) => {
    imports.push({
      specifier: module && ts.isStringLiteralLike(module)
        ? module.text
        : undefined,
      line: lineOf(node),
    });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node, node.moduleSpecifier);
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
      add(node, node.moduleSpecifier);
    } else if (
      ts.isCallExpression(node) &&
      node.expression.kind === ts.SyntaxKind.ImportKeyword
    ) {
      add(node, node.arguments[0]);
    } else if (ts.isImportTypeNode(node)) {
      add(
        node,
        ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined,
      );
    } else if (ts.isIdentifier(node) && isOfRule(node.text)) {
      names.set(node.text, [...names.get(node.text) ?? [], lineOf(node)]);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return { imports, names };
}

function areaOf(path: string): string {
  return Object.keys(AREAS).find((area) => path.startsWith(`${area}/`)) ??
    path.split("/")[0] ?? "";
}

/** The folder of `dev/stack` of a path; empty for a file next to the folders, undefined elsewhere. */
function stackFolderOf(path: string): string | undefined {
  return /^dev\/stack\/(?:([^/]+)\/)?[^/]/.exec(path)?.slice(1)
    .map((folder) => folder ?? "")[0];
}

/** `_shared`'s part that a path belongs to, or the name of the function. */
function partOf(
  path: string,
): { layer: string } | { endpoint: string } | undefined {
  const rest = path.startsWith("supabase/functions/")
    ? path.slice("supabase/functions/".length)
    : undefined;
  if (rest === undefined) return undefined;
  const [first = "", second = ""] = rest.split("/");
  return first === "_shared" ? { layer: second } : { endpoint: first };
}

/** The package of this repository. Only examples import it by its name, as an app does. */
const OWN_PACKAGE = /^edge-ai-jobs(\/|$)/;

/** Whether a file is an app's: checked and run with the package installed, not with this repository's import map. */
export function isExample(path: string): boolean {
  return path.startsWith("examples/");
}

function isMapped(
  specifier: string,
  imports: Readonly<Record<string, string>>,
): boolean {
  return specifier in imports ||
    Object.keys(imports).some((key) =>
      key.endsWith("/") && specifier.startsWith(key)
    );
}

/** Objection to an import of another file of this repository, if any. */
function checkDirection(
  from: string,
  to: string,
): [rule: string, message: string] | undefined {
  const fromArea = areaOf(from), toArea = areaOf(to);
  // `tests` lists itself, because two of its folders are areas of their own.
  if (
    fromArea !== toArea &&
    !(AREAS[fromArea] ?? []).some((area) => to.startsWith(`${area}/`))
  ) {
    return ["area", `${fromArea}/ may not import ${to}`];
  }
  const fromFolder = stackFolderOf(from), toFolder = stackFolderOf(to);
  if (
    fromFolder !== undefined && toFolder !== undefined &&
    fromFolder !== toFolder
  ) {
    const allowed = STACK_FOLDERS[fromFolder];
    if (fromFolder !== "" && !allowed?.includes(toFolder)) {
      return [
        "stack-folder",
        allowed === undefined
          ? `dev/stack/${fromFolder} is not in STACK_FOLDERS yet`
          : `dev/stack/${fromFolder} may not import ${to}`,
      ];
    }
  }
  const source = partOf(from), target = partOf(to);
  if (source === undefined || target === undefined) return undefined;
  if ("endpoint" in target) {
    if ("layer" in source) {
      return [
        "layer",
        `_shared may not import the function ${target.endpoint}`,
      ];
    }
    if (source.endpoint !== target.endpoint) {
      return ["function", `one function may not import another (${to})`];
    }
    return undefined;
  }
  if ("endpoint" in source || source.layer === target.layer) return undefined;
  const allowed = LAYERS[source.layer];
  if (allowed === undefined) {
    return [
      "layer",
      `_shared/${source.layer} is not in LAYERS yet`,
    ];
  }
  if (!allowed.includes(target.layer)) {
    return [
      "layer",
      `_shared/${source.layer} may not import _shared/${target.layer}`,
    ];
  }
  return undefined;
}

/**
 * The packages that the files of `folders` import, as `npm:name@version` or `jsr:name@version` of `imports`. Computed
 * imports are not found; `except` names files to skip.
 */
export function importedPackages(
  files: SourceFile[],
  imports: Readonly<Record<string, string>>,
  folders: readonly string[],
  except: readonly string[] = [],
): Set<string> {
  const packages = new Set<string>();
  for (const file of files) {
    const isIn = folders.some((folder) => file.path.startsWith(`${folder}/`));
    if (
      !isIn || except.includes(file.path) || !isWrittenTypeScript(file.path)
    ) continue;
    for (const { specifier = "" } of parse(file).imports) {
      const [, registry, name] = /^(npm|jsr):\/?((?:@[^/]+\/)?[^/]+)/
        .exec(imports[specifier] ?? "") ?? [];
      if (name !== undefined) packages.add(`${registry}:${name}`);
    }
  }
  return packages;
}

function checkPackage(
  path: string,
  specifier: string,
  imports: Readonly<Record<string, string>>,
): [rule: string, message: string] | undefined {
  if (specifier.startsWith("node:")) return undefined;
  if (/^[a-z]+:/.test(specifier)) {
    return [
      "address",
      `"${specifier}": write the bare name, and the version in import_map.json`,
    ];
  }
  if (isExample(path) && OWN_PACKAGE.test(specifier)) return undefined;
  if (!isMapped(specifier, imports)) {
    return ["unmapped", `"${specifier}" is not in import_map.json`];
  }
  const isProduct = areaOf(path) === "supabase" &&
    !PRODUCT_PACKAGES.some((name) =>
      specifier === name || specifier.startsWith(`${name}/`)
    );
  return isProduct
    ? [
      "product-package",
      `"${specifier}" is not one of the packages that are deployed`,
    ]
    : undefined;
}

function* checkNames(
  path: string,
  names: Parsed["names"],
): Generator<[number, string, string]> {
  const part = partOf(path);
  if (part === undefined) return;
  if (path !== PLATFORM_FILE) {
    for (const name of RUNTIME_NAMES) {
      for (const line of names.get(name) ?? []) {
        yield [
          line,
          "platform",
          `${name} may only be used in ${PLATFORM_FILE}; use PlatformDeps elsewhere`,
        ];
      }
    }
  }
  if ("endpoint" in part && PRIVILEGED_FUNCTIONS.includes(part.endpoint)) {
    return;
  }
  for (const name of PRIVILEGED_NAMES) {
    for (const line of names.get(name) ?? []) {
      yield [
        line,
        "privilege",
        `${name} is for ${
          PRIVILEGED_FUNCTIONS.join(", ")
        } alone: endpoints act as their caller`,
      ];
    }
  }
}

/**
 * Entries of an import map other than exact versions of packages of npm or of the standard library on JSR. Files of
 * this repository are not allowed either, because the Supabase CLI uploads the whole import map with every function.
 */
export function checkImportMap(
  imports: Readonly<Record<string, string>>,
  text: string,
): Finding[] {
  return Object.entries(imports).flatMap(([name, target]) => {
    if (EXACT_VERSION.test(target)) return [];
    const line = text.split("\n").findIndex((row) =>
      row.includes(`"${name}"`)
    ) + 1;
    return [{
      path: "import_map.json",
      line,
      rule: "exact-version",
      message:
        `"${name}" must name an exact version of a package of npm or of jsr:@std, not ${target}`,
    }];
  });
}

/**
 * Everything that violates {@link LAYERS}, {@link AREAS}, {@link STACK_FOLDERS}, {@link PRODUCT_PACKAGES} or the rules
 * about names, in all TypeScript of `files`. `imports` are those of import_map.json.
 */
export function checkImports(
  files: SourceFile[],
  imports: Readonly<Record<string, string>>,
): Finding[] {
  const findings: Finding[] = [];
  for (const file of files) {
    if (!isWrittenTypeScript(file.path)) continue;
    const object = (line: number, rule: string, message: string) => {
      findings.push({ path: file.path, line, rule, message });
    };
    const parsed = parse(file);
    for (const { specifier, line } of parsed.imports) {
      if (specifier === undefined) {
        if (areaOf(file.path) === "supabase") {
          object(
            line,
            "computed",
            "a computed import is not found when the function is deployed",
          );
        }
        continue;
      }
      const objection = /^\.{0,2}\//.test(specifier)
        ? checkDirection(file.path, join(dirname(file.path), specifier))
        : checkPackage(file.path, specifier, imports);
      if (objection) object(line, ...objection);
    }
    for (const [line, rule, message] of checkNames(file.path, parsed.names)) {
      object(line, rule, message);
    }
  }
  return findings;
}
