// deno-lint-ignore-file no-console -- a program whose purpose is to show something
/** Prints the demo's lines to standard output. */

/** Prints one or several lines. */
export function say(text: string): void {
  console.log(text);
}

/** Prints an event with its label in a column of fixed width. */
export function step(what: string, text: string, width = 10): void {
  console.log(`  ${what.padEnd(width)} ${text}`);
}

/** Indents each line by two spaces. */
export function indent(text: string): string {
  return text.replaceAll(/^/gm, "  ");
}
