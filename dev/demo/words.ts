// deno-lint-ignore-file no-console -- a program whose purpose is to show something
/** What the demo says on standard output. */

/** A line, or several. */
export function say(text: string): void {
  console.log(text);
}

/** What has just happened, in the column where a person looks for it. */
export function step(what: string, text: string, width = 10): void {
  console.log(`  ${what.padEnd(width)} ${text}`);
}

/** Two spaces before each line. */
export function indent(text: string): string {
  return text.replaceAll(/^/gm, "  ");
}
