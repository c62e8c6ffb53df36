/** The npm packages of the functions, fetched before any of them starts. */
import type { FunctionDefinition } from "./project.ts";
import { denoArguments } from "./function-process.ts";
import { StackError } from "./stack-error.ts";

/**
 * Puts everything that the functions import into Deno's cache; does nothing that takes time when it is there. With the
 * environment of this process, since the functions' own has neither its proxy nor its certificates; and outside the
 * time that a function has for its start.
 *
 * @throws {StackError} with what Deno said when something cannot be fetched or resolved.
 */
export async function fetchDependencies(
  definitions: FunctionDefinition[],
  projectDir: string,
): Promise<void> {
  const groups = new Map<string, { args: string[]; entries: string[] }>();
  for (const definition of definitions) {
    const args = await denoArguments(definition, projectDir);
    const group = groups.get(args.join(" ")) ?? { args, entries: [] };
    group.entries.push(definition.entrypoint);
    groups.set(args.join(" "), group);
  }
  for (const { args, entries } of groups.values()) {
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["cache", "--quiet", ...args, ...entries],
      cwd: projectDir,
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!success) {
      throw new StackError(
        `What the functions import could not be fetched. Deno said:\n${
          new TextDecoder().decode(stderr).trim()
        }`,
      );
    }
  }
}
