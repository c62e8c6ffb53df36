/** Checks the developer's variables as the functions of this repository do, before anything starts. */
import {
  envSchema,
  findEnvProblems,
} from "../../../supabase/functions/_shared/config/env.ts";
import { StackError } from "../console/stack-error.ts";

/** Values that the stack sets itself, in a valid form. */
const setByStack = {
  SUPABASE_URL: "http://127.0.0.1",
  SUPABASE_PUBLISHABLE_KEYS: '{"default":"any"}',
  SUPABASE_SECRET_KEYS: '{"default":"any"}',
  DISPATCH_SECRET: `whsec_${"A".repeat(32)}`,
};

/** Throws {@link StackError} with each variable that the functions would refuse, where it is set, and why. */
export function checkFunctionEnv(env: Record<string, string>): void {
  const problems = findEnvProblems({ ...env, ...setByStack });
  if (problems.length === 0) return;
  const lines = problems.map(({ name, problem }) =>
    `  ${name}${whereSet(name, env)}: ${problem}\n`
  );
  throw new StackError(
    `The functions cannot start with these variables:\n${
      lines.join("")
    }Correct or empty them; .env.example says what they mean.`,
  );
}

function whereSet(name: string, env: Record<string, string>): string {
  if (Deno.env.has(name)) return ", set in the environment";
  return name in env ? ", set in supabase/functions/.env" : "";
}

/** The given names that the functions do not read, probably misspelt. */
export function namesNotRead(names: string[]): string[] {
  return names.filter((name) => !Object.hasOwn(envSchema.shape, name));
}
