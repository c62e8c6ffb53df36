/** Users of a running stack, with the unmodified supabase-js. */
import { createClient } from "@supabase/supabase-js";
import type { StackEnv } from "./stack-fixture.ts";

/** A client without a session; every request carries `key` and nothing else. */
export function clientOf(env: StackEnv, key = env.PUBLISHABLE_KEY) {
  return createClient(env.API_URL, key, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
}

/** A new user, signed up and signed in. */
export async function newPerson(env: StackEnv, name: string) {
  const client = clientOf(env);
  const email = `${name}-${crypto.randomUUID()}@example.com`;
  const password = "correct horse battery staple";
  const { data, error } = await client.auth.signUp({ email, password });
  if (error) throw error;
  const { user, session } = data;
  if (user === null || session === null) throw new Error("no session");
  return { client, email, password, id: user.id, token: session.access_token };
}

/** Awaits a query of supabase-js and returns its data, or throws its error. */
export async function dataOf<T>(
  answer: PromiseLike<{ data: T; error: Error | null }>,
): Promise<NonNullable<T>> {
  const { data, error } = await answer;
  if (error) throw error;
  if (data === null || data === undefined) throw new Error("no data");
  return data;
}
