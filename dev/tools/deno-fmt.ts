/** `deno fmt` for text that a program makes. */

/**
 * The text as `deno fmt` without options leaves it.
 *
 * @param extension what kind of text it is, as the ending of a file name: `ts`, `md`.
 * @throws {Error} when deno fmt does not take the text; it has said why on standard error.
 */
export async function formatText(
  source: string,
  extension: string,
): Promise<string> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--quiet", "--no-config", `--ext=${extension}`, "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const output = process.output();
  const input = process.stdin.getWriter();
  await input.write(new TextEncoder().encode(source));
  await input.close();
  const { code, stdout } = await output;
  if (code !== 0) throw new Error(`deno fmt ended with code ${code}`);
  return new TextDecoder().decode(stdout);
}
