/** Users with the role ai_operator, as docs/operations.md grants it. */
import { signUp, type TestUser } from "./as-user.ts";
import type { TestStack } from "./stack.ts";

/** Signs up a user, grants the role and signs in again, since only a new token has the role. */
export async function signUpOperator(stack: TestStack): Promise<TestUser> {
  const user = await signUp(stack);
  await stack.sql`
    update auth.users set raw_app_meta_data = raw_app_meta_data || '{"role": "ai_operator"}' where id = ${user.id}`;
  const { data, error } = await user.client.auth.refreshSession();
  if (error) throw error;
  if (data.session === null) throw new Error("there is no session");
  const { access_token } = data.session;
  return {
    ...user,
    accessToken: access_token,
    call: (slug, request = {}) =>
      user.call(slug, {
        ...request,
        headers: {
          ...request.headers,
          authorization: `Bearer ${access_token}`,
        },
      }),
  };
}
