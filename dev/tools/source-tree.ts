/** The files of this repository as the checks see them: what is committed or could be, and nothing that is made. */
/** One text file; `path` is relative to the root of the repository, with forward slashes. */
export interface SourceFile {
  path: string;
  text: string;
}

/** Folders that hold nothing of ours: version control, caches, data of a local stack. */
const SKIPPED = /^(\.git|\.data|dist|node_modules|coverage|\.temp|\.branches)$/;

const TEXT =
  /\.(ts|tsx|js|mjs|json|md|sql|toml|ya?ml|sh|html|css|svg|txt)$|(^|\/)(\.env\.example|\.gitignore|run|LICENSE)$/;

/** The paths of all files below `root`, binary ones as well, relative to it and in order. */
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

/** Whether it is TypeScript that people write: no declarations, nothing generated. */
export function isWrittenTypeScript(path: string): boolean {
  return /\.tsx?$/.test(path) && !/\.d\.ts$|\.types\.ts$/.test(path) &&
    !path.startsWith("tests/fixtures/");
}

/** Something that a check objects to. */
export interface Finding {
  path: string;
  /** 1-based. */
  line: number;
  /** Short name of the rule, for tests and for people to search for. */
  rule: string;
  message: string;
}

/**
 * The end of every check: prints the findings as `path:line rule: message`, and resolves with the exit code, 1 if
 * there are any.
 */
export async function report(findings: Finding[]): Promise<0 | 1> {
  const lines = findings.map(({ path, line, rule, message }) =>
    `${path}:${line} ${rule}: ${message}\n`
  );
  await Deno.stdout.write(new TextEncoder().encode(lines.join("")));
  return findings.length === 0 ? 0 : 1;
}
