/**
 * Native programs from npm packages. They are neither in import_map.json nor in deno.lock: Deno fetches all packages of
 * the lock file for any task, and these two are larger than everything that the demo needs.
 */

/** Run by a separate Deno process without this project's configuration; prints the path of a file of a package. */
const LOCATE = `
  const [name, file] = Deno.args;
  await import(\`npm:/\${name}/package.json\`, { with: { type: "json" } });
  console.log(new URL(import.meta.resolve(\`npm:/\${name}/\${file}\`)).pathname);
`;

/**
 * The path of a program in Deno's npm cache, fetched on first use.
 *
 * @param name the package with its exact version, `@scope/name@1.0.0`.
 * @param file its path in the package.
 * @throws {Error} naming the package, with Deno's output, when it cannot be fetched.
 */
export async function locateNpmProgram(
  name: string,
  file: string,
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-lock", "--no-config", LOCATE, name, file],
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  if (!success) {
    throw new Error(
      `${name} could not be loaded from npm: ${decoder.decode(stderr).trim()}`,
    );
  }
  return decodeURIComponent(decoder.decode(stdout).trim());
}
