/** The developer's own variables for the functions. */
import { join } from "@std/path";
import { parse } from "dotenv";
import { findStrayLine } from "./env-file.ts";
import { StackError } from "../console/stack-error.ts";

async function readIfThere(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

/**
 * The variables of `supabase/functions/.env`; none when the file does not exist. Throws {@link StackError} with the
 * line that is not an assignment.
 */
export async function readFunctionsEnvFile(
  projectDir: string,
): Promise<Record<string, string>> {
  const text = await readIfThere(
    join(projectDir, "supabase", "functions", ".env"),
  );
  const line = findStrayLine(text);
  if (line !== undefined) {
    throw new StackError(
      `supabase/functions/.env, line ${line}: must be NAME=value, a comment (#) or empty.`,
    );
  }
  return parse(text);
}

/** Every name in `.env.example`, including those in comments. */
function namesIn(example: string): string[] {
  return [...example.matchAll(/^\s*#?\s*([A-Z][A-Z0-9_]*)=/gm)].flatMap((
    [, name],
  ) => name ?? []);
}

/**
 * The variables of `supabase/functions/.env`, overridden by those of this process that `.env.example` lists. Empty
 * values count as unset. Names beginning with SUPABASE_ are reserved for the platform and left out.
 */
export async function readProjectEnv(
  projectDir: string,
): Promise<Record<string, string>> {
  const [file, example] = await Promise.all([
    readFunctionsEnvFile(projectDir),
    readIfThere(join(projectDir, ".env.example")),
  ]);
  const fromProcess = namesIn(example).flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  });
  const all: Record<string, string> = {
    ...file,
    ...Object.fromEntries(fromProcess),
  };
  return Object.fromEntries(
    Object.entries(all).filter(([name, value]) =>
      value !== "" && !name.startsWith("SUPABASE_")
    ),
  );
}
