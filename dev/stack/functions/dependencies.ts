/** The npm packages of the functions, fetched before any of them starts. */
import { denoArguments } from "./command.ts";
import type { DenoCommand } from "./deno.ts";
import type { FunctionDefinition } from "../project/project.ts";
import { StackError } from "../console/stack-error.ts";

/** Puts what entry files import into Deno's cache. Undefined when that worked, else what Deno said. */
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
 * Puts everything that the functions import into Deno's cache; does nothing that takes time when it is there. With the
 * environment of this process, since the functions' own has neither its proxy nor its certificates; and outside the
 * time that a function has for its start.
 *
 * @throws {StackError} naming the function, with what Deno said, when something cannot be fetched or resolved.
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
    // All at once is fast; one at a time shows which one failed.
    for (const definition of members) {
      const said = await cache(deno, args, [definition], projectDir);
      if (said === undefined) continue;
      throw new StackError(
        `Function ${definition.slug} cannot be loaded. Deno said:\n${said}`,
      );
    }
  }
}
