/** The developer's own variables, checked as the functions of this repository check them, before anything starts. */
import {
  envSchema,
  findEnvProblems,
} from "../../../supabase/functions/_shared/config/env.ts";
import { StackError } from "../console/stack-error.ts";

/** What the stack sets itself, in a form that is right. */
const setByStack = {
  SUPABASE_URL: "http://127.0.0.1",
  SUPABASE_PUBLISHABLE_KEYS: '{"default":"any"}',
  SUPABASE_SECRET_KEYS: '{"default":"any"}',
  DISPATCH_SECRET: `whsec_${"A".repeat(32)}`,
};

/** Throws {@link StackError} that names each variable which the functions would refuse, where it is set, and why. */
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

/** Names, of those given, that the functions do not read: most likely a slip. */
export function namesNotRead(names: string[]): string[] {
  return names.filter((name) => !Object.hasOwn(envSchema.shape, name));
}
