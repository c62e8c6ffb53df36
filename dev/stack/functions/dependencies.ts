/** The npm packages of the functions, fetched before any of them starts. */
import { denoArguments } from "./command.ts";
import type { DenoCommand } from "./deno.ts";
import type { FunctionDefinition } from "../project/project.ts";
import { StackError } from "../console/stack-error.ts";

/** Fetches the imports of entry files into Deno's cache. Returns undefined on success, else Deno's output. */
async function cache(
  deno: DenoCommand,
  args: string[],
  definitions: FunctionDefinition[],
  projectDir: string,
): Promise<string | undefined> {
  const { success, stderr } = await new Deno.Command(deno.program, {
    args: [
      "cache",
      "--quiet",
      ...args,
      ...definitions.map(({ entrypoint }) => entrypoint),
    ],
    cwd: projectDir,
    env: { ...deno.env, NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  return success ? undefined : new TextDecoder().decode(stderr).trim();
}

/**
 * Fetches the imports of all functions into Deno's cache; fast when they are cached. It uses the environment of this
 * process, which has the proxy and certificates that functions lack, and does not count towards a function's boot time.
 *
 * @throws {StackError} with the function and Deno's output when an import cannot be fetched or resolved.
 */
export async function fetchDependencies(
  definitions: FunctionDefinition[],
  projectDir: string,
  deno: DenoCommand,
): Promise<void> {
  const groups = new Map<
    string,
    { args: string[]; members: FunctionDefinition[] }
  >();
  for (const definition of definitions) {
    const args = await denoArguments(definition, projectDir, deno);
    const group = groups.get(args.join(" ")) ?? { args, members: [] };
    group.members.push(definition);
    groups.set(args.join(" "), group);
  }
  for (const { args, members } of groups.values()) {
    if (await cache(deno, args, members, projectDir) === undefined) continue;
    // First all in one command, which is fast; on failure one by one, to name the function.
    for (const definition of members) {
      const said = await cache(deno, args, [definition], projectDir);
      if (said === undefined) continue;
      throw new StackError(
        `Function ${definition.slug} cannot be loaded. Its output:\n${said}`,
      );
    }
  }
}
