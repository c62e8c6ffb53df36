/** Runs `deno fmt` on generated text. */

/**
 * The text as formatted by `deno fmt` without options.
 *
 * @param extension the kind of text as a file extension: `ts`, `md`.
 * @throws {Error} when deno fmt fails; its message is on standard error.
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
