/** Generated files that are committed: written, or compared with the committed text. */
import { relative } from "@std/path";

/** Whether a generated file is up to date, and the difference if not. */
export type Comparison = { isCurrent: true } | {
  isCurrent: false;
  difference: string;
};

const SHOWN_LINES = 12;

/**
 * Compares two texts by lines. The difference spans the first to the last differing line, shortened to a few lines of
 * each side: `-` is the current text, `+` the expected one.
 */
export function compareTexts(actual: string, expected: string): Comparison {
  if (actual === expected) return { isCurrent: true };
  const before = actual.split("\n"), after = expected.split("\n");
  const shorter = Math.min(before.length, after.length);
  let head = 0;
  while (head < shorter && before[head] === after[head]) head++;
  let tail = 0;
  while (
    tail < shorter - head &&
    before[before.length - 1 - tail] === after[after.length - 1 - tail]
  ) tail++;
  const side = (sign: string, lines: string[]) => {
    const shown = lines.slice(head, lines.length - tail);
    const rest = shown.length - SHOWN_LINES;
    return [
      ...shown.slice(0, SHOWN_LINES).map((line) => `${sign} ${line}`),
      ...(rest > 0 ? [`${sign} … ${rest} more lines`] : []),
    ];
  };
  return {
    isCurrent: false,
    difference: [
      `from line ${head + 1}:`,
      ...side("-", before),
      ...side("+", after),
    ].join("\n"),
  };
}

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

/**
 * The end of every generator: writes `content` to `path`, or with `--check` among `args` compares it with the file and
 * names the task that updates it. Resolves with the exit code: 0, or 1 when the check fails.
 */
export async function writeOrCheck(
  file: { path: string; content: string; task: string },
  args: string[],
  say: (text: string) => void = print,
): Promise<0 | 1> {
  const name = relative(Deno.cwd(), file.path);
  if (!args.includes("--check")) {
    await Deno.writeTextFile(file.path, file.content);
    say(`Wrote ${name}`);
    return 0;
  }
  const comparison = compareTexts(await readIfThere(file.path), file.content);
  if (comparison.isCurrent) return 0;
  say(
    `${name} is not up to date. Run: deno task ${file.task}\n${comparison.difference}`,
  );
  return 1;
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}
