/** Whether a caller's account still exists: an access token outlives it for a while. */
import { z } from "zod";
import type { Env } from "../config/env.ts";

/** Auth sends it as `code`, or in its older format as `error_code`. */
const refusalSchema = z.object({
  code: z.union([z.string(), z.number()]).optional(),
  error_code: z.string().optional(),
});

/**
 * Queries Auth. True only when it reports that the user does not exist; any other error, or no response, proves
 * nothing.
 */
export async function isAccountGone(
  env: Pick<Env, "SUPABASE_URL" | "SUPABASE_PUBLISHABLE_KEYS">,
  fetch: typeof globalThis.fetch,
  token: string,
): Promise<boolean> {
  const [apikey = ""] = Object.values(env.SUPABASE_PUBLISHABLE_KEYS);
  try {
    const response = await fetch(new URL("/auth/v1/user", env.SUPABASE_URL), {
      headers: { apikey, authorization: `Bearer ${token}` },
    });
    const body: unknown = await response.json();
    const { code, error_code } = refusalSchema.parse(body);
    return !response.ok &&
      (code === "user_not_found" || error_code === "user_not_found");
  } catch {
    return false;
  }
}
