/** Reads the expiry of a signed URL of Storage, and converts it to the project's public address. */
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { ObjectPath } from "../contracts/object-path.ts";
import type { Database } from "../database.types.ts";
import { AppError } from "../failures/app-error.ts";
import { storageStatus } from "./storage-status.ts";

const tokenPayload = z.object({ exp: z.number().int().positive() });

/**
 * When a signed URL expires, read from its token, since Storage decides it.
 *
 * @param token the JWT in the URL's `token` parameter.
 * @returns ISO 8601.
 * @throws {AppError} `internal_error` when the token has no `exp`.
 */
export function tokenExpiry(token: string): string {
  try {
    const payload = token.split(".")[1] ?? "";
    const json = atob(payload.replaceAll("-", "+").replaceAll("_", "/"));
    return new Date(tokenPayload.parse(JSON.parse(json)).exp * 1000)
      .toISOString();
  } catch (cause) {
    throw new AppError("internal_error", { cause });
  }
}

/** The `token` parameter of a signed URL. @throws {AppError} `internal_error` when there is none. */
export function tokenOf(signedUrl: string): string {
  const token = new URL(signedUrl).searchParams.get("token");
  if (token === null) {
    throw new AppError("internal_error", {
      cause: new Error("a signed URL without a token"),
    });
  }
  return token;
}

/**
 * The URL as apps reach it. Inside `supabase functions serve` the project has a different address than outside; on a
 * hosted project both are the same.
 */
export function publicUrl(
  url: string,
  env: { SUPABASE_URL: string; API_PUBLIC_URL?: string | undefined },
): string {
  const inside = env.SUPABASE_URL.replace(/\/$/, "");
  if (env.API_PUBLIC_URL === undefined || !url.startsWith(`${inside}/`)) {
    return url;
  }
  return env.API_PUBLIC_URL.replace(/\/$/, "") + url.slice(inside.length);
}

/**
 * A signed URL of a private object, created with the caller's rights.
 *
 * @param expiresIn seconds.
 * @returns null when Storage says that there is no such object for this caller.
 * @throws {AppError} `service_unavailable` when Storage does not respond properly.
 */
export async function signDownload(
  supabase: SupabaseClient<Database>,
  env: { SUPABASE_URL: string; API_PUBLIC_URL?: string | undefined },
  object: ObjectPath,
  expiresIn: number,
): Promise<{ url: string; expiresAt: string } | null> {
  const { data, error } = await supabase.storage.from(object.bucket)
    .createSignedUrl(object.path, expiresIn);
  if (error) {
    const failure = storageFailure(error);
    if (failure.code === "object_not_found") return null;
    throw failure;
  }
  return {
    url: publicUrl(data.signedUrl, env),
    expiresAt: tokenExpiry(tokenOf(data.signedUrl)),
  };
}

/** Converts an error of Storage for the caller: a refusal becomes "not found", everything else is temporary. */
export function storageFailure(error: Error): AppError {
  const status = storageStatus(error);
  return new AppError(
    status >= 400 && status < 500 && status !== 429
      ? "object_not_found"
      : "service_unavailable",
    {
      cause: error,
    },
  );
}
