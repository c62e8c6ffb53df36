/** The files of this repository for the checks: everything that is or could be committed, without generated folders. */
/** One text file; `path` is relative to the root of the repository, with forward slashes. */
export interface SourceFile {
  path: string;
  text: string;
}

/** Folders to skip: version control, caches, data of a local stack. */
const SKIPPED = /^(\.git|\.data|dist|node_modules|coverage|\.temp|\.branches)$/;

const TEXT =
  /\.(ts|tsx|js|mjs|json|md|sql|toml|ya?ml|sh|html|css|svg|txt)$|(^|\/)(\.env\.example|\.gitignore|run|LICENSE)$/;

/** The relative paths of all files below `root`, including binary ones, sorted. */
export async function listSourcePaths(root: string): Promise<string[]> {
  return (await listFiles(root, "")).sort();
}

/** Reads every text file below `root`, in the order of their paths. */
export async function readSourceTree(root: string): Promise<SourceFile[]> {
  const paths = await listSourcePaths(root);
  return await Promise.all(
    paths.filter((path) => TEXT.test(path)).map(async (path) => ({
      path,
      text: await Deno.readTextFile(`${root}/${path}`),
    })),
  );
}

async function listFiles(root: string, folder: string): Promise<string[]> {
  const paths: string[] = [];
  for await (
    const { name, isDirectory, isFile } of Deno.readDir(`${root}/${folder}`)
  ) {
    if (isFile) paths.push(folder + name);
    else if (isDirectory && !SKIPPED.test(name)) {
      paths.push(...await listFiles(root, `${folder}${name}/`));
    }
  }
  return paths;
}

/** Whether it is hand-written TypeScript: no declarations, nothing generated. */
export function isWrittenTypeScript(path: string): boolean {
  return /\.tsx?$/.test(path) && !/\.d\.ts$|\.types\.ts$/.test(path) &&
    !path.startsWith("tests/fixtures/");
}

/** A violation of a check. */
export interface Finding {
  path: string;
  /** 1-based. */
  line: number;
  /** Short name of the rule, for tests and for searching. */
  rule: string;
  message: string;
}

/**
 * The end of every check: prints the findings as `path:line rule: message`, and resolves with the exit code, 1 if there
 * are any.
 */
export async function report(findings: Finding[]): Promise<0 | 1> {
  const lines = findings.map(({ path, line, rule, message }) =>
    `${path}:${line} ${rule}: ${message}\n`
  );
  await Deno.stdout.write(new TextEncoder().encode(lines.join("")));
  return findings.length === 0 ? 0 : 1;
}
